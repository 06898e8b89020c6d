"""Faults of a run, one by one: what is lost, the sentence, and that the same command goes on and ends alike.

docs/faults.md lists them. Kills are the business of tests/faults/kill.py and tests/experiment/test_experiment.py.
"""

import contextlib
import os
import pathlib
import re
import shutil
import signal
import subprocess
import sys

import keras
import numpy as np
import PIL.Image
import pytest
from sklearn.datasets import load_digits

from famus_tf import main
from famus_tf.data.batches import feed
from famus_tf.evaluation import saved_model
from famus_tf.experiment import build_run
from famus_tf.reports import gates
from famus_tf.runs import directory as run_directory
from famus_tf.training import checkpoint_files
from tests import co_divide_runs, small_networks
from tests.faults import ends

SHORT = [
    "--dataset=digits",
    "--noise=symmetric",
    "--noise_rate=0.6",
    "--batch_size=16",
    "--meta_batch_size=16",
    "--train_limit=80",
    "--epochs=2",
    "--lr_schedule=cosine",
    "--summary_every=1",
    "--checkpoint_every=3",
]
ROOT = pathlib.Path(__file__).resolve().parents[2]
STEPS = 10  # in two epochs; checkpoints after 3, 5, 6, 9 and 10


@pytest.fixture(scope="module")
def network(tmp_path_factory):
    return f"--network={small_networks.save_convolutions(tmp_path_factory.mktemp('networks') / 'small.keras')}"


def call(workdir, network, *flags):
    """The exit status of the command."""
    return main.main(["famus_tf", *SHORT, network, f"--workdir={workdir}", *flags])


def one_line(text):
    """The only line of `text`, standard error."""
    lines = [line for line in text.splitlines() if line.startswith("famus_tf: ")]
    assert len(lines) == 1 and "Traceback" not in text
    return lines[0]


@pytest.fixture(scope="module")
def whole(tmp_path_factory, network):
    """A run directory after a refused start, from which the corrected command has gone to its end."""
    workdir = tmp_path_factory.mktemp("whole") / "run"
    assert call(workdir, network, "--batch_size=100000") == 2
    assert not workdir.exists()
    assert call(workdir, network) == 0
    return workdir


@contextlib.contextmanager
def at_step(monkeypatch, step, function):
    """Calls a function once, after that step, and shows nothing of the run."""

    class AtStep(keras.callbacks.Callback):
        done = 0

        def on_train_batch_end(self, batch, logs=None):
            self.done += 1
            if self.done == step:
                function()

    with monkeypatch.context() as patch:
        co_divide_runs.without_pictures(patch)
        patch.setattr(build_run, "make_callbacks", lambda *parts: [AtStep()])
        yield


def same_end(workdir, network, monkeypatch, whole):
    """Lets the run go to its end, and says what it has not in common with the whole one."""
    with monkeypatch.context() as patch:
        co_divide_runs.without_pictures(patch)
        assert call(workdir, network) == 0
    return ends.differences(workdir, whole)


def test_a_refused_start_does_not_refuse_the_corrected_one(whole):
    assert "--batch_size=16" in (whole / "flags.cfg").read_text()


@pytest.mark.parametrize(("number", "status"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_a_signal_in_training(whole, network, tmp_path, monkeypatch, capsys, number, status):
    workdir = tmp_path / "run"
    with at_step(monkeypatch, 4, lambda: os.kill(os.getpid(), number)):
        assert call(workdir, network) == status
    assert one_line(capsys.readouterr().err) == (
        f"famus_tf: interrupted by {number.name}; a checkpoint of step 4 is written, and the same command goes on "
        "from it"
    )
    assert not (workdir / "lock").exists()
    assert same_end(workdir, network, monkeypatch, whole) == []
    assert f"goes on after step 4 of {STEPS}" in capsys.readouterr().out


def test_a_signal_in_an_evaluation(whole, network, tmp_path, monkeypatch, capsys):
    """At the end of the last epoch, whose steps are kept: only the evaluation is made again."""
    workdir, evaluation, calls = tmp_path / "run", feed.Feed.evaluation, []

    def interrupted(self, name):
        calls.append(name)
        if len(calls) == 2:
            os.kill(os.getpid(), signal.SIGTERM)
        return evaluation(self, name)

    with monkeypatch.context() as patch:
        co_divide_runs.without_pictures(patch)
        patch.setattr(feed.Feed, "evaluation", interrupted)
        assert call(workdir, network) == 143
    assert "a checkpoint of step 10 is written" in one_line(capsys.readouterr().err)
    assert same_end(workdir, network, monkeypatch, whole) == []
    # Evaluated, the same step has a checkpoint again, from which nothing is left to do.
    assert (workdir / "checkpoints" / "ckpt-10-2.index").exists()


def test_a_signal_after_training(network, tmp_path, monkeypatch, capsys):
    workdir = tmp_path / "run"
    with monkeypatch.context() as patch:
        co_divide_runs.without_pictures(patch)
        patch.setattr(saved_model, "export", lambda *parts, **options: os.kill(os.getpid(), signal.SIGTERM))
        assert call(workdir, network, "--epochs=1") == 143
    said = "famus_tf: interrupted by SIGTERM; nothing is lost; the same command goes on from the checkpoint of step 5"
    assert one_line(capsys.readouterr().err) == said


def test_checkpoints_that_are_gone_from_a_run_that_has_ended(whole, network, tmp_path, capsys):
    workdir = shutil.copytree(whole, tmp_path / "run")
    shutil.rmtree(workdir / "checkpoints")
    before = (workdir / "results.json").read_bytes()
    assert call(workdir, network) == 2
    assert one_line(capsys.readouterr().err).endswith(
        "holds the results of a run whose checkpoints are gone; expected them back, or another --workdir"
    )
    assert (workdir / "results.json").read_bytes() == before and not (workdir / "checkpoints").exists()


@pytest.mark.parametrize(
    ("flag", "kind"), [("--batch_size=96", "80 training"), ("--meta_batch_size=112", "100 trusted")]
)
def test_batches_larger_than_their_set(network, tmp_path, capsys, flag, kind):
    assert call(tmp_path / "run", network, flag) == 2
    assert one_line(capsys.readouterr().err) == (
        f"famus_tf: error: {flag}: expected at most the {kind} images there are"
    )


def test_damaged_checkpoints(whole, network, tmp_path, monkeypatch, capsys):
    workdir = shutil.copytree(whole, tmp_path / "run")
    folder = workdir / "checkpoints"
    (folder / "checkpoint").write_bytes(b"overwritten")
    data = folder / "ckpt-10.data-00000-of-00001"
    os.truncate(data, 100)
    (workdir / "results.json").unlink()
    assert same_end(workdir, network, monkeypatch, whole) == []
    said = capsys.readouterr().out
    assert re.search(
        rf"{folder}: not whole and left as it is: ckpt-10 \({data.name} has 100 bytes, [\d,]+ were written\); "
        "goes on from ckpt-9, 1 steps are done again\n",
        said,
    )
    for path in folder.glob("ckpt-*.index"):
        os.truncate(path, 10)
    before = {path.name: path.read_bytes() for path in folder.iterdir()}
    for mode in ("train", "export"):
        assert call(workdir, network, f"--mode={mode}") == 2
        assert f"famus_tf: error: {folder}: no checkpoint is whole, ckpt-10-2 (" in one_line(capsys.readouterr().err)
    assert {path.name: path.read_bytes() for path in folder.iterdir()} == before


def test_a_second_run(network, tmp_path, capsys):
    with run_directory.held(tmp_path):
        assert call(tmp_path, network) == 2
    said = one_line(capsys.readouterr().err)
    assert f"{tmp_path}: process {os.getpid()} on " in said and "is at work there" in said


@pytest.mark.parametrize("damage", ["emptied", "cut", "overwritten", "variables cut", "variables missing"])
def test_a_damaged_export(whole, network, tmp_path, capsys, damage):
    workdir = shutil.copytree(whole, tmp_path / "run")
    model, variables = (workdir / "export" / name for name in ("saved_model.pb", "variables/variables.index"))
    if damage == "overwritten":
        model.write_bytes(bytes(range(256)) * 40)
    elif damage == "variables missing":
        variables.unlink()
    else:
        path = variables if damage == "variables cut" else model
        os.truncate(path, 0 if damage == "emptied" else path.stat().st_size // 2)
    assert call(workdir, network, "--mode=evaluate") == 2
    assert f"famus_tf: error: {workdir / 'export'}: " in one_line(capsys.readouterr().err)


@pytest.fixture
def small_disk(tmp_path):
    """A file system of 8 MiB of its own."""
    place = tmp_path / "disk"
    place.mkdir()
    command = ["mount", "-t", "tmpfs", "-o", "size=8m", "tmpfs", str(place)]
    if os.geteuid() or subprocess.run(command, check=False, capture_output=True).returncode:
        pytest.skip("needs the right to mount a small file system")
    yield place
    subprocess.run(["umount", "--lazy", str(place)], check=True)


def fill(disk):
    """Takes all the room there is."""
    with contextlib.suppress(OSError), open(disk / "filler", "ab", buffering=0) as file:
        while file.write(bytes(2**14)):
            pass


def test_a_full_disk_at_a_checkpoint(whole, network, small_disk, monkeypatch, capsys):
    workdir = small_disk / "run"
    with at_step(monkeypatch, 4, lambda: fill(small_disk)):
        assert call(workdir, network) == 2
    assert one_line(capsys.readouterr().err) == (
        f"famus_tf: error: {workdir / 'checkpoints' / 'ckpt-5'}: cannot write it (No space left on device); the steps "
        "since step 3 are lost; once that is mended the same command goes on from there"
    )
    (small_disk / "filler").unlink()
    assert same_end(workdir, network, monkeypatch, whole) == []
    assert f"goes on after step 3 of {STEPS}" in capsys.readouterr().out


def read_only(folder):
    """Nobody, root included, can write to the folder, until `writable`."""
    subprocess.run(["mount", "--bind", str(folder), str(folder)], check=True)
    subprocess.run(["mount", "-o", "remount,ro,bind", str(folder)], check=True)


def writable(folder):
    """The end of `read_only`."""
    subprocess.run(["umount", "--lazy", str(folder)], check=True)


def test_a_folder_that_becomes_read_only(whole, network, small_disk, monkeypatch, capsys):
    workdir = small_disk / "run"
    with at_step(monkeypatch, 4, lambda: read_only(workdir / "checkpoints")):
        assert call(workdir, network) == 2
    writable(workdir / "checkpoints")
    said = one_line(capsys.readouterr().err)
    assert "ckpt-5: cannot write it (Read-only file system); the steps since step 3 are lost" in said
    read_only(workdir)
    assert call(workdir, network) == 2
    writable(workdir)
    said = one_line(capsys.readouterr().err)
    assert said == f"famus_tf: error: --workdir={workdir}: cannot write there (Read-only file system)"
    assert same_end(workdir, network, monkeypatch, whole) == []


def test_a_full_disk_at_tensorboard(whole, network, small_disk, monkeypatch, capsys):
    """A checkpoint has no room then either, so its sentence is the one that is said."""
    workdir, make_callbacks = small_disk / "run", build_run.make_callbacks

    class Fill(keras.callbacks.Callback):
        def on_train_batch_end(self, batch, logs=None):
            if batch == 1:
                fill(small_disk)

    with monkeypatch.context() as patch:
        co_divide_runs.without_pictures(patch)
        patch.setattr(build_run, "make_callbacks", lambda *parts: [Fill(), *make_callbacks(*parts)])
        assert call(workdir, network, "--checkpoint_every=1000") == 2
    said = one_line(capsys.readouterr().err)
    number = re.search(r"ckpt-(\d+)", said)[1]  # the events' buffer is full at some step
    assert 2 <= int(number) <= 5 and said == (
        f"famus_tf: error: {workdir / 'checkpoints' / f'ckpt-{number}'}: cannot write it (No space left on device); "
        "the steps since the start are lost; once that is mended the same command goes on from there"
    )
    (small_disk / "filler").unlink()
    assert same_end(workdir, network, monkeypatch, whole) == []


def test_a_data_file_that_vanishes(network, tmp_path, monkeypatch, capsys):
    workdir, files, away = tmp_path / "run", tmp_path / "images", tmp_path / "away"
    digits = load_digits()
    pixels = np.round(digits.images * 255 / 16).astype(np.uint8)
    for number, (image, label) in enumerate(zip(pixels[:400], digits.target, strict=False)):
        place = files / ("test" if number < 20 else "val" if number < 60 else "train") / str(label)
        place.mkdir(parents=True, exist_ok=True)
        PIL.Image.fromarray(image).save(place / f"{number}.png")
    flags = ["--dataset=folder", f"--data_dir={files}", "--image_size=8", "--resize=8", "--epochs=10"]
    flags.append("--checkpoint_every=1000")
    with at_step(monkeypatch, 12, lambda: (files / "train").rename(away)):
        assert call(workdir, network, *flags) == 2
    said = one_line(capsys.readouterr().err)
    wanted = rf"famus_tf: error: {files}/train/\d/\d+\.png: .*No such file or directory\); expected .*"
    assert re.fullmatch(wanted, said)
    last = checkpoint_files.all_in(workdir / "checkpoints")[0]
    assert last.step >= 12
    away.rename(files / "train")
    with monkeypatch.context() as patch:
        co_divide_runs.without_pictures(patch)
        assert call(workdir, network, *flags) == 0
    assert f"goes on after step {last.step} of 50" in capsys.readouterr().out


def test_the_launch_script_passes_signals_on(tmp_path):
    """Both workers stop after the same step, a multiple of five, and one checkpoint is written."""
    workdir = tmp_path / "run"
    network = f"--network={small_networks.save_convolutions(tmp_path / 'small.keras', batch_norm=False)}"
    flags = [*SHORT, "--train_limit=112", "--epochs=100000", "--checkpoint_every=1000000", network]
    script = subprocess.Popen(
        [ROOT / "launch" / "multi_worker.sh", "2", *flags, f"--workdir={workdir}"],
        env=os.environ | {"PYTHON": sys.executable, "PYTHONUNBUFFERED": "1", "TF_CPP_MIN_LOG_LEVEL": "2"},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    said = []
    for line in script.stdout:
        said.append(line)
        if line.startswith("epoch 3/"):
            break
    script.send_signal(signal.SIGTERM)
    said = "".join(said) + script.communicate(timeout=200)[0]
    assert script.returncode == 143, said
    (step,) = re.findall(r"interrupted by SIGTERM; a checkpoint of step (\d+) is written, and the same command", said)
    assert int(step) % 5 == 0
    assert f"a checkpoint of step {step} is written" in (workdir / "worker1.log").read_text()
    folder = workdir / "checkpoints"
    assert checkpoint_files.newest_whole(folder) == (checkpoint_files.Checkpoint(int(step)), {})
    assert len(checkpoint_files.all_in(folder)) == 2 and not (workdir / "lock").exists()


@pytest.mark.parametrize("what", ["export", "results.json"])
def test_a_full_disk_after_training(whole, network, small_disk, monkeypatch, capsys, what):
    workdir = shutil.copytree(whole, small_disk / "run")
    (workdir / "results.json").unlink()
    before = sorted(path.name for path in (workdir / "export").rglob("*"))
    export = saved_model.export

    def full_before_or_after(*parts, **options):
        if what == "export":
            fill(small_disk)
        export(*parts, **options)
        fill(small_disk)

    with monkeypatch.context() as patch:
        if what == "results.json":
            co_divide_runs.without_pictures(patch)
            patch.setattr(gates, "draw_selection", lambda *parts: None)
        patch.setattr(saved_model, "export", full_before_or_after)
        assert call(workdir, network) == 2
    said = one_line(capsys.readouterr().err)
    assert said.startswith(f"famus_tf: error: {workdir / what}: cannot write it (No space left on device)")
    assert sorted(path.name for path in (workdir / "export").rglob("*")) == before  # the last one, whole
    (small_disk / "filler").unlink()
    assert same_end(workdir, network, monkeypatch, whole) == []


def test_every_test_that_docs_faults_names_is_there():
    text = (ROOT / "docs" / "faults.md").read_text()
    named = set(re.findall(r"`(tests/[\w/]+\.py)(?:::(\w+))?`", text))
    named |= {(module.replace(".", "/") + ".py", "") for module in re.findall(r"python -m ([\w.]+)", text)}
    assert len(named) > 15
    for path, function in named:
        assert (ROOT / path).exists(), path
        assert not function or f"def {function}(" in (ROOT / path).read_text(), f"{path}::{function}"
