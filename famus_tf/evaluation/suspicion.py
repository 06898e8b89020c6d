"""How far the label of each example is to be distrusted, from what training has seen of it.

A network that has learnt a wrong label by heart gives it a probability of 1. So what counts is what was seen while it
was learning; the trained network is asked only where it was trained with weights that keep wrong labels out.
"""

import numpy as np
from scipy import stats
from sklearn import metrics

_SPREAD = 0.1  # of weights whose mean is about 1
_SHARPNESS = 2.5  # of the sigmoid, as that of `memory_weight_net`


def of_history(examples, labels, num_classes, with_score=True):
    """From running means of p(given label) and, where that is wanted, of the meta score, both alike.

    Each is standardised within the examples of a class, so that hard classes are not distrusted as a whole.

    Args:
      examples: `training.example_history.ExampleHistory`, or what has its `probability` and `score`.
      labels: the given labels, int [N].
      num_classes: c.
      with_score: whether the scores count. Those of layers that repeat are the better sign where classes are taken for
        others; those of layers that were chosen otherwise tell next to nothing.

    Returns:
      float64 [N] in [0, 1], high where a label is likely wrong; 0.5 for an example without a visit.
    """
    wanted = (examples.probability, examples.score) if with_score else (examples.probability,)
    parts = [np.asarray(values, np.float64) for values in wanted]
    parts = [_within_classes(values, labels, num_classes) for values in parts if not np.isnan(values).all()]
    z = np.sum(parts, axis=0) if parts else np.zeros(len(labels))
    deviation = z.std()
    return 1 / (1 + np.exp(_SHARPNESS * z / (deviation if deviation > 0 else 1)))


def together(learned, signs):
    """The suspicion that was learnt, in the order that further signs of a wrong label agree on with it.

    The order is that of the mean rank; the values are those of `learned`, handed out in that order.

    Args:
      learned: float [N] in [0, 1].
      signs: list of float [N], high where a label is likely wrong; NaN where nothing is known.

    Returns:
      float64 [N].
    """
    learned = np.asarray(learned, np.float64)
    parts = [stats.rankdata(learned)]
    for sign in signs:
        known = ~np.isnan(sign)
        if known.any():
            parts.append(stats.rankdata(np.where(known, sign, np.median(sign[known]))))
    values = np.empty(len(learned), np.float64)
    values[np.argsort(np.mean(parts, axis=0), kind="stable")] = np.sort(learned)
    return values


def is_told_by(weights):
    """Whether a network was trained with weights that tell its examples apart, and so learns few wrong labels by heart.

    Args:
      weights: running means of the examples' weights, float [N], NaN without a visit.
    """
    known = weights[~np.isnan(weights)]
    return len(known) > 0 and float(known.std()) > _SPREAD


def _within_classes(values, labels, num_classes):
    """With mean 0 in every class and variance 1 over all; 0 for NaN."""
    known = ~np.isnan(values)
    counts = np.bincount(labels[known], minlength=num_classes)
    means = np.bincount(labels[known], weights=values[known], minlength=num_classes) / np.maximum(counts, 1)
    centred = np.where(known, values - means[labels], 0.0)
    deviation = centred[known].std()
    return centred / deviation if deviation > 0 else np.zeros(len(values))


def ranks(suspicion):
    """The place of each example in the list of the most distrusted, 1 to N, int64 [N]; of equal ones in their order."""
    order = np.argsort(-suspicion, kind="stable")
    places = np.empty(len(suspicion), np.int64)
    places[order] = np.arange(1, len(suspicion) + 1)
    return places


def quality(suspicion, is_wrong, at=(100, 200, 1000)):
    """How well the list finds wrong labels.

    Args:
      suspicion: float [N].
      is_wrong: bool [N].
      at: lengths of the list; those above N are left out.

    Returns:
      Dict: `auc` of suspicion for wrong against right labels, None where there is one kind; and `precision`, a dict
      from the length of the list to the share of wrong labels among the most distrusted.
    """
    order = np.argsort(-suspicion, kind="stable")
    precision = {str(k): float(is_wrong[order[:k]].mean()) for k in at if k <= len(suspicion)}
    both = is_wrong.any() and not is_wrong.all()
    return {"auc": float(metrics.roc_auc_score(is_wrong, suspicion)) if both else None, "precision": precision}
