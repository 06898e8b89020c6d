"""What training has seen of each example over all its visits: from it follows which labels are not to be trusted."""

import numpy as np

_MOMENTUM = 0.8  # of the running means, as that of `meta.memory`
# Arrays of a checkpoint, and what they are before the first visit.
_TABLES = {
    "visits": (np.int32, 0),
    "margin_sum": (np.float32, 0),
    "probability_sum": (np.float32, 0),
    "last_probability": (np.float32, np.nan),
    "score_visits": (np.int32, 0),
    "score_sum": (np.float32, 0),
    "weight_visits": (np.int32, 0),
    "weight_sum": (np.float32, 0),
}


class ExampleHistory:
    """Running figures of each of N examples, kept by the chief and in every checkpoint; 32 bytes an example.

    Args:
      num_examples: N.

    Attributes:
      visits: int32 [N], how often the network was asked about the example's given label.
      last_probability: float32 [N], p(given label) in the last of them; NaN before.
    """

    def __init__(self, num_examples):
        for name, (dtype, start) in _TABLES.items():
            setattr(self, name, np.full([num_examples], start, dtype))

    def record(self, records):
        """Adds the records of one step, `step.StepRecords`; an index below 0 is nobody's.

        An example that comes twice in a batch counts as one visit, with the mean of both.
        """
        index = np.asarray(records["index"])
        known = index >= 0
        if not known.any():
            return
        place, inverse = np.unique(index[known], return_inverse=True)
        counts = np.bincount(inverse)

        def mean(name):
            return np.bincount(inverse, weights=np.asarray(records[name])[known]) / counts

        self._fade("weight", place, mean("example_weight"))
        if "score" in records:
            self._fade("score", place, mean("score"))
        if "probability" in records:
            self.visit(place, mean("probability"), mean("margin"))

    def visit(self, place, probability, margin):
        """Adds what a network says of the given labels of some examples.

        Args:
          place: int [n], positions, each once.
          probability, margin: float [n]; see `losses.given_label`. What is not finite counts as no visit.
        """
        finite = np.isfinite(probability) & np.isfinite(margin)
        place, probability, margin = (part[finite] for part in (place, probability, margin))
        self.visits[place] += 1
        self.margin_sum[place] += margin
        self.last_probability[place] = probability
        self.probability_sum[place] += (1 - _MOMENTUM) * (probability - self.probability_sum[place])

    def _fade(self, name, place, values):
        finite = np.isfinite(values)
        place, values = place[finite], values[finite]
        sums, visits = getattr(self, f"{name}_sum"), getattr(self, f"{name}_visits")
        sums[place] += (1 - _MOMENTUM) * (values - sums[place])
        visits[place] += 1

    @property
    def area_under_margin(self):
        """AUM, the mean margin over all visits, float32 [N] (Pleiss et al., NeurIPS 2020, Eq. 2); NaN without any."""
        return np.where(self.visits > 0, self.margin_sum / np.maximum(self.visits, 1), np.nan).astype(np.float32)

    @property
    def probability(self):
        """Running mean of p(given label), float32 [N]; NaN without a visit."""
        return _mean(self.probability_sum, self.visits)

    @property
    def score(self):
        """Running mean of the standardised meta score, float32 [N]; NaN without a meta step."""
        return _mean(self.score_sum, self.score_visits)

    @property
    def weight(self):
        """Running mean of the example's weight, float32 [N]; NaN without a visit."""
        return _mean(self.weight_sum, self.weight_visits)

    def arrays(self):
        """Dict of arrays from which `restore` makes the same state again."""
        return {f"example_{name}": getattr(self, name) for name in _TABLES}

    def restore(self, arrays):
        """The inverse of `arrays`; others in it do not matter, and of earlier versions there are none."""
        for name in _TABLES:
            if f"example_{name}" in arrays:
                setattr(self, name, arrays[f"example_{name}"])


class JointHistory:
    """What several methods have seen of the same examples: the means over them, of those that have seen an example.

    Args:
      parts: list of `ExampleHistory`.

    Attributes:
      area_under_margin, probability, score, weight: float32 [N], as in `ExampleHistory`.
    """

    def __init__(self, parts):
        for name in ("area_under_margin", "probability", "score", "weight"):
            setattr(self, name, mean_of_known([getattr(part, name) for part in parts]))


def mean_of_known(lists):
    """The mean over a list of float [N] without NaN, float32 [N]; NaN where all are."""
    known = ~np.isnan(lists)
    total = np.where(known, lists, 0).sum(axis=0)
    count = known.sum(axis=0)
    return np.where(count > 0, total / np.maximum(count, 1), np.nan).astype(np.float32)


def _mean(sums, visits):
    """sum / (1 - m^k), NaN for k = 0."""
    share = -np.expm1(visits * np.log(_MOMENTUM))
    return np.where(visits > 0, sums / np.where(visits > 0, share, 1), np.nan).astype(np.float32)
