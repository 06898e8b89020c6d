"""benchmarks.accuracy: which runs a study has, how they are run, and the table; a stub stands in for the training."""

import json
import os
import pathlib
import signal
import subprocess
import sys
import time

import pytest

from benchmarks import accuracy, studies
from famus_tf.config import command_line
from famus_tf.errors import InputError

ROOT = pathlib.Path(__file__).resolve().parent.parent.parent
PYTHON = sys.executable
# Writes what a run writes, and where it ran; `--seed=13` fails, an existing file "hang" makes it wait.
STUB = """
import json, os, pathlib, sys, time
sys.path.insert(0, {root!r})
from famus_tf.config import command_line
config = command_line.read_config(sys.argv[2:])
workdir = pathlib.Path(config.run.workdir)
(workdir / "flags.cfg").write_text("\\n".join(config.flag_lines()))
with open({calls!r}, "a") as calls:
    print(workdir.name, os.getpid(), file=calls, flush=True)
if pathlib.Path({hang!r}).exists():
    time.sleep(60)
if config.run.seed == 13:
    sys.exit("epoch 1\\nboom\\n")
cores = sorted(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else None
time.sleep(0.2)
(workdir / "results.json").write_text(json.dumps({{
    "test_accuracy": {{"peak": 0.9, "last": 0.8}}, "history": [{{"test_accuracy": one}} for one in {history!r}],
    "train_seconds_per_step": 0.01 * (1 + config.run.seed),
    "cores": cores, "threads": [os.environ["TF_NUM_INTRAOP_THREADS"], os.environ["OMP_NUM_THREADS"]]}}))
"""
_SPREAD = {"mean": 0.5, "std": None, "values": [0.5]}
ROW = {
    "method": "FaMUS",
    "seeds": ["0"],
    "peak_test_accuracy": _SPREAD,
    "last_test_accuracy": _SPREAD,
    "seconds_per_step": 0.1,
    "ratio_to_cross_entropy": None,
    "mean_lowest_layer": None,
    "selected_layers": None,
    "example_weight": {"clean": 1.0, "noisy": 1.0, "auc": None},
    "clean_probability_auc": None,
    "flags": {"dataset": "digits"},
}
HISTORY = [0.5, 0.9, 0.8]


@pytest.fixture
def stub(tmp_path, monkeypatch):
    """Replaces the training program; returns the function that lists the calls it got."""
    calls = tmp_path / "calls"
    script = tmp_path / "stub.py"
    script.write_text(STUB.format(root=str(ROOT), calls=str(calls), hang=str(tmp_path / "hang"), history=HISTORY))
    python = tmp_path / "python"
    python.write_text(f'#!/bin/sh\nexec "{sys.executable}" "{script}" "$@"\n')
    python.chmod(0o755)
    monkeypatch.chdir(ROOT)
    monkeypatch.setattr(accuracy.sys, "executable", str(python))
    return lambda: [line.split() for line in calls.read_text().splitlines()] if calls.exists() else []


def test_rows_of_an_earlier_command_are_kept(tmp_path, stub, capsys):
    """In the study's order; a row that is run again is the new one."""
    out = tmp_path / "out.json"
    assert run(tmp_path, "--seeds=0,1", "--only=mw_net_exact,famus", f"--json={out}") == 0
    before = {row["method"]: row for row in json.loads(out.read_text())}
    assert run(tmp_path, "--seeds=0", "--only=cross_entropy,famus", f"--json={out}", "--keep") == 0
    rows = json.loads(out.read_text())
    assert [row["method"] for row in rows] == ["cross-entropy", "MW-Net exact", "FaMUS"]
    assert rows[1] == before["MW-Net exact"]
    assert rows[2]["seeds"] == ["0"] and before["FaMUS"]["seeds"] == ["0", "1"]
    assert "MW-Net exact" in capsys.readouterr().out.splitlines()[-2]


def test_rows_of_other_flags_are_not_kept(tmp_path, stub, capsys):
    """Else runs of one epoch would stand beside runs of forty; what is run again may have been another."""
    out = tmp_path / "out.json"
    command = ("--seeds=0", f"--json={out}", "--keep")
    assert run(tmp_path / "one", *command, "--only=famus", "--set=--epochs=1") == 0
    text = out.read_text()
    assert run(tmp_path / "two", *command, "--only=cross_entropy", "--set=--epochs=2") == 2
    assert "row 'FaMUS': --epochs: it has 1, expected 2" in capsys.readouterr().err and out.read_text() == text
    assert run(tmp_path / "two", *command, "--only=famus", "--set=--epochs=2") == 0
    assert run(tmp_path / "two", *command, "--only=cross_entropy", "--set=--epochs=2") == 0
    assert [row["method"] for row in json.loads(out.read_text())] == ["cross-entropy", "FaMUS"]


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("{", "expected a file that this command wrote"),
        ('[{"method": "FaMUS", "flags": {"dataset": "digits"}}]', "expected a file that this command wrote"),
        ('[{"method": ["x"]}]', "expected a file that this command wrote"),
        (json.dumps([ROW | {"method": "no"}]), "has a row 'no' of digits; expected rows of methods"),
        (json.dumps([ROW | {"flags": {"dataset": "fashion_mnist"}}]), "has a row 'FaMUS' of fashion_mnist; expected"),
    ],
)
def test_a_file_of_other_rows_is_refused_before_anything_runs(tmp_path, stub, capsys, text, sentence):
    out = tmp_path / "out.json"
    out.write_text(text)
    assert run(tmp_path, "--only=famus", f"--json={out}", "--keep") == 2
    assert sentence in capsys.readouterr().err and not stub() and out.read_text() == text
    with pytest.raises(SystemExit):
        run(tmp_path, "--only=famus", "--keep")


def run(tmp_path, *arguments, study="methods"):
    return accuracy.main(["digits", f"--study={study}", f"--runs={tmp_path / 'runs'}", *arguments])


def test_the_rows_of_a_study_have_names_and_flags_of_their_own():
    for dataset, by_study in studies.STUDIES.items():
        assert (ROOT / "flags" / f"{dataset}.cfg").exists()
        for rows in by_study.values():
            assert len({accuracy.slug(label) for label in rows}) == len(rows)
            assert len({tuple(flags) for flags in rows.values()}) == len(rows)


def test_the_flags_of_every_row_can_be_read(tmp_path, monkeypatch):
    monkeypatch.chdir(ROOT)
    for dataset, by_study in studies.STUDIES.items():
        for study in by_study:
            jobs = accuracy.make_jobs(dataset, study, ["0"], [], [], tmp_path)
            configs = [command_line.read_config(["famus_tf.main", *job.flags]) for job in jobs]
            lines = {config.flag_lines() for config in configs}
            assert len(lines) == len(by_study[study])  # no row is the default of another in other words


def test_jobs_are_all_methods_of_one_seed_after_the_other(tmp_path):
    jobs = accuracy.make_jobs(
        "fashion_mnist", "methods", ["3", "4"], ["famus", "cross_entropy"], ["--epochs=2"], tmp_path
    )
    assert [job.name for job in jobs] == ["cross_entropy_seed3", "famus_seed3", "cross_entropy_seed4", "famus_seed4"]
    config = command_line.read_config(["famus_tf.main", *jobs[0].flags])
    assert (config.method.method, config.run.seed, config.optimization.epochs) == ("cross_entropy", 3, 2)
    assert config.data.train_limit == 10000
    assert config.run.workdir == str(tmp_path / "fashion_mnist" / "methods" / "cross_entropy_seed3")
    with pytest.raises(InputError, match=r"--only=none: expected some of cross_entropy, mw_net_exact, famus, "):
        accuracy.make_jobs("fashion_mnist", "methods", ["0"], ["none"], [], tmp_path)


def test_runs_have_cores_of_their_own_and_make_a_table(stub, tmp_path, capsys):
    own = sorted(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else None
    parallel = min(2, os.cpu_count())
    out, plot = tmp_path / "out.json", tmp_path / "curves.png"
    options = [f"--parallel={parallel}", f"--json={out}", f"--plot={plot}"]
    assert run(tmp_path, "--only=cross_entropy,famus", "--seeds=0,1", *options) == 0
    printed = capsys.readouterr().out
    assert printed.count(" elapsed, ") == 4
    assert "test accuracy 80.0 (peak 90.0)" in printed
    rows = [[cell.strip() for cell in line.split("  ") if cell.strip()] for line in printed.splitlines()[-2:]]
    assert [row[:5] for row in rows] == [
        ["cross-entropy", "0, 1", "90.0 ± 0.0", "80.0 ± 0.0", "0.0150"],
        ["FaMUS", "0, 1", "90.0 ± 0.0", "80.0 ± 0.0", "0.0150"],
    ]
    rows = json.loads(out.read_text())
    assert [row["flags"]["method"] for row in rows] == ["cross_entropy", "mw_net"]
    assert [one["test_accuracies"] for row in rows for one in row["runs"]] == [HISTORY] * 4
    assert plot.read_bytes().startswith(b"\x89PNG")
    results = [json.loads(path.read_text()) for path in tmp_path.rglob("results.json")]
    if own and len(own) >= 2:
        parts = {tuple(result["cores"]) for result in results}
        assert len(parts) == 2
        assert sorted(core for part in parts for core in part) == own[: len(own) // 2 * 2]
        assert {tuple(result["threads"]) for result in results} == {(str(len(own) // 2),) * 2}
        assert sorted(os.sched_getaffinity(0)) == own  # the program's own thread stays as it was


def test_a_finished_run_is_not_run_again_nor_its_equal_in_another_study(stub, tmp_path, capsys):
    assert run(tmp_path, "--only=cross_entropy,famus", "--seeds=0") == 0
    assert run(tmp_path, "--only=cross_entropy,famus", "--seeds=0,1") == 0
    assert run(tmp_path, "--only=cross_entropy,lambda_cost_0.1", "--seeds=0,1", study="lambda_cost") == 0
    names = [name for name, _ in stub()]
    assert names == [f"{name}_seed{seed}" for seed in (0, 1) for name in ("cross_entropy", "famus")] + [
        f"lambda_cost_0.1_seed{seed}" for seed in (0, 1)
    ]
    assert "cross-entropy    0, 1" in capsys.readouterr().out.split("lambda_cost_0.1_seed1")[1]


def test_a_failed_run_is_reported_and_stops_no_other(stub, tmp_path, capsys):
    assert run(tmp_path, "--only=cross_entropy,famus", "--seeds=13,0") == 1
    printed = capsys.readouterr()
    log = tmp_path / "runs" / "digits" / "methods" / "famus_seed13" / "log.txt"
    assert f"accuracy: famus_seed13 failed: exit status 1, boom ({log})\n" in printed.err
    assert "boom" in log.read_text()
    assert printed.out.splitlines()[-1].split()[:2] == ["FaMUS", "0"]


def test_other_flags_in_the_run_directory_are_a_failure(stub, tmp_path, capsys):
    assert run(tmp_path, "--only=famus", "--seeds=0", "--set=--epochs=2") == 0
    assert run(tmp_path, "--only=famus", "--seeds=0", "--set=--epochs=3") == 1
    assert "made with other flags; --epochs: " in capsys.readouterr().err
    assert len(stub()) == 1


@pytest.mark.parametrize("arguments", [["--only=none"], ["--parallel=100000"]])
def test_a_mistake_is_one_line(stub, tmp_path, capsys, arguments):
    assert run(tmp_path, *arguments) == 2
    assert capsys.readouterr().err.startswith(f"accuracy: error: {arguments[0]}: expected ")


def test_ending_the_program_ends_its_runs(stub, tmp_path):
    (tmp_path / "hang").touch()
    code = (
        f"import runpy, sys; sys.executable = {accuracy.sys.executable!r}; "
        "runpy.run_module('benchmarks.accuracy', run_name='__main__')"
    )
    command = [PYTHON, "-c", code, "digits", "--seeds=0,1", "--only=famus", f"--runs={tmp_path / 'runs'}"]
    process = subprocess.Popen(command, stderr=subprocess.PIPE, text=True)
    deadline = time.monotonic() + 30
    while not stub() and time.monotonic() < deadline:
        time.sleep(0.05)
    process.send_signal(signal.SIGTERM)
    _, printed = process.communicate(timeout=20)
    assert process.returncode == 130
    assert printed == "accuracy: interrupted; the same command goes on where it stopped\n"
    assert len(stub()) == 1
    with pytest.raises(ProcessLookupError):
        os.kill(int(stub()[0][1]), 0)
