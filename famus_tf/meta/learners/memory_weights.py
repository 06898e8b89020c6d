"""Weights by what is remembered of each example, not by its last loss alone."""

from __future__ import annotations

from typing import Any

import keras
import numpy as np
import tensorflow as tf

from famus_tf import errors
from famus_tf.devices import replicas
from famus_tf.losses import softmax
from famus_tf.meta import batches, discriminant, example_scores, grouped_memory
from famus_tf.meta.learners import base, mw_net

INPUTS = ("score", "probability", "loss", "agreement")
# Inputs that are high where a label is wrong.
_FALLING = ("loss",)
RULES = ("fixed", "meta_gradient", "probes")
_OTHERS = 10.0  # examples with the mean of all that each class has besides its own


@keras.saving.register_keras_serializable("famus_tf")
class MemoryWeightNet(base.ExampleWeighting):
    """A weight for each example, a function of running means over its visits (ours).

    The inputs of an example:
      score        how far a step on it lowers the validation loss, -<d loss_i / d z_i, zdot_i> of the meta step, which
                   costs nothing there; each batch standardised, since its scale changes with alpha and the epoch
      probability  that the network gives to its label
      loss         its training loss
      agreement    1 where the network predicts its label, else 0

    Each running mean is standardised over the data set. An example is trusted by sigmoid(sharpness z_i), where z_i is
    the sum of the inputs, a_f >= 0 times each, divided by its standard deviation over the data set. So a is a direction
    alone, and how sharply it decides is a setting. An example has z_i = 0 while an input has had fewer visits than
    `least_visits`, which the score has in meta steps alone.

    Where a comes from is the `rule`:
      fixed          all inputs alike
      meta_gradient  the meta gradient of Eq. 4, from a = 1 on, held at 0 or more. It goes to examples of large losses,
                     whatever their labels are, since these have the largest gradients (docs/memory.md)
      probes         `discriminant.within_classes`: the last examples of the training set have labels that are known to
                     be right, and what tells them from the rest of their class tells right labels from wrong ones

    Args:
      num_examples: N, the size of the training set. Batches have a third element, the examples' index.
      inputs: some of the four names.
      rule: one of the three.
      num_probes: P, how many examples at the end of the training set are known to be labelled right; for "probes".
      num_classes: c; the means are standardised within the classes of the examples' labels, so that hard classes do not
        weigh less as a whole. 0: over all examples alike; not for "probes".
      shrinkage: of "probes", as if so many further ones said that all inputs count alike.
      sharpness: of the sigmoid.
      momentum: of the running means (`memory.ExampleMemory`).
      least_visits: visits before an example has a weight of its own, 1 or more.
      pull: of "meta_gradient", L2 coefficient of a towards its start, 1.
      emphasis: `MWNet`, whose weights multiply these, and which the meta gradient teaches: what is remembered tells
        which labels to trust, and the loss which of the trusted examples to learn from. It sees the losses of this
        learner. Not with "meta_gradient".
      normalize: whether the weights are divided by their sum over the global batch, as in `MWNet`.
      loss: as in `MetaLearner`.

    Raises:
      InputError: an input that there is not, or none, or a number out of its range.
    """

    carries_theta = True
    remembers = True

    def __init__(
        self,
        num_examples: int,
        inputs: tuple[str, ...] = INPUTS[:2],
        rule: str = "fixed",
        num_probes: int = 0,
        num_classes: int = 0,
        shrinkage: float = 100.0,
        sharpness: float = 2.5,
        momentum: float = 0.8,
        least_visits: int = 2,
        pull: float = 0.0,
        emphasis: mw_net.MWNet | dict[str, Any] | None = None,
        normalize: bool = True,
        **kwargs: Any,
    ) -> None:
        super().__init__(normalize, **kwargs)
        names = inputs if isinstance(inputs, tuple | list) else ()
        if not names or len(set(names)) < len(names) or any(name not in INPUTS for name in names):
            raise errors.InputError(f"inputs={inputs!r}: expected a tuple of some of {', '.join(INPUTS)}, each once")
        self.inputs = self.beliefs_about = tuple(inputs)
        errors.check_number("sharpness", sharpness, "a number above 0 and at most 1e6", lambda s: 0 < s <= 1e6)
        for name, value in (("shrinkage", shrinkage), ("pull", pull)):
            errors.check_number(name, value, "a number, 0 or more", lambda number: number >= 0)
        for name, value in (("num_probes", num_probes), ("num_classes", num_classes)):
            errors.check_number(name, value, "a whole number, 0 or more", lambda number: number >= 0, whole=True)
        if num_probes and rule != "probes":
            raise errors.InputError(f"num_probes={num_probes} with rule={rule!r}: expected 0, or rule='probes'")
        if rule not in RULES:
            raise errors.InputError(f"rule={rule!r}: expected one of {', '.join(RULES)}")
        classes = max(num_classes, 1)
        groups = 2 * classes if rule == "probes" else classes
        self.memory = grouped_memory.GroupedMemory(num_examples, self.inputs, momentum, groups, least_visits)
        self.num_examples = self.memory.num_examples
        if rule == "probes" and not (0 < num_probes < num_examples and num_classes > 1):
            raise errors.InputError(
                f"rule='probes' with num_probes={num_probes}, num_classes={num_classes}: expected 1 to "
                f"{num_examples - 1} probes and 2 or more classes"
            )
        if isinstance(emphasis, dict):
            emphasis = keras.saving.deserialize_keras_object(emphasis)
        if emphasis is not None and rule == "meta_gradient":
            raise errors.InputError("emphasis with rule='meta_gradient': expected another rule")
        self.emphasis = emphasis if emphasis is None else _plain(emphasis)
        if self.emphasis is not None:
            self.emphasis.training_loss = self.training_loss
        self.rule = rule
        self.num_probes = num_probes
        self.num_classes = num_classes
        self.shrinkage = shrinkage
        self.sharpness = sharpness
        self.pull = pull
        self.fixed_parts = 2 if rule == "meta_gradient" else 3
        self.takes_scores = "score" in self.inputs
        self.has_meta_step = emphasis is not None or rule == "meta_gradient" or "score" in self.inputs

    def create_variables(self) -> None:
        """Makes the tables of the running means and, by the rule, a."""
        self.memory.build()
        if self.emphasis is not None:
            self.emphasis.create_variables()
        if self.rule == "meta_gradient":
            shape = (len(self.inputs),)
            at_least_0 = keras.constraints.NonNeg()
            self._theta = self.add_weight(name="coefficients", shape=shape, initializer="ones", constraint=at_least_0)
        self.built = True

    def compile(self, optimizer: keras.optimizers.Optimizer) -> None:
        """Takes the optimizer of theta and builds its variables."""
        super().compile(optimizer)
        if self.emphasis is None:
            optimizer.build(self.trainable_variables)
        else:
            self.emphasis.compile(optimizer)

    def parameters(self, batch: batches.Batch) -> list[tf.Tensor]:
        """Theta, and what it meets, neither of which a meta step changes.

        Args:
          batch: `meta.batches.Batch`.

        Returns:
          Theta of `emphasis`, if any; a [F]; the standardised means of the batch's examples [n, F], high where a label
          is likely right; and the correlations of the inputs over the data set [F, F].
        """
        emphasis = [] if self.emphasis is None else self.emphasis.parameters(batch)
        return [*emphasis, *self._remembered(batch.index)]

    def _remembered(self, index):
        """The last three of `parameters`; index: int64 [n]."""
        classes = self.num_classes or 1
        moments = self.memory.moments()
        of_classes = moments.merged(classes)
        centres = of_classes.drawn_means(_OTHERS)
        covariance = of_classes.covariance(centres)
        scale = self._scale(of_classes, covariance)
        correlations = covariance * scale * scale[:, tf.newaxis]
        place, inside = self.memory.places(index)
        means, visits = self.memory.means(place)
        rows = (tf.cast(means, tf.float64) - tf.gather(centres, self.memory.group_of(place) % classes)) * scale
        known = tf.logical_and(inside, self.memory.is_known(visits))
        rows *= tf.cast(known, rows.dtype)[:, tf.newaxis]
        return [tf.cast(part, tf.float32) for part in (self._coefficients(moments, scale), rows, correlations)]

    def _scale(self, of_classes, covariance):
        """What gives the inputs the variance 1, high where a label is likely right, [F]; 0 of one that is constant."""
        variance = tf.linalg.diag_part(covariance)
        squares = tf.reduce_sum(tf.linalg.diag_part(of_classes.products), axis=0)
        is_constant = variance * tf.reduce_sum(of_classes.count) <= example_scores.ALIKE * squares
        sign = tf.constant([-1.0 if name in _FALLING else 1.0 for name in self.inputs], variance.dtype)
        deviation = tf.sqrt(tf.where(is_constant, tf.ones_like(variance), variance))
        return tf.where(is_constant, tf.zeros_like(sign), sign / deviation)

    def _coefficients(self, moments, scale):
        """a [F], by the rule; moments of the groups, scale [F] as from `_scale`."""
        if self.rule == "meta_gradient":
            return tf.convert_to_tensor(self._theta.value)
        if self.rule == "fixed":
            return tf.ones([len(self.inputs)])
        others, probes = (moments.part(k * self.num_classes, (k + 1) * self.num_classes) for k in (0, 1))
        return discriminant.within_classes(others, probes, scale, self.shrinkage)

    def weigh(self, theta: list[tf.Tensor]) -> tf.Tensor:
        """How far each example is trusted, in (0, 1), float32 [n]; theta from `parameters` or `update`."""
        coefficients, rows, correlations = theta[-3:]
        variance = tf.tensordot(coefficients, tf.linalg.matvec(correlations, coefficients), 1)
        deviation = tf.sqrt(tf.maximum(variance, 1e-12))
        return tf.sigmoid(self.sharpness * tf.linalg.matvec(rows, coefficients) / deviation)

    def weigh_examples(
        self, logits: tf.Tensor, labels: tf.Tensor, theta: list[tf.Tensor], step: tf.Tensor | None = None
    ) -> tf.Tensor:
        """V_i before any normalisation, float32 [n]: the trust, whatever the logits are now, times the emphasis."""
        trust = self.weigh(theta)
        if self.emphasis is None:
            return trust
        return trust * tf.cast(self.emphasis.weigh_examples(logits, labels, theta[:-3], step), trust.dtype)

    def update(self, theta: list[tf.Tensor], gradient: list[tf.Tensor]) -> list[tf.Tensor]:
        """One optimizer step of a, whose gradient the optimizer sums over the replicas; with other rules nothing."""
        if self.emphasis is not None:
            return [*self.emphasis.update(theta[:-3], gradient[:-3]), *theta[-3:]]
        if self.rule != "meta_gradient":
            return theta
        coefficients, rows, correlations = theta
        pull = self.pull / replicas.count() * (coefficients - 1.0)
        self.optimizer.apply([tf.cast(gradient[0], coefficients.dtype) + pull], [self._theta])
        return [tf.convert_to_tensor(self._theta.value), rows, correlations]

    def remember(
        self,
        index: tf.Tensor,
        labels: tf.Tensor,
        logits: tf.Tensor,
        scores: tf.Tensor | None,
        step: tf.Tensor | None = None,
    ) -> None:
        """Takes the visit of a step's examples.

        Args:
          index: int64 [n], positions of the examples.
          labels: [n] class ids, [n, c] distributions or `losses.dividemix.MixedLabels`.
          logits: float [n, c] at w.
          scores: float [n] of the meta step, standardised (`example_scores`); None without one.
          step: number of steps done.
        """
        logits = softmax.at_least_float32(logits)
        targets = getattr(labels, "targets", labels)
        cross_entropy = softmax.cross_entropy(targets, logits)
        given = tf.argmax(targets, axis=-1) if targets.shape.rank == 2 else tf.cast(targets, tf.int64)
        values = {
            "probability": tf.exp(-cross_entropy),
            "loss": self.weighed_by(logits, labels, step),
            "agreement": tf.cast(tf.argmax(logits, axis=-1) == given, tf.float32),
            "score": tf.zeros_like(cross_entropy) if scores is None else scores,
        }
        is_known = tf.constant([name != "score" or scores is not None for name in self.inputs])
        rows = tf.stack([tf.cast(values[name], tf.float32) for name in self.inputs], axis=1)
        is_known = tf.logical_and(is_known, tf.math.is_finite(cross_entropy)[:, tf.newaxis])
        self.memory.observe_in_groups(index, rows, is_known, self._groups(index, given))

    def _groups(self, index, given):
        """The classes [n] where they count, those of the probes after the others."""
        if not self.num_classes:
            return tf.zeros_like(given)
        is_probe = tf.cast(index, given.dtype) >= self.num_examples - self.num_probes
        return given + self.num_classes * tf.cast(is_probe, given.dtype) if self.num_probes else given

    def trust(self) -> np.ndarray:
        """How far each example of the data set is trusted, in (0, 1), float32 [N]."""
        index = tf.range(self.num_examples, dtype=tf.int64)
        return self.weigh(self._remembered(index)).numpy()

    def beliefs(self, theta: list[tf.Tensor]) -> dict[str, tf.Tensor]:
        """What theta believes: the share of each input in the sum of a, by name."""
        shares = tf.math.divide_no_nan(theta[-3], tf.reduce_sum(theta[-3]))
        return dict(zip(self.inputs, tf.unstack(shares, num=len(self.inputs)), strict=True))

    def get_config(self) -> dict[str, Any]:
        """Constructor arguments, for Keras serialisation."""
        return super().get_config() | {
            "num_examples": self.memory.num_examples,
            "inputs": self.inputs,
            "rule": self.rule,
            "num_probes": self.num_probes,
            "num_classes": self.num_classes,
            "shrinkage": self.shrinkage,
            "sharpness": self.sharpness,
            "momentum": self.memory.momentum,
            "least_visits": self.memory.least_visits,
            "pull": self.pull,
            "emphasis": None if self.emphasis is None else keras.saving.serialize_keras_object(self.emphasis),
        }


def _plain(emphasis: Any) -> mw_net.MWNet:
    """The same; InputError unless it is an MWNet that neither remembers nor is made for classes."""
    if not isinstance(emphasis, mw_net.MWNet) or emphasis.remembers or emphasis.num_classes is not None:
        raise errors.InputError(f"emphasis={type(emphasis).__name__}: expected an MWNet, which sees a loss alone")
    return emphasis
