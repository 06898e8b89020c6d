"""More epochs for a run that has ended: as if it had been of that length from the start, or a sentence why not."""

import pytest

from famus_tf import main
from tests import co_divide_runs, small_networks
from tests.faults import ends

SHORT = ("--dataset=digits", "--noise=symmetric", "--noise_rate=0.4", "--train_limit=80", "--batch_size=16")
SHORT += ("--meta_batch_size=16", "--checkpoint_every=100", "--selector=random", "--expected_layers=1")


@pytest.fixture
def call(tmp_path, tmp_path_factory, monkeypatch):
    """Function of a run directory's name and flags -> exit status."""
    co_divide_runs.without_pictures(monkeypatch)
    network = small_networks.save_convolutions(tmp_path / "small.keras")
    return lambda name, *flags: main.main(
        ["famus_tf", *SHORT, f"--network={network}", f"--workdir={tmp_path / name}", *flags]
    )


@pytest.mark.parametrize(
    ("first", "then"),
    [
        (["--epochs=2"], ["--epochs=4"]),
        (["--epochs=2", "--lr_boundaries=1"], ["--epochs=4", "--lr_boundaries=1,3"]),
        (["--train_steps=10"], ["--train_steps=17"]),
    ],
    ids=["epochs", "boundaries", "steps"],
)
def test_it_ends_as_a_run_of_that_length(tmp_path, call, capsys, first, then):
    assert call("run", *first) == 0
    capsys.readouterr()
    assert call("run", *then) == 0
    assert f"{tmp_path / 'run'}: goes on after step 10 of " in capsys.readouterr().out
    assert call("whole", *then) == 0
    assert ends.differences(tmp_path / "run", tmp_path / "whole") == []
    flags = [(tmp_path / name / "flags.cfg").read_text() for name in ("run", "whole")]
    assert flags[0] == flags[1]
    capsys.readouterr()
    assert call("run", *first) == 2
    assert "made with other flags; --" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("first", "then", "said"),
    [
        (
            ["--epochs=2", "--lr_schedule=cosine"],
            ["--epochs=4", "--lr_schedule=cosine"],
            "--epochs: the run directory has 2, this command has 4, and a longer run's --lr_schedule=cosine is another "
            "one from the first step on",
        ),
        (
            ["--train_steps=7"],
            ["--train_steps=9"],
            "--train_steps=9: the run ended after 7 steps, inside an epoch of 5, and was evaluated there",
        ),
        (["--epochs=2"], ["--epochs=1"], "--epochs: the run directory has 2, this command has 1"),
        (["--epochs=2"], ["--train_steps=40"], "--epochs: the run directory has 2, this command has 0"),
    ],
    ids=["cosine", "inside an epoch", "fewer", "another unit"],
)
def test_why_it_does_not_go_on(tmp_path, call, capsys, first, then, said):
    assert call("run", *first) == 0
    before = (tmp_path / "run" / "flags.cfg").read_text()
    capsys.readouterr()
    assert call("run", *then) == 2
    assert said in capsys.readouterr().err
    assert (tmp_path / "run" / "flags.cfg").read_text() == before
    assert call("run", *first) == 0
