"""Algorithm 1 of "Faster Meta Update Strategy for Noise-Robust Deep Learning" (Xu et al., CVPR 2021).

Eq. 3 to 12, in the order of the supplement's listing. Symbols, the paper's but for g, u and the lambdas:
  w      weights of the network Phi, cut into segments; w_hat after the virtual step, w' after the actual one
  theta  parameters of the meta-learner Psi, which decides how far to trust each training label
  eta    parameters of the samplers Gamma, one for each layer
  r      gates [L], r_l = 1 where layer l accumulates the meta gradient
  alpha, beta, delta  learning rates of w, theta and eta (`optimizer`, `meta_optimizer`, `sampler_optimizer`)
  g      gradient of the training loss (the paper's g is the meta gradient), u  gradient of the validation loss L_c at
         w_hat, one tensor for each variable
  lambda_r, lambda_g  the paper's lambda_1 and lambda_2
  n, m   sizes of the training and the validation ("meta") batch; L  number of layers; K  expected number of gates on

With `AllLayers()` and lambda_g = 0 it is the meta-learner itself, with `CrossEntropy()` plain training.

Where it goes beyond the paper or differs from it (docs/differences.md): the meta gradient is taken as
one Jacobian-vector product at the logits (`meta/meta_gradient.py`), exact to rounding; the forward pass of
Virtual-Train serves Actual-Train too; L_cost; the gates' input is detached and standardised; the one-loop schedule and
`meta_every`.
"""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Callable
from typing import Any

import keras
import tensorflow as tf

from famus_tf.devices import replicas
from famus_tf.losses import softmax
from famus_tf.meta import batches, learners, meta_gradient, objectives, selectors
from famus_tf.methods import meta_checks, meta_method
from famus_tf.training.step import StepRecords


@keras.saving.register_keras_serializable("famus_tf")
class FaMUS(meta_method.MetaMethod):
    """Trains a network on labels that are wrong or unevenly spread, learning which of them to trust.

    `fit` takes arrays, `fit(images, labels, meta_data=(images, labels))`, or whole batches `((images, labels),
    (meta_images, meta_labels))`, each side perhaps with a third element `index` [n]. Labels: ids [n], or [n, c].

    >>> import famus_tf, keras, numpy as np
    >>> images, labels = np.zeros((8, 4, 4, 1), "float32"), np.arange(8) % 2
    >>> x = keras.Input((4, 4, 1))
    >>> method = famus_tf.FaMUS(keras.Model(x, keras.layers.Dense(2)(keras.layers.Flatten()(x))))
    >>> method.compile(keras.optimizers.SGD(0.1))
    >>> batches = tf.data.Dataset.from_tensors(((images, labels), (images, labels)))
    >>> sorted(method.fit(batches, verbose=0).history)
    ['loss', 'lowest_layer', 'meta_loss', 'selected_layers']

    Args:
      network: functional `keras.Model`, images [n, height, width, channels] -> logits [n, c]. It is trained in place:
        save, export or evaluate it afterwards as any Keras model.
      meta_learner: `MWNet()`, `L2R()`, `MLC(num_classes)`, `MemoryWeightNet(num_examples)`, or `CrossEntropy()` (no
        meta step, plain batches `(images, labels)` will do).
      selector: `GradientSampler(expected_layers=4)`, `AgreementSelector()`, `RandomLayers(4)`, `FixedBlock(-2)`, or
        `AllLayers()` (the exact meta gradient).
      lambda_r: weight of L_r (Eq. 10); lambda_1 of the paper, 0.1 there.
      lambda_g: weight of L_g (Eq. 11); lambda_2 of the paper. None: its 0.1, or 0 (`meta_checks.lambda_g`).
      lambda_cost: weight of the cost of reaching the selected layers (ours); 0 is the paper.
      weight_decay: L2 coefficient added to the gradient of Actual-Train for every trainable variable.
      schedule: "three_stage" (the paper), or "one_loop": the actual step of w, by the real optimizer, is the look-ahead
        too, and theta is updated for the next step. Neither a virtual nor a second actual backward pass is needed.
      meta_every: k; theta and eta are updated on every k-th step, and used as they are in between.
      meta_from: number of plain steps on equally weighted examples before the first meta step.
      validation_loss: L_c, function of meta labels and logits -> this replica's share of the batch's loss, a scalar.
      validation_momentum: of the running mean of u over the meta steps, which takes its place (ours); 0 is the paper.

    Attributes:
      mark: called as mark(stage, tensors) where a stage ends, while the step is traced; `stage_times` looks through it.
      record_meta_gradient: whether `step` returns the meta gradient too (not L2R's); to be set before the first step.

    Raises:
      InputError: the network is neither functional nor built, has several inputs or outputs, or nothing to train; a
        schedule or `meta_every` that the meta-learner does not allow.
    """

    def __init__(
        self,
        network: keras.Model,
        meta_learner: learners.MetaLearner | None = None,
        selector: selectors.Selector | None = None,
        lambda_r: float = 0.1,
        lambda_g: float | None = None,
        lambda_cost: float = 0.5,
        weight_decay: float = 0.0,
        schedule: str = "three_stage",
        meta_every: int = 1,
        meta_from: int = 0,
        validation_loss: Callable[[tf.Tensor, tf.Tensor], tf.Tensor] = softmax.mean_cross_entropy,
        validation_momentum: float = 0.0,
        **kwargs: Any,
    ) -> None:
        meta_learner = learners.MWNet() if meta_learner is None else meta_learner
        meta_checks.check_schedule(meta_learner, schedule, meta_every, meta_from)
        selector = selectors.GradientSampler() if selector is None else selector
        common = weight_decay, meta_every, meta_from, validation_momentum
        super().__init__(network, meta_learner, selector, *common, **kwargs)
        self.lambda_r = lambda_r
        self.lambda_g = meta_checks.lambda_g(lambda_g, selector, meta_learner)
        self.lambda_cost = lambda_cost
        self.schedule = schedule
        self.validation_loss = validation_loss

    def compile(self, *args: Any, **kwargs: Any) -> None:
        """As `MetaMethod.compile`; InputError where the one-loop schedule has another optimizer than SGD."""
        super().compile(*args, **kwargs)
        if self.schedule == "one_loop":
            objectives.look_ahead_rate(self.optimizer)

    def step(self, data: Any, with_meta: bool = True) -> StepRecords:
        """One step on one replica's share of the batches.

        Args:
          data: `((images, labels[, index]), (meta_images, meta_labels[, index]))`; without a meta step the training
            side alone will do.
          with_meta: False for the steps between two meta steps; see `is_meta_step`.

        Returns:
          `training.step.StepRecords`.
        """
        with_meta = with_meta and self.meta_learner.has_meta_step
        batch, meta_batch = batches.unpack(data, with_meta, self.meta_learner.remembers)
        if not with_meta:
            return self._plain_step(batch)
        stages = self._one_loop if self.schedule == "one_loop" else self._three_stages
        if self.meta_learner.starts_at_zero:
            stages = self._from_zero
        return self._measure(batch, meta_batch) | stages(batch, meta_batch)

    def _three_stages(self, batch, meta_batch):
        """Algorithm 1, in the paper's order."""
        alpha = self._virtual_learning_rate()
        training_loss = self._training_loss(batch.labels)

        # Virtual-Train (Eq. 3): w_hat = w - alpha g, plain SGD with the current learning rate.
        forward = meta_gradient.RecordedForward(self.segments, batch.images)
        self.mark("Virtual-Train forward", [forward.logits])
        theta = self.meta_learner.parameters(batch)
        w = meta_gradient.weights_at(self.segments)
        _, dz = meta_gradient.logit_gradient(lambda z: training_loss(z, theta), forward.logits)
        g = replicas.all_reduce_sum(forward.backward(dz))
        self.mark("Virtual-Train backward", g)
        w_hat = functools.partial(objectives.virtual_weights, w, g, alpha)
        seen = self._pool(g)

        # theta' = theta - beta grad (L_c + lambda_g L_g), over the layers with r_l = 1 (Eq. 9, 11).
        gates = self._gates(seen, self.optimizer.iterations)
        meta = self._meta_train(forward, w_hat, meta_batch, gates, seen[-1], alpha, training_loss, theta)
        theta_new = self.meta_learner.update(theta, meta.theta_gradient)
        if self.selector.learned:
            self._update_sampler(gates, alpha, self._agreement(gates, meta, g))
        self.mark("meta update", theta_new)

        # Actual-Train (Eq. 5): the same forward pass, weighted by theta'.
        loss, gradients = self._actual_train(forward, training_loss, theta_new)
        self._apply(gradients)
        return self._records(batch, forward.logits, theta_new, loss, gates, meta)

    def _from_zero(self, batch, meta_batch):
        """Algorithm 1 where L_tra vanishes at the theta that a step starts from (L2R): g = 0, so w_hat = w.

        The samplers look at the gradient of the last Actual-Train in the place of g.
        """
        alpha = self._virtual_learning_rate()
        training_loss = self._training_loss(batch.labels)

        forward = meta_gradient.RecordedForward(self.segments, batch.images)
        self.mark("Virtual-Train forward", [forward.logits])
        theta = self.meta_learner.parameters(batch)
        w = meta_gradient.weights_at(self.segments).__getitem__

        gates = self._gates(self._remembered_pool(), self.optimizer.iterations)
        meta = self._meta_train(forward, w, meta_batch, gates, 0.0, alpha, training_loss, theta)
        theta_new = self.meta_learner.update(theta, meta.theta_gradient)
        self.mark("meta update", theta_new)

        loss, gradients = self._actual_train(forward, training_loss, theta_new)
        self._apply(gradients)
        if self.selector.learned:
            self._remember_pool(replicas.all_reduce_sum(self._pool(gradients)))
            self._update_sampler(gates, alpha, replicas.all_reduce_sum(self._agreement(gates, meta, gradients)))
        return self._records(batch, forward.logits, theta_new, loss, gates, meta)

    def _one_loop(self, batch, meta_batch):
        """The one-loop schedule (ours): the actual step with theta_t is the look-ahead, and makes theta_(t+1).

        The derivative of the step with respect to g is -alpha for SGD with momentum, -alpha (1 + momentum) in
        Nesterov's form; penalties do not depend on theta. The tapes of the forward pass at w serve both the step and
        the tangent.
        """
        rate = objectives.look_ahead_rate(self.optimizer)
        step = tf.convert_to_tensor(self.optimizer.iterations)
        training_loss = self._training_loss(batch.labels)

        forward = meta_gradient.RecordedForward(self.segments, batch.images)
        self.mark("Actual-Train forward", [forward.logits])
        theta = self.meta_learner.parameters(batch)
        loss, gradients = self._actual_train(forward, training_loss, theta)
        self._apply(gradients)
        seen = replicas.all_reduce_sum(self._pool(gradients))

        gates = self._gates(seen, step)
        w_new = meta_gradient.weights_at(self.segments).__getitem__
        meta = self._meta_train(forward, w_new, meta_batch, gates, seen[-1], rate, training_loss, theta)
        theta_new = self.meta_learner.update(theta, meta.theta_gradient)
        if self.selector.learned:
            self._update_sampler(gates, rate, replicas.all_reduce_sum(self._agreement(gates, meta, gradients)))
        self.mark("meta update", theta_new)
        return self._records(batch, forward.logits, theta, loss, gates, meta)

    def _actual_train(self, forward, training_loss, theta):
        """This replica's shares of L_tra and of its gradient by w."""
        loss, dz = meta_gradient.logit_gradient(lambda z: training_loss(z, theta), forward.logits)
        gradients = forward.backward(dz)
        self.mark("Actual-Train backward", gradients)
        return loss, gradients

    def _plain_step(self, batch):
        """Training without a meta step, theta as it is: nothing that a plain Keras training step would not do."""
        theta = self.meta_learner.parameters(batch)
        training_loss = self._plain_loss(batch.labels)
        with tf.GradientTape() as tape:
            logits = self.network(batch.images, training=True)
            loss = training_loss(logits, theta)
        self._apply(self._gradients(tape, loss))
        return self._records(batch, logits, theta, loss)

    def _gates(self, seen, step):
        """The gates of Eq. 8 from the pooled gradients, and the lowest segment whose meta gradient somebody needs."""
        with tf.GradientTape() as tape:
            r = self.selector(seen, step)
        lowest = self._lowest_segment(r)
        top = self.gated_layers[-1].segment
        if self.lambda_g:  # L_g needs the classifier's gradient, whatever its gate says
            lowest = min(lowest, top) if isinstance(lowest, int) else tf.minimum(lowest, top)
        # No conditionals around sums over replicas; the gates still mask what is not selected.
        stop = 0 if self._chain.synchronised and not isinstance(lowest, int) else lowest
        return _Gates(r, lowest, stop, tape)

    def _meta_train(self, forward, w_hat, meta_batch, gates, g_last, rate, training_loss, theta):
        """Meta-Train: L_c at w_hat (Eq. 2), back to the lowest selected layer, and its derivative by theta.

        Args:
          forward: `RecordedForward` at w.
          w_hat: function of a slice of the list of variables -> list of tensors, the weights of the look-ahead.
          gates: `_Gates`.
          g_last: [D_L], pooled training gradient of the last layer.
          rate: -1 times the derivative of the look-ahead with respect to g.
          training_loss, theta: the loss (logits, theta) -> scalar, and where to differentiate it.
        """
        meta_forward = meta_gradient.RecordedForward(self.segments, meta_batch.images, weights=w_hat)
        self.mark("Meta-Train forward", [meta_forward.logits])
        validation_loss = functools.partial(self.validation_loss, meta_batch.labels)
        meta_loss, dz = meta_gradient.logit_gradient(validation_loss, meta_forward.logits)
        u = self.validation_mean.of(replicas.all_reduce_sum(meta_forward.backward(dz, gates.stop)), gates.stop)
        self.mark("Meta-Train backward", u)
        v = functools.partial(objectives.directions, self.gated_layers, gates.r, u, g_last, rate, self.lambda_g)
        logit_tangent = forward.tangent(v, gates.stop)
        theta_gradient = meta_gradient.meta_gradient(training_loss, forward.logits, logit_tangent, theta)
        self.mark("Meta-Train tangent", theta_gradient)
        return _Meta(meta_loss, u, logit_tangent, theta_gradient)

    def _update_sampler(self, gates, rate, agreement):
        """eta' from L_c + lambda_r L_r + lambda_cost L_cost; dL_c / dr_l = -rate <u_l, g_l>."""
        r = gates.r
        with tf.GradientTape() as objective_tape:
            objective_tape.watch(r)
            objective = self.lambda_r * objectives.expected_layers_loss(r, self.selector.expected_layers)
            objective += self.lambda_cost * self.selector.cost(r, self.layer_costs.value)
        gate_gradient = self.selector.loss_gradient(-tf.cast(rate, r.dtype) * tf.cast(agreement, r.dtype))
        self._apply_to_sampler(gates.tape, r, gate_gradient + objective_tape.gradient(objective, r))

    def _agreement(self, gates, meta, gradients):
        products = meta_gradient.inner_products(self.segments, gradients, meta.u, gates.lowest)
        return objectives.agreement(self.gated_layers, products)


@dataclasses.dataclass(frozen=True)
class _Gates:
    """Gates r [L], the lowest segment needed and the one to stop at (int or int32 scalars), the tape from eta to r."""

    r: tf.Tensor
    lowest: Any
    stop: Any
    tape: tf.GradientTape


@dataclasses.dataclass(frozen=True)
class _Meta:
    """L_c at w_hat, its gradient u, zdot, and the meta gradient; L_c and the last are this replica's shares."""

    loss: tf.Tensor
    u: list
    logit_tangent: tf.Tensor
    theta_gradient: list
