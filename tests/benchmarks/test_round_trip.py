"""From the report to cleaned lists and a training on those."""

import json

import pytest

from benchmarks import round_trip
from famus_tf.reports import label_report
from tests import small_networks


@pytest.mark.quick
def test_the_share_of_wrong_labels():
    """Of those that are trained on, without the trusted ones."""
    lines = [label_report.Line(n + 2, n, n == 3, "a", "b", 0.5) for n in range(4)]
    truth = {0: "a", 1: "b", 2: "b", 3: "b"}
    assert round_trip.wrong_share(lines, truth, {0: "a", 1: "a", 2: "a", 3: "a"}) == pytest.approx(2 / 3)
    assert round_trip.wrong_share(lines, truth, {0: "a", 1: "b", 3: "a"}) == 0


@pytest.mark.slow  # six trainings in processes of their own
def test_a_round_trip(tmp_path, capsys):
    network = small_networks.save_convolutions(tmp_path / "small.keras")
    flags = f"--network={network}", "--epochs=2", "--train_limit=300", "--batch_size=16", "--meta_batch_size=10"
    words = ["digits", "--study=memory", "--seeds=0", "--above=0.6", f"--runs={tmp_path / 'runs'}"]
    words += [f"--set={flag}" for flag in flags]
    assert round_trip.main([*words, f"--json={tmp_path / 'found.json'}"]) == 0
    found = json.loads((tmp_path / "found.json").read_text())["results"]
    assert [name.rpartition(", ")[2] for name in found] == [
        *("given labels",) * 2,
        *("distrusted dropped",) * 2,
        *("distrusted relabelled",) * 2,
    ]
    wrong = {name.rpartition(", ")[2]: row["wrong"]["mean"] for name, row in found.items()}
    assert wrong["given labels"] != wrong["distrusted dropped"] != wrong["distrusted relabelled"]
    assert all(0 < row["accuracy"]["mean"] < 1 for row in found.values())
    assert "last test accuracy" in capsys.readouterr().out
    logs = {path: path.stat().st_mtime_ns for path in tmp_path.glob("runs/**/log*.txt")}
    assert round_trip.main(words) == 0
    assert logs == {path: path.stat().st_mtime_ns for path in logs}
