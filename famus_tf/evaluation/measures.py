"""Figures of merit of a network on a labelled set."""

import numpy as np
from sklearn import metrics

_BINS = 15  # of the confidence, as in Guo et al.


def of(said, labels, class_names):
    """All of them, from what a network says of each example.

    Args:
      said: `per_example.Said` of N examples; those that do not count, whose loss is NaN, are left out.
      labels: true class ids, int [N].
      class_names: list of c names.

    Returns:
      Dict that JSON can hold:
        `examples`; `accuracy` and `top5`, fractions; `cross_entropy`, its mean;
        `balanced_accuracy`, the mean over the classes with examples of the accuracy on each; `macro_f1`, the mean over
          the classes that occur as labels or as predictions;
        `expected_calibration_error`, over 15 bins of the confidence (Guo et al., "On Calibration of Modern Neural
          Networks", ICML 2017, Eq. 3), and `calibration`, a list of the bins' `confidence`, `accuracy` and `examples`;
        `classes`, a list of each one's `name`, `examples`, `accuracy` (recall), `precision` and `f1`, None where it has
          no example, or no prediction;
        `confusion`, a list of c rows, true classes, of c counts, predicted ones.

    Raises:
      ValueError: no example counts.
    """
    counts = ~np.isnan(said.loss)
    if not counts.any():
        raise ValueError("no example to evaluate on")
    labels, predicted = np.asarray(labels)[counts], said.predicted[counts]
    present = np.arange(len(class_names))
    confusion = metrics.confusion_matrix(labels, predicted, labels=present)
    precision, recall, f1, support = metrics.precision_recall_fscore_support(
        labels, predicted, labels=present, zero_division=0.0
    )
    guessed = confusion.sum(axis=0)
    occurs = (support > 0) | (guessed > 0)
    calibration = _calibration(said.predicted_probability[counts], predicted == labels)
    return {
        "examples": int(counts.sum()),
        "accuracy": float(np.mean(predicted == labels)),
        "top5": float(np.mean(said.rank[counts] < 5)),
        "cross_entropy": float(np.mean(said.loss[counts], dtype=np.float64)),
        "balanced_accuracy": float(recall[support > 0].mean()),
        "macro_f1": float(f1[occurs].mean()),
        "expected_calibration_error": sum(
            one["examples"] * abs(one["confidence"] - one["accuracy"]) for one in calibration if one["examples"]
        )
        / int(counts.sum()),
        "calibration": calibration,
        "classes": [
            {
                "name": name,
                "examples": int(support[k]),
                "accuracy": float(recall[k]) if support[k] else None,
                "precision": float(precision[k]) if guessed[k] else None,
                "f1": float(f1[k]) if occurs[k] else None,
            }
            for k, name in enumerate(class_names)
        ],
        "confusion": confusion.tolist(),
    }


def _calibration(confidence, right):
    """Each bin's mean confidence, accuracy and number of examples; a confidence on an edge is of the bin below."""
    places = np.clip(np.ceil(confidence * _BINS).astype(int) - 1, 0, _BINS - 1)
    bins = []
    for place in range(_BINS):
        inside = places == place
        means = (float(part[inside].mean(dtype=np.float64)) if inside.any() else None for part in (confidence, right))
        bins.append(dict(zip(("confidence", "accuracy"), means, strict=True)) | {"examples": int(inside.sum())})
    return bins
