"""What is printed while a run trains."""

import sys

import pytest

from famus_tf.experiment import progress_lines


@pytest.fixture
def clock(monkeypatch):
    """Time that passes when the test says so."""

    class Clock:
        now = 100.0

        def monotonic(self):
            return self.now

    made = Clock()
    monkeypatch.setattr(progress_lines, "time", made)
    return made


def train(clock, lines, epochs, steps, seconds, first=0.0):
    """As the loop calls it, each step taking as long; the first one longer."""
    for epoch in range(epochs):
        lines.set_params({"steps": steps})
        lines.on_epoch_begin(epoch)
        for step in range(steps):
            lines.on_train_batch_begin(step)
            clock.now += seconds + (first if epoch == step == 0 else 0)
            lines.on_train_batch_end(step, {"loss": 1.2345678, "accuracy": 0.4567, "meta_loss": 9.0})
        lines.on_epoch_end(epoch, {"loss": 1.2, "accuracy": 0.5, "test_accuracy": 0.25, "test_loss": 7.0})
    lines.on_train_end()


def test_a_line_for_each_epoch(clock, capsys):
    train(clock, progress_lines.ProgressLines(2, "resnet32, 99 layers"), 2, 5, 1.0)
    assert capsys.readouterr().out.splitlines() == [
        "tracing the training step of resnet32, 99 layers; later steps are quick",
        "epoch 1/2, loss 1.2, accuracy 50.0%, test 25.0%, 5 s left",
        "epoch 2/2, loss 1.2, accuracy 50.0%, test 25.0%",
    ]


def test_long_epochs_have_lines_within_and_the_time_of_the_whole_run(clock, capsys):
    train(clock, progress_lines.ProgressLines(10, "resnet50, 175 layers"), 1, 1000, 0.2, first=202.0)
    said = capsys.readouterr().out.splitlines()
    assert said[1] == "the first step has taken 3 min 22 s"
    assert said[2] == "epoch 1/10, step 52/1,000, loss 1.235, accuracy 45.7%, 33 min 10 s left"
    assert len(said) == 7 and max(map(len, said)) < 80


def test_a_terminal_has_one_line_that_moves_and_fits(clock, capsys, monkeypatch):
    monkeypatch.setattr(sys.stdout, "isatty", lambda: True)
    monkeypatch.setenv("COLUMNS", "60")  # pytest asks for the terminal's size too
    train(clock, progress_lines.ProgressLines(1000, "a network"), 1, 100, 0.1)
    said = capsys.readouterr().out
    assert said.count("\n") == 2
    moving = said.split("\n")[1].split("\r")[1:-1]
    assert 15 < len(moving) < 25 and all(len(text) < 60 for text in moving)
    assert moving[0] == "epoch 1/1000, loss 1.235, accuracy 45.7%, 2 h 46 min left"
    assert moving[-1] == "epoch 1/1000, accuracy 45.7%, evaluation, 2 h 46 min left"


@pytest.mark.parametrize("seconds", [0, 59, 61, 3599, 3601, 10_000_000])
def test_durations_are_short(seconds):
    assert len(progress_lines.duration(seconds)) <= 15
