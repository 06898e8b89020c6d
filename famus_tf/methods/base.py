"""What every way of training has: networks that one step trains, an optimizer for them, running means."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any, Protocol

import keras
import numpy as np
import tensorflow as tf

from famus_tf import errors
from famus_tf.meta import penalties
from famus_tf.methods import averaged, keras_model, weight_average
from famus_tf.networks import logits as network_logits
from famus_tf.training import plan
from famus_tf.training.step import StepRecords

if TYPE_CHECKING:
    from famus_tf.config.baselines import BaselinesConfig
    from famus_tf.config.method import MethodConfig
    from famus_tf.config.optimization import OptimizationConfig


@dataclasses.dataclass(frozen=True)
class Setting:
    """What a method is built from, in the strategy's scope; each of `methods.BY_NAME` takes what it needs.

    Attributes:
        make_network: function of a number, 0, 1, ... -> a network; each number has other initial weights.
        class_sizes: number of training examples of each class by the given labels, [c].
        num_probes: how many examples at the end of the training set are known to be labelled right.
        seed: of theta and of the gates.
        steps_per_epoch: training steps in an epoch.
        total_steps: of the run.
        meta_from: plain steps before the first meta step.
        loss: training loss of each example, as `meta.learners.base.MetaLearner` takes it; None for cross-entropy.
        validation_loss: L_c, as `famus.FaMUS` takes it.
        optimizer, meta_optimizer, sampler_optimizer: of w, theta and eta.
        metrics: list of Keras metrics of (labels, logits).
        record_meta_gradient: whether steps return the meta gradient.
        forget_rate: tau of Co-teaching and JoCoR, a number; `baselines.forget_rate` is None where the flag is auto.
        class_balanced_beta: of weights by class.
        method, optimization, baselines: the groups of flags.
    """

    make_network: Callable[[int], keras.Model]
    class_sizes: Sequence[int]
    num_probes: int
    seed: int
    steps_per_epoch: int
    total_steps: int
    meta_from: int
    loss: Callable[..., tf.Tensor] | None
    validation_loss: Callable[..., tf.Tensor]
    optimizer: keras.optimizers.Optimizer
    meta_optimizer: keras.optimizers.Optimizer
    sampler_optimizer: keras.optimizers.Optimizer
    metrics: list[Any]
    record_meta_gradient: bool
    forget_rate: float
    class_balanced_beta: float
    method: MethodConfig
    optimization: OptimizationConfig
    baselines: BaselinesConfig

    @property
    def num_classes(self) -> int:
        """c."""
        return len(self.class_sizes)

    @property
    def num_examples(self) -> int:
        """N, the size of the training set."""
        return sum(self.class_sizes)

    @property
    def epochs(self) -> int:
        """Epochs of the run, the last perhaps a part of one."""
        return -(-self.total_steps // self.steps_per_epoch)


class Look(Protocol):
    """What a method may ask for before an epoch: what networks say of all training examples, and of trusted ones.

    Attributes:
        labels: the given labels, int [N].
    """

    labels: np.ndarray

    def rows(self, network: keras.Model, positions: np.ndarray | None = None) -> np.ndarray:
        """What a network makes of each training image, in inference mode and not augmented, float32 [N, d].

        Of those at `positions` alone where these are given. NaN for an image that cannot be read. The outputs of a
        network with several come side by side.
        """

    def trusted(self, network: keras.Model) -> tuple[np.ndarray, np.ndarray]:
        """The same of the trusted examples, and their labels."""


class Method(keras_model.KerasModel):
    """One or several networks that a `step` trains in place.

    A subclass says which `networks` and `trained_variables` it has, and what `step` does. It has no more to do with
    devices, files or epochs: the training loop calls `step` on each replica's share of a batch, and the run evaluates,
    saves and exports `evaluated`, which is `networks` or averages of their weights.

    Args:
      weight_decay: L2 coefficient added to the gradient of every trained variable.

    Attributes:
      networks: list of `keras.Model`, images [n, height, width, channels] -> logits [n, c].
      trained_variables: list of `keras.Variable`, what `optimizer` moves.
      gated_layers: the layers l = 1..L that a selector decides on; none unless a subclass has them.
      needs_meta_batches: whether some steps take a second batch, of a meta set or of another stream; False unless a
        subclass says so.
      draws_epochs: whether `draws` says what an epoch's batches are drawn from; else they are all examples' in turn.
      variant: which of several graphs a step is traced for, `variant_of`; set where it is traced, None at other times.
    """

    gated_layers = ()
    draws_epochs = False
    variant: int | str | None = None

    def __init__(self, weight_decay: float = 0.0, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.weight_decay = weight_decay
        self._ema = 0.0
        self._averages: list[keras.Model] = []

    def step(self, data: Any, with_meta: bool = True) -> StepRecords:
        """One step on one replica's share of the batches.

        Args:
          data: `(images, labels[, index])`; with a meta step a pair of that and the same of the meta set.
          with_meta: False for a step without a meta update; see `is_meta_step`.

        Returns:
          `training.step.StepRecords`.
        """
        raise NotImplementedError

    @property
    def optimizers(self) -> dict[str, keras.optimizers.Optimizer]:
        """Dict name -> each optimizer that there is: "base", and "meta" and "sampler" where a subclass has them."""
        return {"base": self.optimizer}

    def is_meta_step(self, step: int) -> bool:
        """Whether the step of that number, counted from 0, is a meta step."""
        del step
        return False

    def begin_epoch(self, epoch: int, look: Look) -> None:
        """Called before the first step of each epoch, outside of any replica; what it finds is kept in variables.

        Args:
          epoch: counted from 0.
          look: asks the networks; each question is a pass over the data.
        """

    def draws(self, epoch: int, labels: np.ndarray) -> tuple[plan.Draw, plan.Draw | None]:
        """What the batches of that epoch are drawn from, and those of the second stream; a function of the variables.

        Asked where `draws_epochs` says so, after `begin_epoch`, and anew after a resume in mid-epoch.

        Args:
          epoch: counted from 0.
          labels: the given labels, int [N].
        """
        raise NotImplementedError

    def variant_of(self, step: int | None = None) -> int | str | None:
        """Which graph the meta step of that number, counted from 0, takes; None where all take the same.

        To be asked right before the step; None for `step` is the next one.
        """
        del step
        return None

    def keep_averages(self, momentum: float) -> None:
        """Keeps moving averages of the weights from now on, to be evaluated, reported and exported in their place.

        To be called in the strategy's scope, before the first step.

        Args:
          momentum: in [0, 1); shorter in the first steps, see `weight_average.warm`.
        """
        self._ema = momentum
        self._averages = [weight_average.copy_of(network) for network in self.networks]
        options = {"dtype": "int64", "trainable": False, "aggregation": "only_first_replica"}
        self._averaged_from = self.add_weight(name="averaged_from", shape=(), initializer="zeros", **options)

    def open_epoch(self, epoch: int, look: Look) -> None:
        """`begin_epoch`; where that has set weights, their averages begin anew with them."""
        weights = [variable for network in self.networks for variable in network.weights]
        before = [variable.numpy() for variable in weights] if self._averages else []
        self.begin_epoch(epoch, look)
        if any((variable.numpy() != value).any() for variable, value in zip(weights, before, strict=False)):
            for average, network in zip(self._averages, self.networks, strict=True):
                average.set_weights(network.get_weights())
            self._averaged_from.assign(self.step_number())

    @property
    def evaluated(self) -> list[keras.Model]:
        """What is evaluated and exported: `networks`, or averages of their weights."""
        return self._averages or self.networks

    def step_number(self) -> tf.Tensor:
        """Number of steps done, int64 scalar."""
        return tf.cast(tf.convert_to_tensor(self.optimizer.iterations), tf.int64)

    def trust(self) -> np.ndarray | None:
        """How far the label of each training example is trusted by what was remembered of it, float32 [N] in [0, 1].

        None for methods that remember none.
        """
        return None

    def matrices(self) -> dict[str, np.ndarray]:
        """What TensorBoard shows as pictures after each epoch: {name: float [rows, columns] in [0, 1]}."""
        return {}

    def call(self, images: tf.Tensor, training: bool = False) -> tf.Tensor:
        """Images -> mean logits of the networks, [n, c]."""
        return averaged.mean_logits([network(images, training=training) for network in self.evaluated])

    def _check_ready(self):
        super()._check_ready()
        if self.draws_epochs or type(self).begin_epoch is not Method.begin_epoch:
            raise errors.InputError(
                f"fit: {type(self).__name__} looks at all examples before an epoch; expected a run of famus_tf.main"
            )

    def _keep_means(self, names):
        """Makes the running means of an epoch; to be called at the end of the constructor."""
        for network in self.networks:
            network_logits.check(network)
        counts = [network_logits.num_classes(network) for network in self.networks]
        if len(set(counts)) > 1:
            raise errors.InputError(f"networks of {' and '.join(map(str, counts))} outputs: expected as many of each")
        self._means = {name: keras.metrics.Mean(name=name) for name in names}
        self.built = True

    def _loss_scale(self):
        """By what the optimizer divides the gradients that it gets, float32 scalar; None where it does not."""
        optimizer = self.optimizer
        if not isinstance(optimizer, keras.optimizers.LossScaleOptimizer) and not optimizer.loss_scale_factor:
            return None
        return tf.cast(optimizer.scale_loss(tf.ones([])), tf.float32)

    def _apply(self, gradients, decay=None, kept=None):
        """The optimizer's step from this replica's gradients (it sums over replicas), penalties added.

        Args:
          gradients: list, one for each of `trained_variables`.
          decay: L2 coefficient of this step, a scalar tensor; None: `weight_decay`.
          kept: factor for each variable's gradient, 0 or 1, penalties and all; None: 1.
        """
        variables = self.trained_variables
        gradients = penalties.add_penalties(gradients, variables, self.weight_decay if decay is None else decay)
        if kept is not None:
            gradients = [tf.cast(one, part.dtype) * part for one, part in zip(kept, gradients, strict=True)]
        scale = self._loss_scale()
        if scale is not None:
            gradients = [tf.cast(scale, gradient.dtype) * gradient for gradient in gradients]
        self.optimizer.apply(gradients, variables)
        if self._averages:
            weight_average.move(self._averages, self.networks, self._average_momentum)

    def _average_momentum(self):
        return weight_average.warm(self.step_number() - self._averaged_from.value, self._ema)

    def _gradients(self, tape, loss):
        """Gradients of a loss by `trained_variables`; zeros where it does not depend on one.

        On their way through the network they are as large as the optimizer asks for, which float16 needs.
        """
        sources = [variable.value for variable in self.trained_variables]
        scale = self._loss_scale()
        outputs = None if scale is None else tf.cast(scale, loss.dtype)
        gradients = tape.gradient(
            loss, sources, output_gradients=outputs, unconnected_gradients=tf.UnconnectedGradients.ZERO
        )
        return gradients if scale is None else [gradient / tf.cast(scale, gradient.dtype) for gradient in gradients]
