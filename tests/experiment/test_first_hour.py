"""What a new user meets with: a folder and no flags, odd class names, Ctrl-C at once, output piped to head."""

import json
import os
import pathlib
import re
import shutil
import signal
import subprocess
import sys
import time

import numpy as np
import PIL.Image
import pytest

from famus_tf import main
from famus_tf.evaluation import saved_model
from famus_tf.reports import pictures
from famus_tf.training import checkpoint_files, runner
from tests import small_networks

ROOT = pathlib.Path(__file__).resolve().parents[2]
NAMES = ("US$ or A$", "$\\frac{", "猫")
PLAIN = ["--method=cross_entropy", "--meta_per_class=2", "--batch_size=8", "--summary_every=1000"]


@pytest.fixture(scope="module")
def images(tmp_path_factory):
    """Class folders of 8x8 pixels whose names matplotlib takes for formulas, or has no letters for."""
    root = tmp_path_factory.mktemp("images")
    rng = np.random.default_rng(0)
    for number in range(45):
        name = NAMES[number % 3]
        folder = root / ("test" if number < 6 else "train") / name
        folder.mkdir(parents=True, exist_ok=True)
        pixels = rng.integers(0, 100, (8, 8, 3)) + 50 * (number % 3)
        PIL.Image.fromarray(pixels.astype(np.uint8)).save(folder / f"{number}.png")
    return root


@pytest.fixture(scope="module")
def network(tmp_path_factory):
    path = tmp_path_factory.mktemp("networks") / "small.keras"
    return f"--network={small_networks.save_convolutions(path, input_shape=(8, 8, 3), num_classes=3)}"


def call(images, workdir, *flags):
    return main.main(["famus_tf", f"--data_dir={images}", *PLAIN, f"--workdir={workdir}", *flags])


def test_a_folder_and_little_else(images, tmp_path, capsys):
    workdir = tmp_path / "run"
    assert call(images, workdir, "--epochs=2") == 0
    said = capsys.readouterr().out
    assert said.startswith("images are read as 8x8 (height x width), ")
    assert "\nfolder: 33 training images of 8x8x3 in 3 classes" in said
    assert re.search(r"\nfor 33 images of 8x8 and .*: --network=small_preact --base_learning_rate=0.00625 --lr_s", said)
    lines = re.findall(r"\n(tracing .*|epoch .*)", said)
    assert len(lines) == 3 and max(map(len, lines)) < 80
    assert "the picture is left out" not in said
    names = {path.name for path in workdir.iterdir()}
    assert {"results.json", "curves.png", "class_accuracy.png"} <= names
    assert [one["name"] for one in json.loads((workdir / "results.json").read_text())["classes"]] == sorted(NAMES)
    written = set((workdir / "flags.cfg").read_text().splitlines())
    assert {"--network=small_preact", "--base_learning_rate=0.00625", "--lr_schedule=cosine"} <= written
    # What is auto is now what the run was begun with, whatever the machine.
    for flags in (("--mode=train",), ("--mode=evaluate", "--network=auto"), ("--mode=inspect",)):
        assert call(images, workdir, *flags) == 0
    assert "the picture is left out" not in capsys.readouterr().out
    assert (workdir / "examples.png").exists()


def test_sets_smaller_than_the_default_batches(images, network, tmp_path, capsys):
    """33 images, of which 12 are trusted: batches of 100 and 100 are lowered, the run's flags stay."""
    command = ["famus_tf", f"--data_dir={images}", network, "--meta_per_class=4", f"--workdir={tmp_path / 'run'}"]
    for epochs in (1, 2):
        assert main.main([*command, f"--epochs={epochs}", "--lr_schedule=constant"]) == 0
        said = capsys.readouterr().out
        assert "\n--batch_size=100 is more than the 27 training images there are: 27 are taken\n" in said
        assert "\n--meta_batch_size=100 is more than the 12 trusted images there are: 12 are taken\n" in said
    assert "--batch_size=100" in (tmp_path / "run" / "flags.cfg").read_text().splitlines()
    assert json.loads((tmp_path / "run" / "results.json").read_text())["steps"] == 2
    for mode in ("evaluate", "export"):
        assert main.main([*command, "--epochs=2", "--lr_schedule=constant", f"--mode={mode}"]) == 0


def test_runs_among_the_class_folders(images, network, tmp_path, monkeypatch, capsys):
    """As after `cd my_images`: the run directory is made before the class folders are read."""
    shutil.copytree(images / "train", tmp_path / "mine")
    monkeypatch.chdir(tmp_path / "mine")
    for name in ("a", "b"):
        assert call(".", f"runs/{name}", network, "--epochs=1") == 0
    assert "26 training images of 8x8x3 in 3 classes" in capsys.readouterr().out.replace("27 training", "26 training")


def test_a_picture_that_cannot_be_drawn_is_a_line(images, network, tmp_path, monkeypatch, capsys):
    def fail(*parts):
        raise ValueError("\n$\\frac{\n^\nParseFatalException: expected }")

    monkeypatch.setattr(saved_model, "export", lambda *parts, **options: None)
    for name in ("draw", "draw_classes"):
        monkeypatch.setattr(pictures, name, fail)
    assert call(images, tmp_path / "run", "--epochs=1", network) == 0
    said = capsys.readouterr().out
    for name in ("curves.png", "class_accuracy.png"):
        path = tmp_path / "run" / name
        line = f"{path}: the picture is left out (ValueError: ParseFatalException: expected }}); nothing else is"
        assert line in said
    assert json.loads((tmp_path / "run" / "results.json").read_text())["steps"] == 4


def test_a_checkpoint_at_each_epochs_end(images, network, tmp_path, monkeypatch):
    steps = []
    publish = checkpoint_files.publish

    def watched(folder, step, write):
        steps.append(step)
        return publish(folder, step, write)

    monkeypatch.setattr(checkpoint_files, "publish", watched)
    monkeypatch.setattr(saved_model, "export", lambda *parts, **options: None)
    assert call(images, tmp_path / "run", "--epochs=3", "--checkpoint_every=1000", network) == 0
    assert steps == [4, 8, 12]


def test_a_signal_while_the_first_step_is_traced(images, network, tmp_path, monkeypatch, capsys):
    def traced(self, *batches):
        os.kill(os.getpid(), signal.SIGINT)
        time.sleep(20)
        raise AssertionError("the signal has not ended it")

    monkeypatch.setattr(runner.Runner, "run_step", traced)
    start = time.monotonic()
    assert call(images, tmp_path / "run", "--epochs=1", network) == 130
    assert time.monotonic() - start < 20
    said = capsys.readouterr()
    assert said.err == "famus_tf: interrupted by SIGINT; nothing is lost; the same command starts anew\n"
    assert "tracing the training step of small, 8 layers; later" in said.out
    assert checkpoint_files.all_in(tmp_path / "run" / "checkpoints") == []


def test_training_piped_to_head(images, network, tmp_path):
    command = [sys.executable, "-m", "famus_tf.main", f"--data_dir={images}", *PLAIN, network, "--epochs=50"]
    command.append(f"--workdir={tmp_path / 'run'}")
    environment = os.environ | {"TF_CPP_MIN_LOG_LEVEL": "3", "CUDA_VISIBLE_DEVICES": ""}
    pipe = subprocess.PIPE
    with subprocess.Popen(command, cwd=ROOT, env=environment, stdout=pipe, stderr=pipe, text=True) as training:
        head = subprocess.run(["head", "-n", "5"], stdin=training.stdout, capture_output=True, text=True, check=True)
        training.stdout.close()
        said = training.stderr.read()
    assert training.returncode == 141
    assert head.stdout.splitlines()[-1].startswith("epoch 1/50, loss ")
    (step,) = re.findall(
        r"^famus_tf: interrupted by SIGPIPE; a checkpoint of step (\d+) is written, and the same", said
    )
    assert said.count("\n") == 1 and checkpoint_files.all_in(tmp_path / "run" / "checkpoints")[0].step == int(step)
