"""What makes the steps of a mode (`modes`): plain Keras, and `famus_tf`.

Every mode has a network of its own, built from the same seed, and trains it for real on the same pools of images.
"""

import collections
import functools
import pathlib
import statistics
import sys

import keras

import famus_tf
from benchmarks import cost_model, modes, pools, settled
from famus_tf import errors, networks
from famus_tf.devices import sharing
from famus_tf.training import step as steps

_SETTLE_REPORT = 100  # steps


def build_network(settings, policy):
    """The network of `settings` (`settings.Settings`) with fresh weights, its layers under the dtype policy `policy`.

    A network from a file keeps the policy that it was saved with.
    """
    keras.utils.set_random_seed(settings.seed)
    if pathlib.Path(settings.network).suffix == ".keras":
        return _load(settings.network)
    middle = [127.5] * settings.channels
    deviation = [64.0] * settings.channels
    return networks.build(settings.network, settings.image_shape, settings.classes, middle, deviation, policy)


def _load(path):
    try:
        return keras.models.load_model(path)
    except (OSError, ValueError) as error:
        raise errors.InputError(f"--network={path}: cannot read it ({error})") from error


def make_steps(mode, settings, policy, strategy):
    """The object that makes the steps of a mode.

    Args:
      mode: `Mode`.
      settings: `settings.Settings`.
      policy: dtype policy of the network.
      strategy: the one `tf.distribute.Strategy` of the process, with one replica; plain Keras does without.

    Returns:
      `KerasSteps` or `FamusSteps`.
    """
    if mode.learner is None:
        return KerasSteps(settings, policy)
    return FamusSteps(mode, settings, policy, strategy)


def _optimizer(settings):
    return keras.optimizers.SGD(settings.learning_rate, momentum=0.9)


class KerasSteps:
    """Plain Keras training: what `fit` does in each step, without its callbacks.

    Args:
      settings, policy: as in `make_steps`.
    """

    period = 1
    lowest_segments = ()
    gates_on = ()

    def __init__(self, settings, policy):
        self._network = build_network(settings, policy)
        self._network.compile(
            optimizer=_optimizer(settings),
            loss=keras.losses.SparseCategoricalCrossentropy(from_logits=True),
            metrics=[keras.metrics.SparseCategoricalAccuracy(name="accuracy")],
        )
        self._network.make_train_function()
        pool = pools.make(settings.pool, settings.image_shape, settings.classes, settings.seed, wrong_labels=True)
        self._iterator = iter(pools.batches(pool, settings.batch_size, with_index=False))
        self.segment_costs = None
        self.layers = None

    def trace(self):
        """False: Keras traces in the first step only."""
        return False

    def step(self):
        """One step, finished when this returns; returns the running mean of the loss."""
        logs = self._network.train_function(self._iterator)
        return {name: float(value) for name, value in logs.items()}["loss"]

    def settle(self):
        """Nothing: there is no sampler."""

    def forget(self):
        """Starts the records anew; there are none."""

    def units(self):
        """The cost model's forward passes of a step."""
        return cost_model.PLAIN_UNITS


def _as_the_last(pool):
    """The pool's images as the last ones of so many, the probes among them."""
    images, labels, index = pool
    return images, labels, index + modes.EXAMPLES - len(index)


class FamusSteps:
    """The steps of `famus_tf`'s own training loop, records fetched in each.

    Args:
      mode, settings, policy, strategy: as in `make_steps`.

    Attributes:
      period: number of steps after which they repeat.
      segment_costs: list of the segments' shares of the cost, from the input to the output.
      layers: L, the number of gates.
      lowest_segments: of each meta step since `forget`, the lowest segment traversed.
      gates_on: of each meta step since `forget`, the number of gates that were on.
    """

    def __init__(self, mode, settings, policy, strategy):
        self._mode = mode
        self._settings = settings
        self._policy = policy
        self._strategy = strategy
        self.period = max(mode.meta_every, mode.period)
        with strategy.scope():
            network = build_network(settings, policy)
            self.method = famus_tf.FaMUS(
                network,
                meta_learner=mode.learner(settings.classes),
                selector=mode.selector(),
                lambda_cost=settings.lambda_cost,
                schedule=mode.schedule,
                meta_every=mode.meta_every,
            )
            self.method.compile(
                _optimizer(settings), metrics=[keras.metrics.SparseCategoricalAccuracy(name="accuracy")]
            )
        sizes = settings.batch_size, settings.meta_size(mode.meta_share)
        self._meta_ratio = sizes[1] / sizes[0]
        pool_of = functools.partial(pools.make, settings.pool, settings.image_shape, settings.classes, settings.seed)
        self._batches, self._meta_batches = (
            sharing.distribute_batches(
                strategy, pools.batches(_as_the_last(pool_of(wrong_labels)), size, with_index=True)
            )
            for size, wrong_labels in zip(sizes, (True, False), strict=True)
        )
        self._step = steps.compile_step(strategy, self.method)
        self._count = 0
        self.segment_costs = [segment.cost for segment in self.method.segments]
        self.layers = len(self.method.gated_layers)
        self.forget()

    def next_pair(self):
        """A training batch, and a meta batch where the next step is a meta step, else None."""
        with_meta = self.method.is_meta_step(self._count)
        return next(self._batches), next(self._meta_batches) if with_meta else None

    def trace(self):
        """Traces all steps of a period without running them; returns True."""
        pair = next(self._batches), next(self._meta_batches)
        for with_meta, variant in {self._kind(count) for count in range(self.period)}:
            self._step.get_concrete_function(pair[0], pair[1] if with_meta else None, variant)
        return True

    def _kind(self, count):
        """Whether the step of that number is a meta step, and its variant."""
        with_meta = self.method.is_meta_step(count)
        return with_meta, self.method.variant_of(count) if with_meta else None

    def tracing_count(self):
        """How often the step was traced so far."""
        return self._step.experimental_get_tracing_count()

    def step(self):
        """One step, finished when this returns; returns its loss."""
        records, logs = self._step(*self.next_pair(), self._kind(self._count)[1])
        records = steps.gather(records)
        self._count += 1
        if "gates" in records:
            self.gates_on.append(int(records["gates"].sum()))
            self.lowest_segments.append(self._lowest_segment(int(records["lowest_layer"])))
        {name: float(value) for name, value in logs.items()}  # as `fit` and the training loop give them to callbacks
        return float(records["loss"])

    def settle(self):
        """Trains the selector of a mode that asks for it, on smaller images where the settings say so.

        Where the settings name a folder, what is found there is taken instead, and what is trained is kept there.

        Raises:
          InputError: the folder has a file that cannot be used.
        """
        if not self._mode.settle:
            return
        file = settled.path(self._mode.name, self._settings, self._policy)
        if file and file.exists():
            settled.load(file, self._weights())
            return
        smaller = self._settings.while_settling()
        same = smaller == self._settings
        steps = self if same else FamusSteps(self._mode, smaller, self._policy, self._strategy)
        for count in range(1, self._settings.settle_steps + 1):
            steps.step()
            if count % _SETTLE_REPORT == 0 or count == self._settings.settle_steps:
                recent = statistics.fmean(steps.lowest_segments[-_SETTLE_REPORT:])
                text = f"step {count} of {self._settings.settle_steps}, lowest segment {recent:.1f} of late"
                print(f"{self._mode.name}: the selector settles, {text}", file=sys.stderr, flush=True)
        if not same:
            for mine, trained in zip(self._weights(), steps._weights(), strict=True):
                mine.assign(trained)
        if file:
            settled.save(file, self._weights())

    def _weights(self):
        method = self.method
        return [*method.network.weights, *method.meta_learner.weights, *method.selector.weights]

    def forget(self):
        """Starts `lowest_segments` and `gates_on` anew."""
        self.lowest_segments = []
        self.gates_on = []

    def units(self):
        """The cost model's forward passes of a step, for the depths of the meta steps since `forget`; None before."""
        if not self.method.meta_learner.has_meta_step:
            return cost_model.PLAIN_UNITS
        if not self.lowest_segments:
            return None
        depths = collections.Counter(self.lowest_segments)
        share = sum(
            count * cost_model.traversed_share(self.segment_costs, lowest) for lowest, count in depths.items()
        ) / len(self.lowest_segments)
        return cost_model.units(
            share=share,
            meta_ratio=self._meta_ratio,
            schedule=self._mode.schedule,
            virtual_backward=self._mode.virtual_backward,
            meta_every=self._mode.meta_every,
        )

    def _lowest_segment(self, lowest_layer):
        """From the number of the lowest selected layer; where L_g is on, the classifier's segment is never left out."""
        layers = self.method.gated_layers
        if lowest_layer > len(layers):
            return layers[-1].segment if self.method.lambda_g else len(self.segment_costs)
        return layers[lowest_layer - 1].segment
