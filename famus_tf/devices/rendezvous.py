"""The workers of a run wait for each other before TensorFlow does.

TensorFlow waits inside its own code for an hour, in which SIGTERM does nothing and nobody learns who is missing. So the
chief first listens at its own address, where TensorFlow's server is going to be; the others tell it who they are; and
when all are there it sends them off.
"""

import asyncio
import contextlib
import logging

from famus_tf import errors

_LOG = logging.getLogger(__name__)

_AGAIN = 0.3  # seconds between two trials to reach the chief
_NAME = "famus_tf"
_GO = "go"


def meet(workers, position, patience):
    """Returns when all workers have called it.

    A worker that goes away while others are missing may come again.

    Args:
      workers: list of addresses "host:port", the chief's first; the same for all.
      position: this process's place in it.
      patience: seconds until it gives up.

    Raises:
      InputError: not all came in time, they were told of different workers, or the chief's port is taken.
    """
    if len(workers) > 1:
        asyncio.run(_Chief(workers).meet(patience) if position == 0 else _meet_chief(workers, position, patience))


class _Chief:
    """Listens until each of the others has sent its number and its list of workers."""

    def __init__(self, workers):
        self._workers = workers
        self._here = {}  # {position: what answers it}
        self._mistake = None
        self._done = asyncio.Event()

    async def meet(self, patience):
        """Returns when all others are there."""
        address = self._workers[0]
        _LOG.info(f"waits for {len(self._workers)} workers: {', '.join(self._workers)}")
        try:
            server = await asyncio.start_server(self._welcome, port=int(address.rpartition(":")[2]))
        except OSError as error:
            raise _refused(f"cannot listen at {address} ({error.strerror}); expected a free port") from error
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(self._done.wait(), patience)
        server.close()
        if not self._done.is_set():
            missing = [one for number, one in enumerate(self._workers) if number and number not in self._here]
            self._mistake = f"{', '.join(missing)} did not come within {patience:.0f} s; expected all to be started"
        for writer in self._here.values():
            await _answer(writer, self._mistake or _GO)
        if self._mistake:
            raise _refused(self._mistake)

    async def _welcome(self, reader, writer):
        # Those that still listen are cancelled when all have met; Python 3.11 would write a traceback for each.
        with contextlib.suppress(asyncio.CancelledError):
            await self._hear(reader, writer)

    async def _hear(self, reader, writer):
        try:
            words = (await reader.readline()).decode(errors="replace").split()
        except (OSError, ValueError):  # gone, or too long a line
            words = []
        if len(words) < 2 or words[0] != _NAME or not words[1].isdecimal():
            writer.close()  # not one of ours
            return
        number = int(words[1])
        if words[2:] != self._workers:
            self._mistake = f"worker {number} was told of the workers {', '.join(words[2:])}; expected the same for all"
        elif number in self._here:
            self._mistake = f"two workers have the index of {self._workers[number]}; expected one"
        if self._mistake:
            await _answer(writer, self._mistake)
            self._done.set()
            return
        self._here[number] = writer
        if len(self._here) == len(self._workers) - 1:
            self._done.set()
        with contextlib.suppress(OSError):
            await reader.read()  # until it goes away
        if not self._done.is_set():
            del self._here[number]
        writer.close()


async def _answer(writer, answer):
    with contextlib.suppress(OSError):  # it has gone: TensorFlow will notice
        writer.write(f"{answer}\n".encode())
        await writer.drain()
        writer.close()


async def _meet_chief(workers, position, patience):
    answer = f"{workers[0]} did not say within {patience:.0f} s that all workers are there; expected all to be started"
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(patience):
            reply = await _ask(workers, position)
            while not reply:
                await asyncio.sleep(_AGAIN)  # the chief is not there yet, or has gone away
                reply = await _ask(workers, position)
            answer = reply
    if answer != _GO:
        raise _refused(answer)


async def _ask(workers, position):
    """The chief's answer, "" where there is none."""
    host, _, port = workers[0].rpartition(":")
    try:
        reader, writer = await asyncio.open_connection(host.strip("[]"), int(port))
        with contextlib.closing(writer):
            writer.write(f"{_NAME} {position} {' '.join(workers)}\n".encode())
            return (await reader.readline()).decode(errors="replace").strip()
    except OSError:
        return ""


def _refused(mistake):
    return errors.InputError(f"option `strategy`=multi_worker: {mistake}")
