"""Train, evaluate or export an image classifier on noisy labels.

    python -m famus_tf.main --flagfile=flags/digits.cfg [--name=value ...]

Flags after the flag file override it. A mistake in them is answered in one line, with exit status 2. Ctrl-C, SIGTERM
and SIGHUP end training after the step under way, with a checkpoint; a second one ends it at once.
"""

import contextlib
import os
import sys
import tempfile
from collections.abc import Iterator, Sequence

from famus_tf.config import command_line, places
from famus_tf.config.config import Config
from famus_tf.devices import allocator, keras_settings
from famus_tf.errors import InputError
from famus_tf.files import closed_pipe, plain_text
from famus_tf.training import interruption

_HELP = frozenset({"--help", "-help", "-h", "--helpfull", "-helpfull"})


def main(argv: Sequence[str] | None = None) -> int:
    """Runs one command line (`sys.argv` where None) and returns the exit status."""
    argv = list(sys.argv if argv is None else argv)
    if not _HELP.isdisjoint(argv[1:]):
        print(f"{__doc__}{command_line.help_text()}")
        return 0
    try:
        with interruption.handled():
            config = command_line.read_config(argv)
            places.check(config)
            _run(config)
    except InputError as error:
        message = plain_text.shortened(plain_text.escaped(command_line.with_flags(str(error))))
        print(f"famus_tf: error: {message}", file=sys.stderr)
        return 2
    except KeyboardInterrupt as stopped:
        message = str(stopped) or f"interrupted; {interruption.what_follows()}"
        print(f"famus_tf: {message}", file=sys.stderr)
        return getattr(stopped, "status", 130)
    return 0


def _run(config: Config) -> None:
    # TensorFlow reads it once, when it is loaded; a value that the user has set stays.
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")
    allocator.keep_freed_memory()
    # Here, not above: it loads TensorFlow, seconds that a mistyped flag need not wait for.
    with _quiet_without_gpu():
        for note in keras_settings.load_pinned():
            print(note, flush=True)
        from famus_tf.experiment import modes as experiment

        experiment.find_gpus()
    experiment.run(config)


@contextlib.contextmanager
def _quiet_without_gpu() -> Iterator[None]:
    """Keeps what TensorFlow's libraries write on stderr about missing GPUs off machines that have none.

    They write to the file descriptor and have no switch for it. Where there is a driver the lines say why it does not
    work, and stay; and nothing is lost where loading fails.
    """
    if os.path.exists("/proc/driver/nvidia"):
        yield
        return
    sys.stderr.flush()
    kept = os.dup(2)
    with tempfile.TemporaryFile() as chatter:
        os.dup2(chatter.fileno(), 2)
        try:
            yield
        except BaseException:
            chatter.seek(0)
            os.write(kept, chatter.read())
            raise
        finally:
            os.dup2(kept, 2)
            os.close(kept)


if __name__ == "__main__":
    exit_status = closed_pipe.status_of(main)
    interruption.ignore()
    sys.exit(exit_status)
