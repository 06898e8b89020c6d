"""Every command line that is printed anywhere is run, shrunk, or has a reason why it is not.

`documented_commands` finds the lines by pattern, so that a new one fails here until it is one of the four: run below,
quickly; run below with `pytest -m slow`; its flag file or program run by another test; not to be run here.
"""

import importlib
import json
import os
import pathlib
import re
import shlex
import shutil
import subprocess
import sys

import pytest

from famus_tf import main
from tests import documented_commands, small_networks
from tests.data import test_data_sets

ROOT = documented_commands.ROOT
COMMANDS = documented_commands.found()
_DATA_SETS = "tests/data/test_data_sets.py::test_flag_file_on_a_small_tree"
_IMAGE_SETS = "tests/experiment/test_image_sets.py::test_flag_file_on_a_small_tree"

# {pattern of the whole line: why it is not run}
NOT_HERE = {
    r"sbatch .*": "no Slurm here; tests/devices/test_workers.py runs the script with a program in the place of srun",
    r"source .*": "changes a shell, and no more",
    r"\S*pip install .*": "installs from the internet",
    r"tensorboard .*": "a server that does not end",
    r"\./launch/test\.sh(?: -m slow)?": "runs this test",
    r"\./launch/setup\.sh|PYTHON=\S+ \./launch/setup\.sh": "installs from the internet; CI starts with it",
    r"python -m famus_tf\.main": "names the program, and is no whole command",
    r"python -m tests\.faults\.(?!disk|lists|headers).*": "takes long; its figures are in benchmarks/results/",
}
# {pattern: file and test that run the line, or the flag file that the line gives, shrunk}
ELSEWHERE = {
    r"awk .*|for part in training .*": "tests/experiment/test_recipes.py::_run",
    r".*flags/folder\.cfg --workdir=runs/\w+ .*": "tests/experiment/test_recipes.py::_run",
    r"python .*flags/baselines/\w+\.cfg": "tests/config/test_baselines.py::test_a_flag_file_makes_its_method",
    r"python .*flags/cifar10\w*\.cfg.*": _DATA_SETS,
    r"python .*flags/cifar100\w*\.cfg": _DATA_SETS,
    r"python .*flags/fashion_mnist_pseudo_clean\.cfg": _DATA_SETS,
    r"python .*flags/folder\.cfg --data_dir=my_images.*": _DATA_SETS,
    r"python .*flags/clothing1m\.cfg.*": _IMAGE_SETS,
    r"python .*flags/cnwl\.cfg.*": _IMAGE_SETS,
    r"python .*flags/cnwl_\d0\.cfg": "tests/experiment/test_image_sets.py::test_cnwl_at_another_rate",
    r"python .*flags/webvision\.cfg.*": "tests/experiment/test_webvision_run.py::test_training_and_inspection",
    r"python .*runs/folder/cleaned/cleaned\.cfg": "tests/experiment/test_clean.py::test_the_cleaned_lists_are_trained",
    r"python .*--mode=predict --workdir=runs/folder .*": "tests/experiment/test_predict.py::test_a_folder",
    r"python .*--mode=export --export_format=.*": "tests/experiment/test_export_formats.py::test_later",
    r"python -m benchmarks\.baselines .*": "tests/benchmarks/test_baselines.py::test_a_study",
    r"python -m benchmarks\.labels .*": "tests/benchmarks/test_labels.py::test_a_study",
    r"python -m benchmarks\.round_trip .*": "tests/benchmarks/test_round_trip.py::test_a_round_trip",
    r"TF_CONFIG=.*": "tests/worker_processes.py::start_pair",
    r"python -m benchmarks\.workers_run .*": "benchmarks/workers.py::_start",
    r"python -m benchmarks\.beliefs .*": "tests/benchmarks/test_beliefs.py::test_a_column_for_each_run",
    r"python -m famus_tf\.compare .*": "tests/test_package.py::test_it_trains_and_compares",
}
PINNED = "requirements.txt", "pyproject.toml"
DIGITS = "--flagfile=flags/debug.cfg", "--workdir=runs/digits", "--train_limit=200"
_TINY = "--network=small_preact", "--image_size=8", "--channels=1", "--classes=3", "--batch_size=8"
_TIMED = *_TINY, "--rounds=1", "--sample_seconds=0.01"
_WORKERS = "--data=digits", "--algorithm=1", "--norm=none"
_STUDY = "--seeds=0", *(f"--set={flag}" for flag in ("--epochs=2", "--train_limit=100", "--batch_size=16"))
_SELECTION = (
    *("--epochs=2", "--batch_size=16", "--meta_batch_size=8", "--meta_per_class=2"),
    *("--batches=2", "--json=selection.json", "--plot=selection.png"),
)
_HORIZON = *_SELECTION[:4], "--at=2", "--windows=2", "--horizons=1", "--json=horizon.json"
# {pattern: what shrinks it}; the first that fits.
QUICK = {
    r"python -m famus_tf\.main --help": (),
    r"python -m famus_tf\.main --flagfile=flags/(digits|fashion_mnist|fashion_mnist_longtail)\.cfg.*": DIGITS,
    r"python -m famus_tf\.main --flagfile=runs/quickstart/remembering/flags\.cfg .*": ("--workdir=runs/digits",),
    r"python -m benchmarks\.(table|class_accuracy|meta_gradient_variance) .*": (),
    r"python -m benchmarks\.list_memory.*": ("--entries=2570", "--json=list.json"),
    r"python -m benchmarks\.segments.*": ("--networks=small_preact",),
    r"python -m benchmarks\.memory.*": _TINY,
    r".*--modes=one_loop_last_block_quarter": _TIMED,
}
SLOW = {
    r"python -m benchmarks\.step_cost .*--pool=digits .*": (*_TIMED, "--classes=10", "--settle_steps=5"),
    r"python -m benchmarks\.step_cost.*": _TIMED,
    r"python -m benchmarks\.co_divide_step.*": ("--network=small_preact", "--image_size=8", *_TIMED[4:]),
    r"python -m benchmarks\.stages.*": (*_TINY, "--rounds=1"),
    r"python -m benchmarks\.input_pipeline.*": ("--seconds=0.2", "--json=pipeline.json"),
    r"python -m benchmarks\.meta_gradient_agreement.*": ("--steps=1,2", "--batches=2"),
    r"python -m benchmarks\.gates (resnet50|dense).*": ("--steps=20", "--batch_size=2", "--trained=1"),
    r"python -m benchmarks\.selection digits": ("--train_limit=100", *_SELECTION),
    r"python -m benchmarks\.selection fashion_mnist .*": ("--data_dir=fashion", "--train_limit=0", *_SELECTION),
    r"python -m benchmarks\.horizon fashion_mnist .*": ("--data_dir=fashion", "--train_limit=0", *_HORIZON),
    r"python -m benchmarks\.accuracy fashion_mnist_pseudo_clean.*": (*_STUDY, "--only=cross_entropy"),
    r"python -m benchmarks\.accuracy digits --study=(?!methods).*": (*_STUDY, "--only=cross_entropy"),
    r"python -m benchmarks\.accuracy .*": (*_STUDY, "--only=cross_entropy"),
    r"python -m benchmarks\.endurance .*": ("--steps=40", "--every=20", "--json=endurance.json"),
    r"python -m benchmarks\.workers(?: .*)?": (*_WORKERS, "--steps=8", "--json=w"),
    r"python -m tests\.faults\.(disk|lists).*": ("--count=20", "--json=found.json"),
    r"python -m tests\.faults\.headers.*": ("--examples=20",),
    r"\./launch/quickstart\.sh.*": ("--epochs=1", "--train_limit=100", "--batch_size=16"),
    r"\./launch/multi_worker\.sh .*": (*DIGITS[:1], "--workdir=runs/workers", "--train_limit=64", "--batch_size=16"),
    r"\./launch/test\.sh .+": (),
}


def way(line):
    """("not here", reason), ("elsewhere", test), ("quick" or "slow", shrinking flags); None where there is none."""
    for name, table in (("not here", NOT_HERE), ("elsewhere", ELSEWHERE), ("quick", QUICK), ("slow", SLOW)):
        for pattern, value in table.items():
            if re.fullmatch(pattern, _written_out(line)):
                return name, value
    return None


def _written_out(line):
    """What is left to the reader's choice, chosen."""
    line = re.sub(r" \[.*?\](?=$| )", "", line.replace("$runs", "runs/quickstart"))
    line = re.sub(r" \[--.*", "", line).replace(" [...]", "").replace("digits|fashion_mnist", "digits")
    return line.replace("RUN_DIR...", "runs/digits").replace("runs/a runs/b", "runs/digits runs/digits")


def by_way(name):
    """Lines that are run in that way."""
    return [line for line in COMMANDS if (way(line) or ("", ""))[0] == name]


def test_every_line_is_run_or_has_a_reason():
    assert not [f"{place}: {line}" for line, place in COMMANDS.items() if way(line) is None]
    counts = {name: len(by_way(name)) for name in ("quick", "slow", "elsewhere", "not here")}
    print(len(COMMANDS), counts)
    assert len(COMMANDS) > 80 and counts["not here"] <= len(COMMANDS) // 4
    for table in (NOT_HERE, ELSEWHERE, QUICK, SLOW):
        for pattern in table:
            assert any(re.fullmatch(pattern, _written_out(line)) for line in COMMANDS), f"no such line: {pattern}"
    for place in ELSEWHERE.values():
        path, _, name = place.partition("::")
        assert f"def {name}(" in (ROOT / path).read_text()


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    """A folder that looks as the repository's root, with a finished run of digits in runs/digits."""
    folder = tmp_path_factory.mktemp("root")
    for name in ("flags", "launch", "benchmarks", "famus_tf", "tests", "README.md", *PINNED):
        (folder / name).symlink_to(ROOT / name)
    (folder / ".venv" / "bin").mkdir(parents=True)
    python = folder / ".venv" / "bin" / "python"
    python.write_text(f'#!/bin/sh\nexec "{sys.executable}" "$@"\n')
    python.chmod(0o755)
    # As launch/setup.sh leaves it, so that nothing is installed.
    stamp = f'echo "$(cat {" ".join(PINNED)} | cksum) $PWD" > .venv/installed'
    subprocess.run(["bash", "-euc", stamp], cwd=folder, check=True)
    small_networks.save_convolutions(folder / "tiny.keras")
    small_networks.save_convolutions(folder / "tiny28.keras", True, (28, 28, 1))
    test_data_sets.fashion_mnist_tree(folder / "fashion", training_images=230)
    before = pathlib.Path.cwd()
    os.chdir(folder)
    flags = ["--network=tiny.keras", "--log_meta_gradient", "--flagfile=flags/debug.cfg", "--network=tiny.keras"]
    try:
        assert main.main(["main.py", "--flagfile=flags/digits.cfg", *flags, *DIGITS[1:]]) == 0
        pathlib.Path("runs/quickstart").mkdir()
        pathlib.Path("runs/quickstart/remembering").symlink_to(folder / "runs" / "digits")
    finally:
        os.chdir(before)
    return folder


def _arguments(line):
    """The line's words and what shrinks it, from the program on."""
    words = [*shlex.split(_written_out(line)), *way(line)[1]]
    if words[:3] == ["python", "-m", "famus_tf.main"] and "--help" not in words:
        size = "28" if "fashion" in line else ""
        words += [f"--network=tiny{size}.keras", "--log_meta_gradient"]
        words += ["--data_dir=fashion"] if size else []
        # Flags such as --seed cannot be changed in a run that has begun.
        begins_as_the_finished_run = _written_out(line).endswith("digits.cfg")
        words += ["--workdir=runs/trial"] if "--mode" not in line and not begins_as_the_finished_run else []
    return words


@pytest.mark.parametrize("line", by_way("quick"))
def test_quick(line, place, monkeypatch, tmp_path):
    monkeypatch.chdir(place)
    words = _arguments(line)
    if words[3:] and "trial" in words[-1]:
        words[-1] = f"--workdir={tmp_path / 'run'}"
    assert words[:2] == ["python", "-m"]
    module = importlib.import_module(words[2])
    assert module.main(words[2:] if words[2] == "famus_tf.main" else words[3:]) == 0
    if "fashion_mnist" in line:
        results = json.loads((tmp_path / "run" / "results.json").read_text())
        assert results["dataset"] == "fashion_mnist" and len(results["history"]) == 2


@pytest.mark.slow
@pytest.mark.parametrize("line", by_way("slow"))
def test_slow(line, place):
    words = _arguments(line)
    words[0] = sys.executable if words[0] == "python" else words[0]
    for begun_by_another_line in ("quickstart", "endurance"):
        shutil.rmtree(place / "runs" / begun_by_another_line, ignore_errors=True)
    environment = os.environ | {"CUDA_VISIBLE_DEVICES": ""}
    done = subprocess.run(words, cwd=place, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout[-2000:] + done.stderr[-2000:]
