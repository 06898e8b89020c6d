"""The label report of methods whose steps see no image with its given label alone: it still tells of the labels."""

import csv
import json

import numpy as np
import pytest
from sklearn import metrics

from famus_tf import networks
from famus_tf.config import config
from famus_tf.experiment import modes
from tests import small_networks

_FLAGS = {
    "dataset": "digits",
    "train_limit": 300,
    "noise": "symmetric",
    "noise_rate": 0.4,
    "meta_per_class": 0,
    "batch_size": 20,
    "base_learning_rate": 0.05,
    "epochs": 6,
}


@pytest.fixture(autouse=True)
def network(monkeypatch):
    """A small one."""

    def build(input_shape, num_classes, mean, std):
        return small_networks.convolutions(True, input_shape, num_classes, dropout=0)

    monkeypatch.setitem(networks.BUILDERS, "small_preact", build)


@pytest.mark.parametrize("name", ["mixup", "bbn", "elr_plus", "pls", "ssr", "incv"])
def test_wrong_labels_are_found(name, tmp_path):
    further = {"incv_rounds": 2} if name == "incv" else {}
    modes.run(config.from_values(_FLAGS | {"method": name, "workdir": str(tmp_path)} | further))
    with open(tmp_path / "labels.csv", newline="", encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    wrong = np.array([row["given_label"] != row["true_label"] for row in rows])
    suspicion = np.array([float(row["suspicion"]) for row in rows])
    assert 0.2 < wrong.mean() < 0.5 and len(np.unique(suspicion)) > 1
    assert metrics.roc_auc_score(wrong, -np.array([float(row["rank"]) for row in rows])) > 0.55
    results = json.loads((tmp_path / "results.json").read_text())
    assert results["train_seconds_per_step"] > 0


def test_folds_of_a_method_with_flags_of_its_own(tmp_path):
    further = {"elr_strength": 2.0, "report_folds": 2, "epochs": 2}
    modes.run(config.from_values(_FLAGS | {"method": "elr", "workdir": str(tmp_path)} | further))
    assert np.isfinite(np.load(tmp_path / "folds" / "of_2" / "probabilities.npy")).all()
