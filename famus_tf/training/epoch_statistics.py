"""What an epoch's steps have in common: how often each layer was selected, how much the meta gradient varied."""

import numpy as np


class EpochStatistics:
    """Running statistics over the meta steps of one epoch; part of a checkpoint in mid-epoch.

    Args:
      num_layers: L, the number of gated layers.
    """

    def __init__(self, num_layers):
        self._start(num_layers)

    def _start(self, num_layers):
        self._gate_sums = np.zeros([num_layers])
        self._gate_steps = 0
        # A scalar 0 takes the shape of the first gradient, whose length nobody has to know before.
        self._moments = {"count": 0, "mean": np.zeros([]), "squares": np.zeros([]), "norms": 0.0}
        self._repeatability = np.zeros([0])  # of the last measurement; empty before it

    def record(self, records):
        """Adds the records of one step, `step.StepRecords`; those that are not there do not count.

        Args:
          records: dict of arrays with perhaps `gates` [L] of 0 and 1, `meta_gradient` [P] and `repeatability` [L].
        """
        if "gates" in records:
            self._gate_sums += records["gates"]
            self._gate_steps += 1
        if "repeatability" in records:
            self._repeatability = np.asarray(records["repeatability"], np.float64)
        if "meta_gradient" in records:
            self._add_gradient(np.asarray(records["meta_gradient"], np.float64))

    def _add_gradient(self, gradient):
        """Welford's update: a sum of squares less the squared sum would lose a variance that is small to the mean."""
        count, mean, squares, norms = (self._moments[name] for name in ("count", "mean", "squares", "norms"))
        deviation = gradient - mean
        mean = mean + deviation / (count + 1)
        self._moments = {
            "count": count + 1,
            "mean": mean,
            "squares": squares + deviation * (gradient - mean),
            "norms": norms + np.linalg.norm(gradient),
        }

    def close(self):
        """The statistics of the epoch that ends, and a new start.

        Returns:
          Dict that JSON can hold, empty where no step had what it needs:
            `gates`: list of L numbers, the share of the epoch's meta steps in which each layer was selected
              (supplement, Fig. 2);
            `meta_gradient` (Fig. 4): `variance`, the sample variance of each component over the epoch's meta steps,
              meaned over the P components; `relative_variance`, the variances' sum over the squared norm of the mean
              gradient, which a change of scale leaves as it is; `norm`, the mean over the steps of the gradient's
              norm; `steps`. The variances are None for fewer than two steps. The paper does not say over what it
              takes the variance; theta moves meanwhile, so that its drift within the epoch is part of it;
            `repeatability`: list of L numbers, each layer's by the epoch's last measurement.
        """
        statistics = {}
        if self._gate_steps:
            statistics["gates"] = (self._gate_sums / self._gate_steps).round(6).tolist()
        count = int(self._moments["count"])
        if count:
            statistics["meta_gradient"] = self._describe_gradient(count)
        if len(self._repeatability):
            statistics["repeatability"] = self._repeatability.round(6).tolist()
        self._start(len(self._gate_sums))
        return statistics

    def _describe_gradient(self, count):
        variance = None
        relative = None
        if count > 1:
            variances = self._moments["squares"] / (count - 1)
            squared_norm = float(np.sum(self._moments["mean"] ** 2))
            variance = float(np.mean(variances))
            relative = float(np.sum(variances)) / squared_norm if squared_norm else None
        norm = float(self._moments["norms"]) / count
        return {"variance": variance, "relative_variance": relative, "norm": norm, "steps": count}

    def arrays(self):
        """Dict of arrays from which `restore` makes the same state again."""
        moments = {f"moments_{name}": value for name, value in self._moments.items()}
        gates = {"epoch_gate_sums": self._gate_sums, "epoch_gate_steps": self._gate_steps}
        return gates | {"epoch_repeatability": self._repeatability} | moments

    def restore(self, arrays):
        """The inverse of `arrays`; others in it do not matter."""
        self._gate_sums = arrays["epoch_gate_sums"]
        self._gate_steps = int(arrays["epoch_gate_steps"])
        if "epoch_repeatability" in arrays:  # earlier versions have none
            self._repeatability = arrays["epoch_repeatability"]
        self._moments = {name: arrays[f"moments_{name}"] for name in self._moments}
