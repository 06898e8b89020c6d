"""The studies of all methods: their flags make runs, and no test image chooses a rate."""

import json

import pytest

from benchmarks import accuracy, baseline_rows, baselines
from famus_tf.config import command_line
from famus_tf.config.method import METHODS
from tests import small_networks


@pytest.mark.quick
@pytest.mark.parametrize(("dataset", "study"), [(d, s) for d, found in baseline_rows.STUDIES.items() for s in found])
def test_the_flags_of_all_rows_go_together(dataset, study):
    arguments = baselines._parse([dataset, f"--study={study}"])
    rows = baseline_rows.rows(dataset, study)
    rates = {label: [(0.1, "0", ()), (0.05, "100", baselines._HELD_OUT)] for label in rows}
    methods = set()
    for job, rate in baselines.make_jobs(arguments, rates):
        made = command_line.read_config(["famus_tf.main", *job.flags])
        methods.add(made.method.method)
        assert made.optimization.base_learning_rate == rate
        assert made.data.validation_share == (0.1 if job.seed == "100" else 0)
    if (dataset, study) in baseline_rows.NOISY:
        without = {"cmw_net", "mlc", "soft_labels", "running_score", "running_probability", "jamal", "bbn"}
        without |= {"crt", "tau_norm"}
        assert methods == METHODS.keys() - without
    assert len({accuracy.slug(label) for label in rows}) == len(rows)


@pytest.mark.quick
def test_the_best_rate_of_equals_is_the_smallest():
    assert baselines.best({0.1: 0.5, 0.02: 0.7, 0.05: 0.7}) == 0.02


@pytest.mark.slow  # eight trainings in processes of their own
def test_a_study(tmp_path, capsys):
    network = small_networks.save_convolutions(tmp_path / "small.keras")
    words = ["digits", "--study=symmetric_60", "--seeds=0", "--only=cross_entropy,mixup", f"--runs={tmp_path / 'runs'}"]
    words += [
        f"--set={flag}" for flag in (f"--network={network}", "--epochs=2", "--train_limit=200", "--batch_size=16")
    ]
    assert baselines.main([*words, f"--json={tmp_path / 'found.json'}"]) == 0
    rows = json.loads((tmp_path / "found.json").read_text())
    assert {row["method"] for row in rows} == {"cross-entropy", "MixUp"}
    accuracies = [row["last_test_accuracy"]["mean"] for row in rows]
    assert accuracies == sorted(accuracies, reverse=True)
    for row in rows:
        by_rate = {float(rate): value for rate, value in row["validation_accuracy_by_rate"].items()}
        assert len(by_rate) == 3 and row["learning_rate"] == baselines.best(by_rate)
    assert "learning rates, by what is held out" in capsys.readouterr().out
    before = {path: path.stat().st_mtime_ns for path in tmp_path.glob("runs/**/log.txt")}
    assert len(before) == 8 and baselines.main(words) == 0
    assert before == {path: path.stat().st_mtime_ns for path in before}
    kept = [*words[:3], "--only=mixup", *words[4:], f"--json={tmp_path / 'found.json'}", "--keep"]
    assert baselines.main(kept) == 0 and json.loads((tmp_path / "found.json").read_text()) == [
        row | ({"ratio_to_cross_entropy": None} if row["method"] == "MixUp" else {}) for row in rows
    ]
    assert baselines.main([*kept, "--set=--epochs=3"]) == 2
    assert "row 'cross-entropy': --epochs" in capsys.readouterr().err


def test_rows_that_go_on_from_a_trained_network_begin_at_cross_entropys_run(capsys):
    arguments = baselines._parse(["fashion_mnist_longtail", "--study=imbalance_100"])
    rates = {"cRT": [(0.1, "2", ())], "tau-norm": [(0.02, "100", ())]}
    jobs = [job for job, _ in baselines.make_jobs(arguments, rates, 0.05)]
    begun = [command_line.read_config(["famus_tf.main", *job.flags]).run.init_from for job in jobs]
    assert [place.rpartition("/")[2] for place in begun] == [
        "cross_entropy_rate0.05_seed2",
        "cross_entropy_rate0.05_seed100",
    ]
    words = ["fashion_mnist_longtail", "--study=imbalance_100", "--only=crt"]
    assert baselines.main(words) == 2
    assert "--only: cRT goes on from the runs of cross_entropy; expected that row too" in capsys.readouterr().err


def test_another_row_is_refused(capsys):
    assert baselines.main(["digits", "--study=symmetric_60", "--only=maml"]) == 2
    assert "--only=maml: expected some of cross_entropy" in capsys.readouterr().err
