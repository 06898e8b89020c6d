"""What a run prints while it trains: a line for each epoch, one that moves on a terminal, and the time that is left."""

import shutil
import sys
import time

import keras

_ON_TERMINAL = 0.5  # seconds between two looks at the line that moves
_ELSEWHERE = 60.0  # seconds between two lines within an epoch
_FIRST_LINE = 10.0  # seconds until the first of them, which says how long the run takes
_LONGEST = 99


class ProgressLines(keras.callbacks.Callback):
    """Prints three figures: training loss, training accuracy, and the accuracy that the run is about.

    The time that is left is reckoned from the epoch under way and the one before, with evaluations and checkpoints,
    without the first step.

    Args:
      epochs: of the run.
      network: what is trained, in a few words; the first step is announced with it.
      splits: function () -> list of the present splits' `clean_split.quality`, empty without any.
    """

    def __init__(self, epochs, network, splits=tuple):
        super().__init__()
        self._splits = splits
        self._epochs = epochs
        self._network = network
        self._steps = 1
        self._epoch = 0
        self._marks = []  # (share of the run that is done, time) at the first step's end and at each epoch's start
        self._began = None
        self._shown = 0.0
        self._moving = ""

    def set_params(self, params):
        """`params` has the `steps` of the epoch that begins."""
        self._steps = params.get("steps") or self._steps

    def on_epoch_begin(self, epoch, logs=None):
        """Remembers when."""
        self._epoch = epoch
        if self._marks:
            self._mark(0)

    def on_train_batch_begin(self, batch, logs=None):
        """Says what the first step waits for."""
        if self._began is None:
            self._began = time.monotonic()
            self._line(f"tracing the training step of {self._network}; later steps are quick")

    def on_train_batch_end(self, batch, logs=None):
        """The line that moves, or now and then one that stays."""
        now = time.monotonic()
        if not self._marks:
            self._mark(batch + 1)
            seconds = now - self._began
            if seconds >= _FIRST_LINE:
                self._line(f"the first step has taken {duration(seconds)}")
            self._shown = now + (0 if sys.stdout.isatty() else _FIRST_LINE - _ELSEWHERE)
            return
        last = batch + 1 == self._steps
        if sys.stdout.isatty():
            if last or now - self._shown >= _ON_TERMINAL:
                self._shown = now
                self._move(self._parts(batch + 1, logs or {}, ["evaluation"] if last else []))
        elif now - self._shown >= _ELSEWHERE and not last:
            self._shown = now
            self._line(", ".join(self._parts(batch + 1, logs or {}, [])))

    def on_epoch_end(self, epoch, logs=None):
        """The line of the epoch."""
        self._shown = time.monotonic()
        logs = logs or {}
        name = next((name for name in ("validation", "test") if f"{name}_accuracy" in logs), None)
        final = [f"{name} {logs[f'{name}_accuracy']:.1%}"] if name else []
        final += self._of_split()
        self._line(", ".join(self._parts(self._steps, logs, final)))

    def on_train_end(self, logs=None):
        """Leaves no half line behind."""
        if self._moving:
            self._line("")

    def _of_split(self):
        """What the splits of the epoch came to."""
        return [
            f"pseudo-clean {split['clean']:,} of {split['clean'] + split['noisy']:,}"
            + (f" (AUC {split['auc']:.2f})" if split.get("auc") is not None else "")
            for split in self._splits()
        ]

    def _parts(self, done, logs, last):
        whole = done >= self._steps
        parts = [f"epoch {self._epoch + 1}/{self._epochs}"]
        parts += [] if whole else [f"step {done:,}/{self._steps:,}"]
        if "loss" in logs:
            parts.append(f"loss {float(logs['loss']):.4g}")
        if "accuracy" in logs:
            parts.append(f"accuracy {float(logs['accuracy']):.1%}")
        parts += last
        left = self._left(done)
        parts += [f"{duration(left)} left"] if left is not None else []
        return parts

    def _share(self, done):
        return (self._epoch + done / self._steps) / self._epochs

    def _mark(self, done):
        self._marks = [*self._marks[-1:], (self._share(done), time.monotonic())]

    def _left(self, done):
        """Seconds, or None where nothing is known or nothing is left."""
        if not self._marks:  # all that was left to do was an evaluation
            return None
        share, (before, since) = self._share(done), self._marks[0]
        if share >= 1 or share <= before:
            return None
        return (time.monotonic() - since) * (1 - share) / (share - before)

    def _line(self, text):
        clear = " " * (len(self._moving) - len(text))
        sys.stdout.write(f"\r{text}{clear}\n" if self._moving else f"{text}\n")
        sys.stdout.flush()
        self._moving = ""

    def _move(self, parts):
        width = min(shutil.get_terminal_size().columns - 1, _LONGEST)
        while len(", ".join(parts)) > width and len(parts) > 2:
            parts = [parts[0], *parts[2:]]
        text = ", ".join(parts)[:width]
        sys.stdout.write(f"\r{text}{' ' * (len(self._moving) - len(text))}")
        sys.stdout.flush()
        self._moving = text


def duration(seconds):
    """Seconds in words, as "45 s", "3 min 20 s" or "2 h 5 min".

    >>> duration(7500)
    '2 h 5 min'
    """
    whole = round(seconds)
    if whole < 60:
        return f"{whole} s"
    minutes, rest = divmod(whole, 60)
    if minutes < 60:
        return f"{minutes} min {rest} s"
    return f"{minutes // 60:,} h {minutes % 60} min"
