"""Meta-learners behind one interface: `parameters`, `loss`, `update`; nothing else knows which one it is.

Besides these three a learner says of itself:
  has_meta_step      whether there is anything to learn
  carries_theta      whether the theta of one step means something in the next; without it a step can neither do
                     without its own meta update (`meta_every`) nor use the last one's (`schedule="one_loop"`)
  starts_at_zero     whether L_tra vanishes at the theta that a step starts from: w_hat = w, Virtual-Train is free
  virtual_learning_rate   alpha of the virtual step, None for that of w
"""

import keras
import tensorflow as tf

from famus_tf import errors
from famus_tf.devices import replicas
from famus_tf.losses import softmax


class MetaLearner(keras.layers.Layer):
    """What the learners have in common: no variables, all examples alike; see the module's docstring.

    Args:
      loss: function of labels, logits [n, c] and the number of steps done -> the training loss of each example [n],
        such as those of `famus_tf.losses`; None for the cross-entropy. It may have two methods: `weighed_by`, of the
        same arguments, the values [n] that decide how far an example is trusted, where these are not its losses; and
        `penalty` of labels and logits, a scalar that is added to the loss of the batch, this replica's share.
    """

    has_meta_step = True
    carries_theta = False
    starts_at_zero = False
    virtual_learning_rate = None

    def __init__(self, loss=None, **kwargs):
        super().__init__(**kwargs)
        self.training_loss = keras.saving.deserialize_keras_object(loss) if isinstance(loss, dict) else loss

    def losses(self, logits, labels, step=None):
        """The training loss of each example, [n]; `step` is the number of steps done, None for a time of no matter."""
        if self.training_loss is None:
            return softmax.cross_entropy(labels, logits)
        return self.training_loss(labels, logits, step)

    def weighed_by(self, logits, labels, step=None):
        """What decides how far each example is trusted, [n]: its loss, unless the loss says otherwise."""
        other = getattr(self.training_loss, "weighed_by", None)
        return self.losses(logits, labels, step) if other is None else other(labels, logits, step)

    def penalty(self, logits, labels):
        """What the loss adds for the batch as a whole, this replica's share of it."""
        penalty = getattr(self.training_loss, "penalty", None)
        return 0.0 if penalty is None else penalty(labels, logits)

    def plain_loss(self, logits, labels, step=None):
        """The loss of the batch where every example weighs the same, this replica's share."""
        return softmax.mean_over_batch(self.losses(logits, labels, step)) + self.penalty(logits, labels)

    def get_config(self):
        """Constructor arguments, for Keras serialisation."""
        loss = self.training_loss
        return super().get_config() | {"loss": None if loss is None else keras.saving.serialize_keras_object(loss)}

    def create_variables(self):
        """Makes theta where it is kept between steps; otherwise nothing."""
        self.built = True

    def compile(self, optimizer):
        """Takes the optimizer of theta (learning rate beta); call it inside the strategy's scope."""
        self.optimizer = optimizer

    def example_weights(self, logits, labels, theta, step=None):
        """Weight of each example in the loss, float32 [n]: 1 is what it would have in a plain mean."""
        del labels, theta, step
        return tf.ones([tf.shape(logits)[0]])


class CrossEntropy(MetaLearner):
    """Plain training, on the cross-entropy or another `loss`: every example weighs the same, there is no meta step."""

    has_meta_step = False

    def parameters(self, batch):
        """Theta is empty."""
        del batch
        return []

    def loss(self, logits, labels, theta, step=None):
        """The examples' mean loss, this replica's share; logits [n, c], labels [n] or [n, c]."""
        del theta
        return self.plain_loss(logits, labels, step)

    def update(self, theta, gradient):
        """Theta stays empty."""
        del gradient
        return theta


class MWNet(MetaLearner):
    """Meta-Weight-Net (Shu et al., NeurIPS 2019): V_i = Psi(loss_i; theta), a network 1 - `hidden` - 1 with a sigmoid.

    The loss that enters Psi is detached, as in the reference. Theta is passed around as tensors, so that the loss can
    be taken before and after the meta update within one step.

    Args:
      hidden: width of the hidden layer; 100 in the reference.
      normalize: True divides the weights by their sum over the global batch (the reference's script for noisy labels);
        False takes the mean of V_i loss_i (its later, "stable" script, and Eq. 1).
      weight_decay: L2 coefficient added to theta's gradient; 1e-4 (Adam) or 5e-4 (SGD) in the reference. Where V has
        saturated, its gradient is gone, and this alone brings it back.
      seed: int, for the initial weights.
      loss: as in `MetaLearner`; it is what the weights multiply, and what enters Psi unless it says otherwise.
    """

    carries_theta = True

    def __init__(self, hidden=100, normalize=True, weight_decay=0.0, seed=0, **kwargs):
        super().__init__(**kwargs)
        self.hidden, self.normalize, self.weight_decay, self.seed = hidden, normalize, weight_decay, seed

    def create_variables(self):
        """Makes theta: the weights and biases of the two layers, uniform in +-1/sqrt(fan in) as in the reference."""
        shapes = [("weight1", (1, self.hidden), 1), ("bias1", (self.hidden,), 1)]
        shapes += [("weight2", (self.hidden, 1), self.hidden), ("bias2", (1,), self.hidden)]
        self._theta = [
            self.add_weight(
                name=name,
                shape=shape,
                initializer=keras.initializers.RandomUniform(-(fan_in**-0.5), fan_in**-0.5, seed=self.seed + number),
            )
            for number, (name, shape, fan_in) in enumerate(shapes)
        ]
        self.built = True

    def compile(self, optimizer):
        """Takes the optimizer of theta and builds its variables."""
        super().compile(optimizer)
        optimizer.build(self._theta)

    def parameters(self, batch):
        """Theta as a list of tensors [1, h], [h], [h, 1], [1]."""
        del batch
        return [tf.convert_to_tensor(variable.value) for variable in self._theta]

    def weigh(self, losses, theta):
        """V_i in (0, 1) before any normalisation.

        Args:
          losses: float [n].
          theta: from `parameters` or `update`.

        Returns:
          float [n].
        """
        weight1, bias1, weight2, bias2 = (tf.cast(t, losses.dtype) for t in theta)
        hidden = tf.nn.relu(tf.matmul(losses[:, tf.newaxis], weight1) + bias1)  # [n, h]
        return tf.sigmoid(tf.matmul(hidden, weight2) + bias2)[:, 0]

    def loss(self, logits, labels, theta, step=None):
        """sum_i V_i loss_i / sum_i V_i, or the mean of V_i loss_i; this replica's share of the global batch's.

        Args:
          logits: float [n, c].
          labels: [n] class ids or [n, c] distributions.
          theta: from `parameters` or `update`.
          step: number of steps done.

        Returns:
          Scalar. The replicas' shares sum to the loss of the global batch.
        """
        losses, penalty = self.losses(logits, labels, step), self.penalty(logits, labels)
        values = self.weigh(tf.stop_gradient(self.weighed_by(logits, labels, step)), theta)
        if not self.normalize:
            return softmax.mean_over_batch(values * losses) + penalty
        total = replicas.all_reduce_sum(tf.reduce_sum(values))
        return tf.math.divide_no_nan(tf.reduce_sum(values * losses), total) + penalty

    def update(self, theta, gradient):
        """One optimizer step (Eq. 4); the optimizer sums the gradient over the replicas. Returns theta'."""
        decay = self.weight_decay / replicas.count()
        gradient = [tf.cast(g, t.dtype) + decay * t for g, t in zip(gradient, theta, strict=True)]
        self.optimizer.apply(gradient, self._theta)
        return self.parameters(None)

    def example_weights(self, logits, labels, theta, step=None):
        """Weight of each example in the loss, float32 [n]: 1 is what it would have in a plain mean."""
        values = self.weigh(self.weighed_by(logits, labels, step), theta)
        if self.normalize:
            examples = tf.cast(tf.shape(values)[0] * replicas.count(), values.dtype)
            values *= tf.math.divide_no_nan(examples, replicas.all_reduce_sum(tf.reduce_sum(values)))
        return softmax.at_least_float32(values)

    def get_config(self):
        """Constructor arguments, for Keras serialisation."""
        return super().get_config() | {
            "hidden": self.hidden,
            "normalize": self.normalize,
            "weight_decay": self.weight_decay,
            "seed": self.seed,
        }


class L2R(MetaLearner):
    """Learning to reweight (Ren et al., ICML 2018): theta is one weight for each example of the batch, epsilon.

    Each step starts from epsilon = 0, where L_tra = sum_i epsilon_i loss_i has no gradient in w: w_hat = w, and the
    virtual pass need not be made. One step from there, cut at 0 and normalised, gives the weights,
    max(-dL_c / d epsilon, 0) / sum, whatever alpha and beta are.
    """

    starts_at_zero = True

    def parameters(self, batch):
        """Epsilon = 0, [n]; batch is (images, labels)."""
        images, _ = batch
        return [tf.zeros([tf.shape(images)[0]], self.compute_dtype)]

    def loss(self, logits, labels, theta, step=None):
        """sum_i epsilon_i loss_i over this replica's examples; logits [n, c], labels [n] or [n, c]."""
        losses = self.losses(logits, labels, step)
        return tf.reduce_sum(tf.cast(theta[0], losses.dtype) * losses)

    def update(self, theta, gradient):
        """Weights that sum to 1 over the global batch; all 0 where no example's gradient points the right way."""
        del theta
        weights = tf.nn.relu(-gradient[0])
        return [tf.math.divide_no_nan(weights, replicas.all_reduce_sum(tf.reduce_sum(weights)))]

    def example_weights(self, logits, labels, theta, step=None):
        """Weight of each example in the loss, float32 [n]: 1 is what it would have in a plain mean."""
        del logits, labels, step
        weights = softmax.at_least_float32(theta[0])
        return weights * tf.cast(tf.shape(weights)[0] * replicas.count(), weights.dtype)


class MLC(MetaLearner):
    """Meta label correction (Wang et al., CVPR 2020): theta is a transition matrix T [c, c] on the logits.

    Each step starts from T = I. L_tra is the cross-entropy of logits . T; T' = max(T - beta dL_c / dT, 0) with every
    column divided by its sum. A column that is left without a positive entry stays 0, as in the authors' code. T
    multiplies logits, not probabilities, there too.

    The authors' code sums the loss over a batch of 64 and takes virtual steps of 1e-3 and beta = 0.11; the supplement
    of the FaMUS paper says beta = 1e-5. L_tra here is the mean over the global batch unless `reduction` says
    otherwise, so that w has the learning rates of the other learners. Of `meta_optimizer` only the learning rate,
    beta, is used: T is new in every step, and so is any momentum.

    Args:
      num_classes: c.
      virtual_learning_rate: alpha of the virtual step; None for that of w. 1e-3 in the authors' code, which goes with
        `reduction="sum"`; for the mean over their batch of 64 the same step is 0.064.
      reduction: "mean" or "sum" of the cross-entropy over the global batch.

    Raises:
      InputError: another `reduction`.
    """

    def __init__(self, num_classes, virtual_learning_rate=None, reduction="mean", **kwargs):
        super().__init__(**kwargs)
        if self.training_loss is not None:
            raise errors.InputError("MLC with another loss: expected None, as its T belongs to the cross-entropy")
        if reduction not in ("mean", "sum"):
            raise errors.InputError(f"MLC(reduction={reduction!r}): expected 'mean' or 'sum'")
        self.num_classes, self.virtual_learning_rate, self.reduction = num_classes, virtual_learning_rate, reduction

    def parameters(self, batch):
        """T = I, [c, c]."""
        del batch
        return [tf.eye(self.num_classes, dtype=self.compute_dtype)]

    def loss(self, logits, labels, theta, step=None):
        """Cross-entropy of logits . T, this replica's share; logits [n, c], labels [n] or [n, c]."""
        del step
        logits = softmax.at_least_float32(logits)
        losses = softmax.cross_entropy(labels, tf.matmul(logits, tf.cast(theta[0], logits.dtype)))
        if self.reduction == "sum":
            return tf.reduce_sum(losses)
        return softmax.mean_over_batch(losses)

    def update(self, theta, gradient):
        """T' = max(T - beta gradient, 0), its columns normalised; the gradient is summed over the replicas."""
        matrix, gradient = theta[0], replicas.all_reduce_sum(gradient[0])
        beta = tf.cast(self.optimizer.learning_rate, matrix.dtype)
        matrix = tf.nn.relu(matrix - beta * tf.cast(gradient, matrix.dtype))
        return [tf.math.divide_no_nan(matrix, tf.reduce_sum(matrix, axis=0, keepdims=True))]

    def get_config(self):
        """Constructor arguments, for Keras serialisation."""
        return super().get_config() | {
            "num_classes": self.num_classes,
            "virtual_learning_rate": self.virtual_learning_rate,
            "reduction": self.reduction,
        }
