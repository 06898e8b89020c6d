"""The list of distrusted labels beside cleanlab's: what is asked of whom, and one short study."""

import json
import sys
import types

import numpy as np
import pytest

from benchmarks import labels
from tests import small_networks


@pytest.mark.quick
def test_scores_of_a_report():
    """Small probabilities, margins and weights are suspicious; a column without numbers is left out."""
    empty = dict.fromkeys(labels._COLUMNS, "")
    rows = [empty | {"suspicion": "2", "weight": "0.5"}, empty | {"suspicion": "1", "weight": ""}]
    found = labels.scores_of(rows)
    assert set(found) == {"the report's suspicion", "running mean of the weight"}
    assert found["the report's suspicion"].tolist() == [2.0, 1.0]
    assert found["running mean of the weight"].tolist() == [-0.5, -np.inf]


@pytest.mark.quick
def test_what_cleanlab_lists_comes_first(monkeypatch):
    """In its order; the rest by the probability of the given label, least first."""
    asked = {}

    def find_label_issues(given, probabilities, **options):
        asked.update(options)
        return np.array([3, 1])

    module = types.SimpleNamespace(find_label_issues=find_label_issues)
    monkeypatch.setitem(sys.modules, "cleanlab", types.SimpleNamespace(filter=module))
    monkeypatch.setitem(sys.modules, "cleanlab.filter", module)
    probabilities = np.array([[0.9, 0.1], [0.6, 0.4], [0.2, 0.8], [0.3, 0.7]])
    order = np.argsort(-labels.by_cleanlab(np.array([0, 0, 0, 0]), probabilities), kind="stable")
    assert order.tolist() == [3, 1, 2, 0]
    assert asked["return_indices_ranked_by"] == "self_confidence"


@pytest.mark.quick
def test_mean_and_spread():
    seeds = [
        {"a": {"auc": 0.8, "seconds": 10.0, "precision": {"200": 0.5}}},
        {"a": {"auc": 0.9, "seconds": 20.0, "precision": {"200": 0.7}}},
    ]
    found = labels.summary(seeds)["a"]
    assert set(found) == {"auc", "seconds", "precision_200"}
    assert found["auc"]["mean"] == pytest.approx(0.85) and found["auc"]["std"] == pytest.approx(0.1 / 2**0.5)
    assert found["precision_200"]["values"] == [0.5, 0.7]


@pytest.mark.slow
def test_a_study(tmp_path, capsys):
    """Trains a run and the networks out of fold, once: a second command reads what is there."""
    network = small_networks.save_convolutions(tmp_path / "small.keras")
    flags = f"--network={network}", "--epochs=2", "--train_limit=300", "--batch_size=16", "--meta_batch_size=10"
    words = ["digits", "--study=memory", "--seeds=0", "--folds=2", f"--runs={tmp_path / 'runs'}"]
    words += [f"--set={flag}" for flag in flags]
    assert labels.main([*words, f"--json={tmp_path / 'found.json'}"]) == 0
    found = json.loads((tmp_path / "found.json").read_text())["results"]
    assert {"the report's suspicion", "running mean of p(given)", "p(given) out of fold"} <= set(found)
    for row in found.values():
        assert 0 < row["auc"]["mean"] < 1 and row["seconds"]["mean"] > 0
    assert "precision at 200" in capsys.readouterr().out
    logs = {path: path.stat().st_mtime_ns for path in tmp_path.glob("runs/**/log_*.txt")}
    assert len(logs) == 2 and labels.main(words) == 0
    assert logs == {path: path.stat().st_mtime_ns for path in logs}
