import os
import pathlib
import re
import subprocess
import sys
import types

import pytest

import famus_tf.experiment
from famus_tf import main
from famus_tf.devices import keras_settings
from famus_tf.errors import InputError

ROOT = pathlib.Path(__file__).parent.parent


def command(*arguments: str) -> subprocess.CompletedProcess:
    return subprocess.run(
        [sys.executable, "-m", "famus_tf.main", *arguments], cwd=ROOT, capture_output=True, text=True, check=False
    )


@pytest.fixture
def experiment(monkeypatch):
    """Stands in for the real one, which would load TensorFlow; `run` records its configuration."""
    fake = types.ModuleType("famus_tf.experiment.modes")
    fake.configs = []
    fake.run = fake.configs.append
    fake.find_gpus = list
    monkeypatch.setattr(famus_tf.experiment, "modes", fake, raising=False)
    monkeypatch.setitem(sys.modules, "famus_tf.experiment.modes", fake)
    monkeypatch.setattr(keras_settings, "load_pinned", list)
    monkeypatch.delenv("TF_CPP_MIN_LOG_LEVEL", raising=False)
    return fake


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--colour=red"], "colour"),
        (["--dataset=mnist"], "--dataset=mnist: expected one of digits, fashion_mnist"),
        (["--noise=symmetric", "--noise_rate=1.5", "--epochs=1"], "--noise_rate=1.5: expected a number in [0, 1]"),
        (["--epochs=1", "seed=3"], "stray argument 'seed=3'"),
        (["--flagfile=no/such.cfg"], "no/such.cfg"),
        (["--flagfile=LICENSE"], "LICENSE, line 1: found 'Copyright"),
        (["--epochs=5", "--train_steps=10"], "--epochs=5 with --train_steps=10"),
    ],
)
def test_a_mistake_is_answered_in_one_line(arguments, said):
    done = command(*arguments)
    assert done.returncode == 2
    assert done.stderr.startswith("famus_tf: error: ")
    assert done.stderr.count("\n") == 1
    assert said in done.stderr
    assert "Traceback" not in done.stderr
    assert done.stdout == ""


@pytest.mark.parametrize("flag", ["--help", "--helpfull"])
def test_help(flag):
    done = command(flag)
    assert done.returncode == 0
    assert done.stdout.startswith("Train, evaluate or export")
    assert "--base_learning_rate" in done.stdout
    assert done.stderr == ""


def test_runs_the_experiment(experiment, monkeypatch):
    monkeypatch.setenv("TF_CPP_MIN_LOG_LEVEL", "0")
    assert main.main(["main.py", "--epochs=2", "--workdir=somewhere"]) == 0
    (config,) = experiment.configs
    assert (config.optimization.epochs, config.run.workdir) == (2, "somewhere")
    assert os.environ["TF_CPP_MIN_LOG_LEVEL"] == "0"


@pytest.mark.parametrize(
    ("error", "status", "said"),
    [
        (InputError("data/x: not a folder"), 2, "famus_tf: error: data/x: not a folder\n"),
        (
            InputError("option `data_dir`=a`b=\n\x1b`: expected a folder, or another option `dataset`"),
            2,
            "famus_tf: error: --data_dir=a`b=\\n\\x1b`: expected a folder, or another --dataset\n",
        ),
        (KeyboardInterrupt(), 130, "famus_tf: interrupted; "),
    ],
)
def test_what_stops_the_experiment_is_one_line(experiment, monkeypatch, capsys, error, status, said):
    monkeypatch.setenv("TF_CPP_MIN_LOG_LEVEL", "2")

    def run(config):
        raise error

    experiment.run = run
    assert main.main(["main.py", "--epochs=2"]) == status
    printed = capsys.readouterr().err
    assert printed.startswith(said)
    assert printed.count("\n") == 1


def test_an_error_of_the_program_is_not_hidden(experiment, monkeypatch):
    monkeypatch.setenv("TF_CPP_MIN_LOG_LEVEL", "2")

    def run(config):
        raise ValueError("a defect, not a user's mistake")

    experiment.run = run
    with pytest.raises(ValueError, match="a defect"):
        main.main(["main.py", "--epochs=2"])


@pytest.mark.parametrize(
    ("flag", "message"),
    [
        ("--workdir=a\0b", r"--workdir='a\\x00b': expected a text on one line"),
        ("--data_dir=a\x1b[2Jb", r"--data_dir='a\\x1b\[2Jb': expected a text on one line"),
        ("--epochs=100000000000000000000000", "at most 2147483647"),
        ("--epochs=1e23", "--epochs=1e23: expected a whole number"),
    ],
)
def test_a_value_that_no_system_takes_is_one_line(flag, message, capsys):
    assert main.main(["main.py", "--epochs=1", flag]) == 2
    said = capsys.readouterr().err
    assert said.count("\n") == 1 and said[:-1].isprintable()
    assert re.search(message, said), said
