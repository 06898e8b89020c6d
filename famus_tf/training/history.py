"""What a run reports of its epochs: of one method, or of two methods that train alternately."""

import copy

from famus_tf.training import best_epoch, example_history


class MethodHistory:
    """The history of a run of one method, which is that of its progress.

    Each epoch has the evaluation of the method's network; where it trains several, of their mean logits, and under
    `networks` that of each.

    Args:
      progress: `progress.Progress`.
    """

    def __init__(self, progress):
        self._progress = progress

    @property
    def epochs(self):
        """List of one dict for each epoch done."""
        return self._progress.history

    @property
    def step(self):
        """Number of training steps done."""
        return self._progress.step

    @property
    def together(self):
        """What results are made of."""
        return self._with_history([_without_networks(epoch) for epoch in self.epochs])

    @property
    def of_networks(self):
        """The same of each network, a list; empty where there is one."""
        together = [_without_networks(epoch) for epoch in self.epochs]
        parts = []
        for logs in zip(*(epoch.get("networks", ()) for epoch in self.epochs), strict=True):
            history = [epoch | network for epoch, network in zip(together, logs, strict=True)]
            parts.append(self._with_history(history))
        return parts

    def end_epoch(self, runners, evaluated, plan_logs):
        """Adds an epoch.

        Args:
          runners: list of the one `runner.Runner`.
          evaluated: list of dicts of logs: of each network and of all of them together, or of the only one.
          plan_logs: dict of the plan's `describe_epoch`.

        Returns:
          The epoch's logs, as callbacks get them.
        """
        *each, together = evaluated
        several = {"networks": each} if len(each) > 1 else {}
        self._progress.end_epoch(runners[0].logs() | together | several | plan_logs)
        best_epoch.drop_class_accuracies(self.epochs)
        for logs in zip(*(epoch.get("networks", ()) for epoch in self.epochs), strict=True):
            best_epoch.drop_class_accuracies(logs)
        return self.epochs[-1]

    def _with_history(self, epochs):
        part = copy.copy(self._progress)
        part.history = epochs
        return part


class JointHistory:
    """The history of a run whose methods train alternately: one for each method, and one for all of them together.

    Args:
      progress: list of the methods' `progress.Progress`.
      state: what is saved with the run; its `history` is the list of one dict for each epoch that all have done.
    """

    def __init__(self, progress, state):
        self._progress = progress
        self._state = state

    @property
    def epochs(self):
        """List of one dict for each epoch done."""
        return self._state.history  # restoring a checkpoint replaces the list

    @property
    def step(self):
        """Number of training steps done with all of them."""
        return sum(one.step for one in self._progress)

    @property
    def together(self):
        """What results are made of."""
        return JointProgress(self._progress, self.epochs)

    @property
    def of_networks(self):
        """The progress of each."""
        return list(self._progress)

    def end_epoch(self, runners, evaluated, plan_logs):
        """As `MethodHistory.end_epoch`; `runners` has one for each method."""
        *each, together = evaluated
        for runner, logs in zip(runners, each, strict=True):
            runner.progress.end_epoch(runner.logs() | logs)
            best_epoch.drop_class_accuracies(runner.progress.history)
        self.epochs.append({"epoch": len(self.epochs) + 1, "step": self.step} | together | plan_logs)
        best_epoch.drop_class_accuracies(self.epochs)
        return together


class JointProgress:
    """The progress of several methods as one, with the attributes of `Progress` that results are made of.

    Args:
      parts: list of the methods' `Progress`.
      history: list of one dict for each epoch of the run.
    """

    def __init__(self, parts, history):
        self._parts = parts
        self.history = history
        self.stage_times = []
        self.example_weight = example_history.mean_of_known([part.example_weight for part in parts])
        self.examples = example_history.JointHistory([part.examples for part in parts])

    @property
    def step(self):
        """Number of training steps done with all of them."""
        return sum(part.step for part in self._parts)

    @property
    def gate_sums(self):
        """float64 [L], how often each gate was on in any of them."""
        return sum(part.gate_sums for part in self._parts)

    @property
    def gate_steps(self):
        """Number of steps with gates of all of them."""
        return sum(part.gate_steps for part in self._parts)

    @property
    def lowest_sum(self):
        """Sum over those steps of the lowest selected layer's number."""
        return sum(part.lowest_sum for part in self._parts)

    def seconds_per_step(self):
        """Mean over the methods, None without any."""
        return _mean([part.seconds_per_step() for part in self._parts])

    def seconds_per_meta_step(self):
        """Mean over the methods, None without any."""
        return _mean([part.seconds_per_meta_step() for part in self._parts])


def _mean(values):
    known = [value for value in values if value is not None]
    return sum(known) / len(known) if known else None


def _without_networks(epoch):
    return {key: value for key, value in epoch.items() if key != "networks"}
