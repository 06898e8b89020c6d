"""Figures of an evaluation, against loops over the examples."""

import json

import numpy as np
import pytest

from famus_tf.evaluation import measures, per_example

NAMES = ["a", "b", "c", "d", "e", "f", "never"]


def said_of(logits, labels):
    probabilities = np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)
    rows = np.arange(len(labels))
    of_label = probabilities[rows, labels]
    rank = (logits > logits[rows, labels][:, np.newaxis]).sum(axis=1)
    loss = -np.log(of_label)
    return per_example.Said(loss, of_label, loss, logits.argmax(axis=1), probabilities.max(axis=1), rank)


@pytest.fixture
def case():
    """Logits and labels of 200 examples; the last class occurs nowhere, the fifth is predicted and no label."""
    rng = np.random.default_rng(0)
    labels = rng.choice([0, 0, 0, 1, 2, 3, 5], 200)
    logits = rng.normal(size=(200, 7)) + 1.5 * np.eye(7)[labels]
    logits[:, 6] = -9
    return logits, labels


def test_each_figure(case):
    logits, labels = case
    said = said_of(logits, labels)
    found = measures.of(said, labels, NAMES)
    json.dumps(found, allow_nan=False)
    predicted = logits.argmax(axis=1)
    right = predicted == labels
    assert found["examples"] == 200 and found["accuracy"] == pytest.approx(right.mean())
    top5 = [label in row.argsort()[-5:] for row, label in zip(logits, labels, strict=True)]
    assert found["top5"] == pytest.approx(np.mean(top5))
    assert found["cross_entropy"] == pytest.approx(said.loss.mean())
    recalls, f1s = [], []
    for k, one in enumerate(found["classes"]):
        hits = int((right & (labels == k)).sum())
        actual, guessed = int((labels == k).sum()), int((predicted == k).sum())
        assert one["name"] == NAMES[k] and one["examples"] == actual
        assert one["accuracy"] == (pytest.approx(hits / actual) if actual else None)
        assert one["precision"] == (pytest.approx(hits / guessed) if guessed else None)
        f1 = 2 * hits / (actual + guessed) if actual + guessed else None
        assert one["f1"] == (None if f1 is None else pytest.approx(f1))
        recalls += [hits / actual] if actual else []
        f1s += [] if f1 is None else [f1]
        assert found["confusion"][k] == [int(((labels == k) & (predicted == j)).sum()) for j in range(7)]
    assert found["classes"][4]["accuracy"] is None and found["classes"][4]["precision"] == 0.0
    assert found["balanced_accuracy"] == pytest.approx(np.mean(recalls))
    assert found["macro_f1"] == pytest.approx(np.mean(f1s))


def test_calibration(case):
    logits, labels = case
    said = said_of(logits, labels)
    found = measures.of(said, labels, NAMES)
    error = 0.0
    for place, one in enumerate(found["calibration"]):
        inside = (said.predicted_probability > place / 15) & (said.predicted_probability <= (place + 1) / 15)
        assert one["examples"] == inside.sum()
        if inside.any():
            accuracy = (said.predicted == labels)[inside].mean()
            confidence = said.predicted_probability[inside].mean()
            assert (one["accuracy"], one["confidence"]) == (pytest.approx(accuracy), pytest.approx(confidence))
            error += inside.mean() * abs(accuracy - confidence)
    assert found["expected_calibration_error"] == pytest.approx(error)


def test_what_does_not_count_is_left_out(case):
    logits, labels = case
    said = said_of(logits, labels)
    whole = measures.of(said, labels, NAMES)
    missing = np.full(5, np.nan)
    said = per_example.Said(*(np.concatenate([part, [-1] * 5 if part.dtype.kind == "i" else missing]) for part in said))
    assert measures.of(said, np.concatenate([labels, [0] * 5]), NAMES) == whole
    nothing = per_example.Said(*(part[-5:] for part in said))
    with pytest.raises(ValueError, match="no example"):
        measures.of(nothing, np.zeros(5, int), NAMES)
