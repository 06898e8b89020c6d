"""What a run has done so far, and its checkpoints."""

import io
import itertools
import json
import logging
import pathlib

import numpy as np
import tensorflow as tf

from famus_tf import errors
from famus_tf.devices import cluster as clusters
from famus_tf.devices import sharing
from famus_tf.files import whole_files
from famus_tf.training import checkpoint_files, divergence, epoch_statistics, example_history, interruption

_LOG = logging.getLogger(__name__)

_KEPT_DURATIONS = 2000


class Progress(tf.train.experimental.PythonState):
    """What has been done by one method so far; saved with every checkpoint, so that a resumed run reports as if
    uninterrupted.

    Args:
      num_examples: N, the number of training images.
      num_layers: L, the number of gated layers.

    Attributes:
      step: number of training steps done.
      epoch_step: those of them in the epoch under way.
      history: list of one dict for each epoch done, with its `epoch`, `step`, the epoch's logs and its statistics;
        `test_class_accuracy` in the best and the last alone.
      epoch_statistics: `epoch_statistics.EpochStatistics` of the epoch under way.
      stage_times: list of one dict for each time that the stages of a step were timed, `step` and `seconds` by stage.
      example_weight: float32 [N], each example's weight when it was last seen; NaN before.
      examples: `example_history.ExampleHistory`, what was seen of each of them.
      gate_sums: float64 [L], how often each gate was on; `gate_steps` is the number of steps with gates.
      noted: names of what the run has been told of once; see `divergence.note_collapse`.
      lowest_sum: sum over those steps of the lowest selected layer's number (1..L).
      paired_steps: number of steps with a second batch, of a meta set or another stream.
      meta_durations, plain_durations: seconds of the last steps with and without a meta step, without evaluation,
        checkpoints and tracing.
    """

    def __init__(self, num_examples, num_layers):
        self.step = 0
        self.epoch_step = 0
        self.history = []
        self.epoch_statistics = epoch_statistics.EpochStatistics(num_layers)
        self.stage_times = []
        self.example_weight = np.full([num_examples], np.nan, np.float32)
        self.examples = example_history.ExampleHistory(num_examples)
        self.gate_sums = np.zeros([num_layers])
        self.gate_steps = 0
        self.lowest_sum = 0.0
        self.noted = []
        self.meta_durations = []
        self.plain_durations = []
        self.paired_steps = 0

    def record(self, records):
        """Adds the records of one step, `step.StepRecords` gathered over the replicas."""
        self.epoch_statistics.record(records)
        index = records["index"]
        known = index >= 0
        self.example_weight[index[known]] = records["example_weight"][known]
        self.examples.record(records)
        if "gates" in records:
            self.gate_sums += records["gates"]
            self.lowest_sum += float(records["lowest_layer"])
            self.gate_steps += 1

    def time(self, seconds, with_meta):
        """Adds the duration of one step."""
        durations = self.meta_durations if with_meta else self.plain_durations
        durations.append(seconds)
        del durations[:-_KEPT_DURATIONS]

    def end_epoch(self, entry):
        """Closes the epoch under way; `entry` has the logs that its history gets with its steps and statistics."""
        entry = {"epoch": len(self.history) + 1, "step": self.step, **entry, **self.epoch_statistics.close()}
        self.history.append(entry)
        self.epoch_step = 0

    def seconds_per_step(self, last=_KEPT_DURATIONS):
        """Mean over the kinds of steps, by their shares, of the median of the `last` durations; None without any."""
        paired = max(self.gate_steps, self.paired_steps)  # of runs that were begun before these were counted: gates
        kinds = [(paired, self.meta_durations[-last:]), (self.step - paired, self.plain_durations[-last:])]
        kinds = [(max(steps, 1), float(np.median(durations))) for steps, durations in kinds if durations]
        total = sum(steps for steps, _ in kinds)
        return sum(steps * seconds for steps, seconds in kinds) / total if kinds else None

    def seconds_per_meta_step(self):
        """Median of the last durations of steps with a meta step; None without any."""
        return float(np.median(self.meta_durations)) if self.meta_durations else None

    def serialize(self):
        """Bytes of everything above; called by TensorFlow's checkpoint."""
        buffer = io.BytesIO()
        plain = {
            "step": self.step,
            "epoch_step": self.epoch_step,
            "history": self.history,
            "stage_times": self.stage_times,
            "gate_steps": self.gate_steps,
            "lowest_sum": self.lowest_sum,
            "noted": self.noted,
            "meta_durations": self.meta_durations,
            "plain_durations": self.plain_durations,
            "paired_steps": self.paired_steps,
        }
        arrays = {"example_weight": self.example_weight, "gate_sums": self.gate_sums}
        arrays |= self.examples.arrays()
        np.savez(buffer, **arrays, **self.epoch_statistics.arrays(), plain=json.dumps(plain))
        return buffer.getvalue()

    def deserialize(self, string_value):
        """The inverse of `serialize`."""
        with np.load(io.BytesIO(string_value)) as arrays:
            self.example_weight = arrays["example_weight"]
            self.gate_sums = arrays["gate_sums"]
            self.epoch_statistics.restore(arrays)
            self.examples.restore(arrays)
            for name, value in json.loads(str(arrays["plain"])).items():
                setattr(self, name, value)


def _joined(lists):
    return list(itertools.chain.from_iterable(lists))


def _seed_states(methods):
    """The states of the networks' random layers, list of `tf.Variable`."""
    states = []
    for network in _joined(method.networks for method in methods):
        for variable in network.non_trainable_variables:
            if variable.path.endswith("seed_generator_state"):
                states.append(variable.value)
    return states


def _not_reached(parts, methods):
    """Variables of the methods that a checkpoint of those parts would leave out, list of `tf.Variable`.

    TensorFlow follows attributes, and does not look into lists, in which Keras finds layers all the same.
    """
    whole = tf.train.Checkpoint(**parts)  # the view holds it only weakly
    reached = {id(node) for node in tf.train.TrackableView(whole).descendants()}
    variables = {id(variable.value): variable for method in methods for variable in method.variables}
    left_out = [one for one in variables.values() if not {id(one), id(one.value)} & reached]
    return [variable.value for variable in left_out]


class Checkpoints:
    """Saves and restores methods (weights, optimizers, metrics) together with what has been done.

    Args:
      methods: list of compiled `methods.base.Method`s.
      progress: list of their `Progress`.
      directory: folder of the checkpoints; the last two are kept.
      metrics: the metric objects that the methods were compiled with, a list for each.
      strategy: the strategy of the methods. Of several workers each must save and restore; only the chief writes.
      state: what else belongs to the run, a trackable object of TensorFlow; None for nothing.

    Attributes:
      progress: as given.
    """

    def __init__(self, methods, progress, directory, metrics=(), strategy=None, state=None):
        # Checkpoints of earlier versions name the methods "trainers".
        parts = {"trainers": list(methods), "progress": list(progress)}
        if state:
            parts["state"] = state
        # Keras leaves the states of its random layers (Dropout) out of checkpoints, so they are named apart.
        parts["seeds"] = _seed_states(methods)
        # The same goes for metrics, whose means over the epoch are half done in mid-epoch.
        # Keras lists a compiled metric only once it was used, so those are given.
        means = [*(method.metrics for method in methods), *metrics]
        parts["means"] = [variable.value for metric in _joined(means) for variable in metric.variables]
        further = _not_reached(parts, methods)
        if further:
            parts["further"] = further
        self._checkpoint = tf.train.Checkpoint(**parts)
        self._methods = list(methods)
        self._directory = pathlib.Path(directory)
        self.progress = list(progress)
        self._strategy = strategy or tf.distribute.get_strategy()
        self._saved = None  # what `_state` was then
        self._last = None  # the newest `checkpoint_files.Checkpoint`; on the chief alone
        self._damaged = {}

    def restore(self):
        """Restores the newest checkpoint that is whole, if there is one; returns whether there was.

        Notes in one line which newer ones are damaged, and how many steps are done again.

        Raises:
          InputError: there are checkpoints, and none is whole; or it is of other networks or other data, or has weights
            that are not finite.
        """
        newest, self._damaged = checkpoint_files.newest_whole(self._directory)
        if newest is None:
            return False
        prefix = self._directory / newest.name
        expected = [len(progress.example_weight) for progress in self.progress]
        try:
            self._checkpoint.read(str(prefix)).assert_existing_objects_matched()
        except (AssertionError, ValueError, KeyError, tf.errors.OpError) as error:
            what = " ".join(str(error).split())[:200]
            raise errors.InputError(f"{prefix}: expected a checkpoint of this command's networks ({what})") from error
        for progress, count in zip(self.progress, expected, strict=True):
            if len(progress.example_weight) != count:
                raise errors.InputError(
                    f"{prefix}: made with {len(progress.example_weight):,} training images, there are {count:,}; "
                    "expected the data that it was made with"
                )
        divergence.check_variables(self._methods, self._strategy, self.step)
        if self._damaged and clusters.is_chief(self._strategy):
            lost = max(self._damaged).step - newest.step
            _LOG.info(
                f"{self._directory}: not whole and left as it is: {checkpoint_files.describe(self._damaged)}; goes on "
                f"from {newest.name}, {lost:,} steps are done again"
            )
        self._saved = self._state()
        self._last = newest
        interruption.note_checkpoint(newest.step)
        return True

    def save(self):
        """Writes a checkpoint of the present step, unless it is there already.

        Raises:
          InputError: it cannot be written; the older ones are there still.
        """
        # Asked of this process, not of the folder, so that all workers decide alike.
        if self._saved == self._state():
            return
        if clusters.is_chief(self._strategy):
            before = f"step {self._last.step:,}" if self._last else "the start"
            then = f"the steps since {before} are lost; once that is mended the same command goes on from there"
            with whole_files.explained(self._directory / f"ckpt-{self.step}", then):
                self._last = checkpoint_files.publish(self._directory, self.step, self._checkpoint.write)
            checkpoint_files.prune(self._directory, self._last, self._damaged)
        else:
            with sharing.place_to_write(self._strategy, "checkpoint") as place, whole_files.explained(place):
                self._checkpoint.write(str(place))
        self._saved = self._state()
        interruption.note_checkpoint(self.step)

    def describe_newest(self):
        """Some words about the newest checkpoint, for a sentence."""
        if self._saved is None:
            return f"{self._directory} has no checkpoint before it"
        return f"{self._directory} has the last checkpoint before it, of step {self._saved[0]:,}"

    def _state(self):
        """What tells two checkpoints of a run apart: of one step there may be one before and one after evaluation."""
        return self.step, sum(len(progress.history) for progress in self.progress)

    @property
    def step(self):
        """Number of steps done by all methods together."""
        return sum(progress.step for progress in self.progress)
