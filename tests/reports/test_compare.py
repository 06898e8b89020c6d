import csv
import dataclasses
import json
import math
import pathlib
import re
import subprocess
import sys

import numpy as np
import PIL.Image
import pytest

from famus_tf.config import config, report
from famus_tf.reports import compare as table


@pytest.fixture
def write_run(tmp_path):
    def write(name, flags="", seed=0, peak=0.9, last=0.8, **more):
        directory = tmp_path / name
        directory.mkdir()
        (directory / "flags.cfg").write_text(f"# a run\n--seed={seed}\n--dataset=digits\n{flags}\n")
        results = {"test_accuracy": {"peak": peak, "last": last}, "train_seconds_per_step": 0.01, **more}
        (directory / "results.json").write_text(json.dumps(results))
        return str(directory)

    return write


CROSS_ENTROPY = "--method=cross_entropy\n--selector=sampler"
FAMUS = "--method=mw_net\n--selector=sampler"


def test_runs_that_differ_in_the_seed_are_one_row(write_run, tmp_path, capsys):
    gates = {"mean_lowest_layer": 12.0, "selected_layers": 3.96, "example_weight": {"clean": 1.25, "noisy": None}}
    runs = [
        write_run("a", CROSS_ENTROPY, 0, peak=0.7, mean_lowest_layer=None, example_weight=None),
        write_run("b", FAMUS, 0, peak=0.92, train_seconds_per_step=0.02, **gates),
        write_run("c", FAMUS, 1, peak=0.94, train_seconds_per_step=0.03, **gates),
    ]
    assert table.main([*runs, "--markdown", f"--json={tmp_path / 'out.json'}"]) == 0
    lines = [[cell.strip() for cell in line.strip("|").split("|")] for line in capsys.readouterr().out.splitlines()]
    assert lines[2:] == [
        ["cross-entropy", "0", "70.0", "80.0", "0.0100", "1.00", "n/a", "n/a", "n/a / n/a"],
        ["MW-Net + FaMUS", "0, 1", "93.0 ± 1.4", "80.0 ± 0.0", "0.0250", "2.50", "12.0", "4.0", "1.250 / n/a"],
    ]
    written = json.loads((tmp_path / "out.json").read_text())
    assert [row["peak_test_accuracy"]["values"] for row in written] == [[0.7], [0.92, 0.94]]


def test_groups_of_one_method_say_what_tells_them_apart(write_run, capsys):
    runs = [
        write_run("a", FAMUS + "\n--expected_layers=1\n--nesterov"),
        write_run("b", FAMUS + "\n--expected_layers=4\n--nonesterov"),
        write_run("c", "--method=mw_net\n--selector=all"),
    ]
    assert table.main(runs) == 0
    out = capsys.readouterr().out
    assert "MW-Net + FaMUS (expected_layers=1, nesterov)" in out
    assert "MW-Net + FaMUS (expected_layers=4, nonesterov)" in out
    assert "MW-Net, all layers  " in out


@pytest.mark.parametrize(
    ("flags", "label"),
    [
        ("--method=l2r\n--selector=sampler", "L2R + FaMUS"),
        ("--method=mlc\n--selector=random", "MLC, random layers"),
        ("--method=mw_net\n--selector=block", "MW-Net, fixed block"),
        ("--method=mw_net\n--selector=agreement", "MW-Net, agreement"),
        ("--method=cross_entropy\n--selector=block", "cross-entropy"),
        ("--method=new\n--selector=other", "new other"),
        ("", "n/a"),
    ],
)
def test_names_of_the_methods(write_run, capsys, flags, label):
    assert table.main([write_run("a", flags)]) == 0
    assert capsys.readouterr().out.splitlines()[2].split("  ")[0] == label


def test_no_ratio_to_cross_entropy_on_another_data_set(write_run, capsys):
    runs = [write_run("a", CROSS_ENTROPY + "\n--dataset=fashion_mnist"), write_run("b", FAMUS)]
    assert table.main(runs) == 0
    assert "n/a" in capsys.readouterr().out.splitlines()[-1].split("0.0100")[1].split()[0]


def test_the_ratio_is_to_cross_entropy_not_to_other_losses_of_plain_training(write_run, capsys):
    other = write_run("b", CROSS_ENTROPY + "\n--loss=gce", train_seconds_per_step=0.005)
    assert table.main([write_run("a", CROSS_ENTROPY), other]) == 0
    assert [line.split()[-6] for line in capsys.readouterr().out.splitlines()[2:]] == ["1.00", "0.50"]
    assert table.main([other]) == 0
    assert capsys.readouterr().out.splitlines()[2].split()[-6] == "1.00"


def test_half_precision_is_compared_with_plain_training_in_single(write_run, capsys):
    half = "\n--dtype_policy=mixed_bfloat16"
    single, other = write_run("a", CROSS_ENTROPY), write_run("b", CROSS_ENTROPY + half, train_seconds_per_step=0.004)
    assert table.main([single, other]) == 0
    assert [line.split()[-6] for line in capsys.readouterr().out.splitlines()[2:]] == ["1.00", "0.40"]
    assert table.main([other]) == 0
    assert capsys.readouterr().out.splitlines()[2].split()[-6] == "1.00"


def test_a_directory_without_results_is_named(tmp_path, capsys):
    assert table.main([str(tmp_path / "none")]) == 2
    assert capsys.readouterr().err == (
        f"compare: error: {tmp_path / 'none' / 'results.json'}: cannot read it (No such file or directory)\n"
    )


@pytest.mark.parametrize("text", ["{", "[]", '{"test_accuracy": {"peak": 0.5}}', '{"test_accuracy": 3}'])
def test_results_that_are_none_are_named(write_run, capsys, text):
    directory = pathlib.Path(write_run("a"))
    (directory / "results.json").write_text(text)
    assert table.main([str(directory)]) == 2
    printed = capsys.readouterr().err
    assert printed.startswith(f"compare: error: {directory / 'results.json'}: ")
    assert printed.count("\n") == 1


def _three_rows(write_run):
    runs = []
    for method, accuracies in (("cross_entropy", (0.5, 0.52, 0.51)), ("mw_net", (0.56, 0.53, 0.58)), ("l2r", (0.6,))):
        for seed, accuracy in enumerate(accuracies):
            runs.append(write_run(f"{method}{seed}", f"--method={method}", seed, peak=accuracy, last=accuracy))
    return runs


def test_welchs_one_tailed_test(write_run, tmp_path, capsys):
    runs = _three_rows(write_run)
    assert table.main([*map(str, runs), "--t_test", f"--csv={tmp_path / 'out.csv'}"]) == 0
    with open(tmp_path / "out.csv", newline="") as file:
        cells = [row["p, above the first row"] for row in csv.DictReader(file)]
    # By hand: t = (mean - mean') / sqrt(s^2 / 3 + s'^2 / 3), Welch's degrees of freedom, the upper tail of Student's t
    # by the trapezoidal rule.
    first, second = np.array([0.5, 0.52, 0.51]), np.array([0.56, 0.53, 0.58])
    parts = [values.var(ddof=1) / 3 for values in (first, second)]
    t = (second.mean() - first.mean()) / math.sqrt(sum(parts))
    freedom = sum(parts) ** 2 / sum(part**2 / 2 for part in parts)
    x = np.linspace(t, t + 2000, 4_000_001)
    scale = math.gamma((freedom + 1) / 2) / math.sqrt(freedom * math.pi) / math.gamma(freedom / 2)
    expected = np.trapezoid(scale * (1 + x**2 / freedom) ** (-(freedom + 1) / 2), x)
    assert cells[0] == cells[2] == "n/a" and float(cells[1]) == pytest.approx(expected, abs=6e-4)
    assert "p, above the first row" not in _table(runs, capsys)


def test_a_folder_that_is_no_run_is_named(tmp_path, capsys):
    assert table.main([str(tmp_path)]) == 2
    assert f"{tmp_path}: no run directory, or of a run that is not finished" in capsys.readouterr().err


def test_it_is_quick():
    """It needs no TensorFlow."""
    code = "import sys, famus_tf.reports.compare; sys.exit('tensorflow' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_a_copy_of_a_run_is_no_further_seed(write_run, tmp_path, capsys):
    runs = [write_run(f"a{k}", CROSS_ENTROPY, seed=0, last=0.8) for k in range(2)]
    runs += [write_run(f"b{k}", FAMUS, seed=k, last=0.9 + 0.01 * k) for k in range(3)]
    assert table.main([*runs, "--t_test", f"--csv={tmp_path / 'out.csv'}"]) == 0
    with open(tmp_path / "out.csv", newline="") as file:
        assert "p, above the first row" not in next(csv.reader(file))
    assert "--t_test: no p, as it needs two rows, each of two seeds" in capsys.readouterr().err


def test_what_is_written_besides_makes_no_other_row(write_run, capsys):
    """Nor do runs of before there were these flags."""
    names = {field.name for field in dataclasses.fields(report.ReportConfig)} - config._NOT_WRITTEN
    assert names | {"nolabel_report"} == {*table.WITHOUT_EFFECT}
    runs = [
        write_run("a", FAMUS, seed=0),
        write_run("b", FAMUS + "\n--nolabel_report\n--report_folds=0\n--export_format=saved_model", seed=1),
        write_run("c", FAMUS + "\n--label_report\n--report_folds=3\n--export_format=keras", seed=2),
    ]
    assert _table(runs, capsys).count("FaMUS") == 1


def _table(runs, capsys):
    capsys.readouterr()
    assert table.main(list(map(str, runs))) == 0
    return capsys.readouterr().out


def test_csv_and_latex_have_the_table_of_the_terminal(write_run, tmp_path, capsys):
    runs = _three_rows(write_run)
    lines = _table(runs, capsys).splitlines()
    assert table.main([*map(str, runs), f"--csv={tmp_path / 'out.csv'}", f"--latex={tmp_path / 'out.tex'}"]) == 0
    with open(tmp_path / "out.csv", newline="") as file:
        written = list(csv.reader(file))
    assert [re.split(r" {2,}", line.rstrip()) for line in (lines[0], *lines[2:])] == written
    text = (tmp_path / "out.tex").read_text()
    assert text.count(r"\\") == len(written) and r"51.0 $\pm$ 1.0" in text and "±" not in text


def test_latex_escapes_what_is_its_own():
    assert table._in_latex(r"a_b & 5% {x} #1 \y ~^$") == (
        r"a\_b \& 5\% \{x\} \#1 \textbackslash{}y \textasciitilde{}\textasciicircum{}\$"
    )


def test_the_picture_has_a_curve_for_each_row(write_run, tmp_path, capsys):
    history = [{"step": 10 * k, "test_accuracy": 0.1 * k} for k in range(1, 5)]
    options = {"history": history, "train_seconds_per_step": 0.5}
    runs = [write_run(method, f"--method={method}", **options) for method in ("cross_entropy", "mw_net")]
    assert table.main([*map(str, runs), f"--plot={tmp_path / 'out.png'}"]) == 0
    assert np.ptp(np.asarray(PIL.Image.open(tmp_path / "out.png").convert("L"))) > 100
    bare = write_run("bare", "--method=l2r", history=[])
    assert table.main([str(bare), f"--plot={tmp_path / 'none.png'}"]) == 2
    assert "no run has the accuracies" in capsys.readouterr().err


def test_a_file_that_cannot_be_written_is_one_line(write_run, tmp_path, capsys):
    run = write_run("run", CROSS_ENTROPY, history=[{"step": 1, "test_accuracy": 0.5}])
    for name in ("csv", "latex", "json", "plot"):
        assert table.main([run, f"--{name}={tmp_path / 'no' / 'out.png'}"]) == 2
        said = capsys.readouterr().err
        assert said.startswith("compare: error: ") and said.count("\n") == 1
    assert table.main([run, "--plot=out.jpg"]) == 2
    assert capsys.readouterr().err == "compare: error: --plot=out.jpg: expected a name ending in .png\n"
