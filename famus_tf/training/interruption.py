"""What SIGINT (Ctrl-C), SIGTERM (a batch system ends a job) and SIGHUP (a terminal is closed) do to a command.

As a rule they end it at once, with one line. While it trains, the step under way is finished first and a checkpoint is
written. A second signal ends the process where it stands, even inside a call of TensorFlow that does not return.
"""

import contextlib
import os
import select
import signal
import threading
import time

SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
_SOON = 10.0  # seconds in which a command that need not finish anything has to have ended
_SILENT = 1.0  # seconds after which a signal that waits for a step is answered


class Interrupted(KeyboardInterrupt):
    """A signal has ended the command; its text says what is kept.

    Args:
      number: of the signal.
      kept: what the user has, and what the same command does; None: nothing is lost.
    """

    def __init__(self, number, kept=None):
        name = signal.Signals(number).name
        super().__init__(f"interrupted by {name}; {kept or f'nothing is lost; {what_follows()}'}")
        self.status = 128 + number


class _State:
    """Of the process, as signals are: the first signal received, and whether the command ends by itself then."""

    received = 0
    deferred = False
    patience = _SOON
    numbers = ()  # of the signals that are handled
    checkpoint = None  # the step of the newest checkpoint of the command's run, None where there is none


_state = _State()


@contextlib.contextmanager
def handled():
    """Lets SIGINT and SIGTERM raise `Interrupted` in this context, or where it is deferred be asked for.

    Does nothing outside the main thread, which alone can do so. A signal that the process was started to ignore, as
    shells have it for commands in the background, stays ignored.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    mine = [number for number in SIGNALS if signal.getsignal(number) is not signal.SIG_IGN]
    _state.received = 0
    _state.deferred = False
    _state.checkpoint = None
    reading, writing = os.pipe()
    os.set_blocking(writing, False)
    before = {number: signal.signal(number, _on_signal) for number in mine}
    _state.numbers = mine
    wakeup = signal.set_wakeup_fd(writing, warn_on_full_buffer=False)
    watcher = threading.Thread(target=_watch, args=(reading,), daemon=True)
    watcher.start()
    try:
        yield
    finally:
        _state.numbers = ()
        signal.set_wakeup_fd(wakeup)
        for number, handler in before.items():
            signal.signal(number, handler)
        os.close(writing)  # the watcher's end
        watcher.join()
        os.close(reading)
        _state.received = 0


def ignore():
    """For the end of the process: what is done there is not to be cut short, nor told of in tracebacks."""
    for number in SIGNALS:
        signal.signal(number, signal.SIG_IGN)


def renew():
    """Handles the signals again that a library has taken over since, as TensorFlow does SIGTERM for several workers."""
    for number in _state.numbers:
        signal.signal(number, _on_signal)


@contextlib.contextmanager
def deferred(patience=None):
    """In this context a signal raises nothing: `received` tells of it, and whoever asks ends the command.

    Args:
      patience: seconds after which the process ends nevertheless; None: it does not.

    Raises:
      Interrupted: there was a signal, and the context has come to its end before anybody asked.
    """
    _state.deferred = True
    _state.patience = patience
    try:
        yield
    finally:
        _state.deferred = False
        _state.patience = _SOON
    if _state.received:
        raise Interrupted(_state.received)


@contextlib.contextmanager
def at_once():
    """In this context, inside `deferred`, a signal ends the command where it stands: there is nothing to be kept.

    Raises:
      Interrupted: there was a signal before, or there is one now.
    """
    if _state.received:
        raise Interrupted(_state.received)
    before = _state.deferred, _state.patience
    _state.deferred = False
    _state.patience = _SOON
    try:
        yield
    finally:
        _state.deferred, _state.patience = before


def note_checkpoint(step):
    """Remembers the step of the newest checkpoint, for what is said to the user."""
    _state.checkpoint = step


def what_follows():
    """What the same command does when it is given again."""
    if _state.checkpoint is None:
        return "the same command starts anew"
    return f"the same command goes on from the checkpoint of step {_state.checkpoint:,}"


def received():
    """The number of the signal that was received in `handled`, 0 for none."""
    return _state.received


def watched(iterable):
    """Iterates, and raises `Interrupted` between two items once there is a signal."""
    for item in iterable:
        yield item
        if _state.received:
            raise Interrupted(_state.received)


def _on_signal(number, frame):
    # A second one is the watcher's.
    if not _state.received:
        _state.received = number
        if not _state.deferred:
            raise Interrupted(number)


def _watch(reading):
    """Ends the process at the second signal, or where the first has not ended it in time."""
    first = 0
    since = 0.0
    answered = False
    while True:
        ready, _, _ = select.select([reading], [], [], _wait(since, answered) if first else None)
        if not ready:
            if _state.patience is not None and time.monotonic() >= since + _state.patience:
                _end(first, f"the step under way did not end within {_state.patience:.0f} s")
            if not answered and _state.deferred:
                _answer(first)
            answered = True
            continue
        numbers = os.read(reading, 1)
        if not numbers:
            return
        if numbers[0] in SIGNALS:
            if first:
                _end(numbers[0], "at once, by a second signal")
            first = numbers[0]
            since = time.monotonic()


def _wait(since, answered):
    """Seconds until the next thing is to be done about the first signal; None where there is none."""
    ends = [] if _state.patience is None else [_state.patience]
    if not answered:
        ends.append(_SILENT)
    return max(since + min(ends) - time.monotonic(), 0) if ends else None


def _answer(number):
    text = "the step under way is finished and a checkpoint written; a second signal ends the run at once"
    os.write(2, f"{signal.Signals(number).name}: {text}\n".encode())


def _end(number, why):
    text = f"interrupted by {signal.Signals(number).name}, {why}; {what_follows()}"
    os.write(2, f"famus_tf: {text}\n".encode())
    os._exit(128 + number)
