"""Algorithm 1 of "Faster Meta Update Strategy for Noise-Robust Deep Learning" (Xu et al., CVPR 2021).

Symbols, as in the paper:
  w      weights of the network Phi, cut into segments; w_hat after the virtual step, w' after the actual one
  theta  parameters of the meta-learner Psi, which decides how far to trust each training label
  eta    parameters of the samplers Gamma, one for each layer
  r      gates [L], r_l = 1 where layer l accumulates the meta gradient
  alpha, beta, delta  learning rates of w, theta and eta (`optimizer`, `meta_optimizer`, `sampler_optimizer`)
  g      gradient of the training loss, u  gradient of the validation loss L_c at w_hat, one tensor for each variable
  n, m   sizes of the training and the validation ("meta") batch; L  number of layers; K  expected number of gates on

What it reduces to: with `AllLayers()` and lambda_g = 0 this is MW-Net; with `CrossEntropy()` it is plain training.

Where it goes beyond the paper or differs from it (README, "Differences from the paper"): the meta gradient is taken as
one Jacobian-vector product at the logits (`meta/meta_gradient.py`), exact to rounding; the forward pass of
Virtual-Train serves Actual-Train too; L_cost; the gates' input is detached and standardised.
"""

import functools

import keras
import tensorflow as tf

from famus_tf import errors
from famus_tf.meta import (
    batches,
    layers,
    learners,
    meta_gradient,
    objectives,
    penalties,
    replicas,
    segments,
    selectors,
)


class FaMUS(keras.Model):
    """Trains a network on labels that are wrong or unevenly spread, learning which of them to trust.

    `fit` takes batches `((images, labels), (meta_images, meta_labels))`, each side with an optional third element
    `index` [n]. Labels are class ids [n] or distributions [n, c]. All batches must be whole: no smaller last one.

    Args:
      network: functional `keras.Model`, images [n, height, width, channels] -> logits [n, c]. It is trained in place:
        save, export or evaluate it afterwards as any Keras model.
      meta_learner: `MWNet()` or `CrossEntropy()` (no meta step, plain batches `(images, labels)` will do).
      selector: `GradientSampler(expected_layers=4)` or `AllLayers()` (the exact meta gradient).
      lambda_r: weight of L_r (Eq. 10); lambda_1 of the paper, 0.1 there.
      lambda_g: weight of L_g (Eq. 11); lambda_2 of the paper, 0.1 there.
      lambda_cost: weight of the cost of reaching the selected layers (ours); 0 is the paper.
      weight_decay: L2 coefficient added to the gradient of Actual-Train for every trainable variable.

    Raises:
      InputError: the network is not functional, has several inputs or outputs, or nothing to train.
    """

    def __init__(
        self,
        network,
        meta_learner=None,
        selector=None,
        lambda_r=0.1,
        lambda_g=0.1,
        lambda_cost=0.05,
        weight_decay=0.0,
        **kwargs,
    ):
        super().__init__(**kwargs)
        self.network = network
        self.meta_learner = learners.MWNet() if meta_learner is None else meta_learner
        self.selector = selectors.GradientSampler() if selector is None else selector
        self.lambda_r, self.lambda_g, self.lambda_cost = lambda_r, lambda_g, lambda_cost
        self.weight_decay, self._chain = weight_decay, _Chain(network)
        self.meta_learner.create_variables()
        self.selector.create_variables(self._chain.layers)
        names = ["loss"]
        if self.meta_learner.has_meta_step:
            names += ["meta_loss", "selected_layers", "lowest_layer"]
        self._means = {name: keras.metrics.Mean(name=name) for name in names}
        self.built = True

    @property
    def segments(self):
        """The network's `meta.segments.Segment`s, from the input to the output."""
        return self._chain.segments

    @property
    def gated_layers(self):
        """The layers l = 1..L that a selector decides on, `meta.layers.GatedLayer`s from the input to the output."""
        return self._chain.layers

    def compile(self, optimizer="sgd", meta_optimizer=None, sampler_optimizer=None, metrics=None, **kwargs):
        """Takes the three optimizers and builds their variables; call it in the strategy's scope.

        Args:
          optimizer: of w; its learning rate is alpha of the virtual step too.
          meta_optimizer: of theta (beta); default Adam at 1e-3.
          sampler_optimizer: of eta (delta); default SGD at 0.1 with momentum 0.9, as in the paper.
          metrics: Keras metrics of (labels, logits); objects, not names, under a strategy with several replicas.
          **kwargs: passed on to `keras.Model.compile`, such as `steps_per_execution`.
        """
        if replicas.count() > 1 and any(isinstance(metric, str) for metric in metrics or []):
            # Keras makes a metric from its name while it traces the step, too late for a second replica.
            raise errors.InputError(
                f"metrics={metrics} under a strategy: expected objects, as keras.metrics.SparseCategoricalAccuracy()"
            )
        kwargs.setdefault("jit_compile", False)  # XLA made the step slower on CPUs, and does not run on two replicas
        super().compile(optimizer=optimizer, metrics=metrics, **kwargs)
        self.optimizer.build(self._chain.variables)
        if self.meta_learner.has_meta_step:
            self.meta_learner.compile(keras.optimizers.get(meta_optimizer or keras.optimizers.Adam(1e-3)))
        if self.meta_learner.has_meta_step and self.selector.learned:
            fallback = keras.optimizers.SGD(0.1, momentum=0.9)
            self.sampler_optimizer = keras.optimizers.get(sampler_optimizer or fallback)
            self.sampler_optimizer.build(self.selector.trainable_variables)

    def call(self, images, training=False):
        """Logits of the network, [n, c]."""
        return self.network(images, training=training)

    def train_step(self, data):
        """Keras's hook for `fit`: one step of Algorithm 1, then the running means of this epoch."""
        self.step(data)
        return self.get_metrics_result()

    def step(self, data):
        """One step of Algorithm 1 on one replica's share of the batches.

        Args:
          data: `((images, labels[, index]), (meta_images, meta_labels[, index]))`.

        Returns:
          Dict: `index` [n], `example_weight` [n] (1 is an example's weight in a plain mean), and with a meta step
          `gates` [L], `lowest_layer` (1..L, or L + 1 where no gate is on), `loss`, `meta_loss`: this replica's shares.
        """
        (images, labels, index), meta_batch = batches.unpack(data, self.meta_learner.has_meta_step)
        if not self.meta_learner.has_meta_step:
            return self._plain_step(images, labels, index)
        meta_images, meta_labels, _ = meta_batch
        alpha = tf.convert_to_tensor(self.optimizer.learning_rate)
        learner = self.meta_learner

        def training_loss(logits, theta):
            return learner.loss(logits, labels, theta)

        # Virtual-Train (Eq. 3): w_hat = w - alpha g, plain SGD with the current learning rate.
        forward = meta_gradient.RecordedForward(self.segments, images)
        theta = learner.parameters((images, labels))
        _, dz = meta_gradient.logit_gradient(lambda z: training_loss(z, theta), forward.logits)
        g = replicas.all_reduce_sum(forward.backward(dz))
        w = meta_gradient.weights_at(self.segments)
        w_hat = [weight - tf.cast(alpha, weight.dtype) * gradient for weight, gradient in zip(w, g, strict=True)]

        # The gates (Eq. 8), and the lowest segment whose meta gradient somebody needs.
        with tf.GradientTape() as sampler_tape:
            r = self.selector([layers.avg_pool(layer, g) for layer in self.gated_layers], self.optimizer.iterations)
        lowest = self._lowest_segment(r)

        # Meta-Train: L_c at w_hat (Eq. 2), back to the lowest selected layer.
        meta_forward = meta_gradient.RecordedForward(self.segments, meta_images, weights=w_hat)
        validation_loss = functools.partial(objectives.mean_cross_entropy, meta_labels)
        meta_loss, meta_dz = meta_gradient.logit_gradient(validation_loss, meta_forward.logits)
        u = replicas.all_reduce_sum(meta_forward.backward(meta_dz, lowest))

        # theta' = theta - beta (grad L_c over the layers with r_l = 1 (Eq. 9) + lambda_g grad L_g (Eq. 11)).
        v = objectives.directions(self.gated_layers, r, u, g, alpha, self.lambda_g)
        logit_tangent = forward.tangent(v, lowest)
        theta_gradient = meta_gradient.meta_gradient(training_loss, forward.logits, logit_tangent, theta)
        theta_new = learner.update(theta, theta_gradient)
        if self.selector.learned:
            self._update_sampler(sampler_tape, r, objectives.gate_gradient(self.gated_layers, u, g, alpha))

        # Actual-Train (Eq. 5): the same forward pass, weighted by theta'.
        loss, dz = meta_gradient.logit_gradient(lambda z: training_loss(z, theta_new), forward.logits)
        self._apply(forward.backward(dz))
        self._report(labels, forward.logits, loss=loss, meta_loss=meta_loss, gates=r)
        return {
            "index": index,
            "example_weight": learner.example_weights(forward.logits, labels, theta_new),
            "gates": r,
            "lowest_layer": layers.lowest_selected(r),
            "loss": loss,
            "meta_loss": meta_loss,
        }

    def _plain_step(self, images, labels, index):
        """Training without a meta step: nothing that a plain Keras training step would not do."""
        with tf.GradientTape() as tape:
            logits = self.network(images, training=True)
            loss = self.meta_learner.loss(logits, labels, [])
        sources, zero = [variable.value for variable in self._chain.variables], tf.UnconnectedGradients.ZERO
        self._apply(tape.gradient(loss, sources, unconnected_gradients=zero))
        self._report(labels, logits, loss=loss)
        weights = self.meta_learner.example_weights(logits, labels, [])
        return {"index": index, "example_weight": weights, "loss": loss}

    def _lowest_segment(self, gates):
        """The segment to stop at; L_g needs the classifier's gradient, whatever its gate says."""
        lowest, top = self.selector.lowest_segment(gates), self.gated_layers[-1].segment
        if not self.lambda_g:
            return lowest
        return min(lowest, top) if isinstance(lowest, int) else tf.minimum(lowest, top)

    def _update_sampler(self, tape, gates, gate_gradient):
        """eta' from L_c + lambda_r L_r + lambda_cost L_cost, through the gates' straight-through gradient."""
        costs = tf.constant([layer.cost for layer in self.gated_layers], tf.float32)
        with tf.GradientTape() as objective_tape:
            objective_tape.watch(gates)
            objective = self.lambda_r * objectives.expected_layers_loss(gates, self.selector.expected_layers)
            objective += self.lambda_cost * objectives.traversal_cost(gates, costs)
        gate_gradient += objective_tape.gradient(objective, gates)
        eta = self.selector.trainable_variables
        # Every replica holds the same gates, and the optimizer sums over the replicas.
        gradients = tape.gradient(gates, [v.value for v in eta], output_gradients=gate_gradient / replicas.count())
        self.sampler_optimizer.apply(gradients, eta)

    def _apply(self, gradients):
        """w' from this replica's gradient (the optimizer sums over replicas), weight decay and regularisers added."""
        variables = self._chain.variables
        self.optimizer.apply(penalties.add_penalties(gradients, variables, self.weight_decay), variables)

    def _report(self, labels, logits, loss, meta_loss=None, gates=None):
        """Updates the epoch's running means and the compiled metrics."""
        self._means["loss"].update_state(loss * replicas.count())
        if gates is not None:
            self._means["meta_loss"].update_state(meta_loss * replicas.count())
            self._means["selected_layers"].update_state(tf.reduce_sum(gates))
            self._means["lowest_layer"].update_state(layers.lowest_selected(gates))
        self.compute_metrics(None, labels, logits)

    def test_step(self, data):
        """Keras's hook for `evaluate`: mean cross-entropy and the compiled metrics on `(images, labels[, weight])`."""
        images, labels, weight = keras.utils.unpack_x_y_sample_weight(data)
        logits = self.network(images, training=False)
        self._means["loss"].update_state(objectives.cross_entropy(labels, logits), sample_weight=weight)
        logs = self.compute_metrics(images, labels, logits, sample_weight=weight)
        return {name: value for name, value in logs.items() if name == "loss" or name not in self._means}

    def _maybe_symbolic_build(self, iterator=None, data_batch=None):
        """Nothing: all is built before; Keras's trial step would average the first batch over the replicas."""


class _Chain:
    """The segments with their layers and variables, kept out of Keras's sight: their variables are the network's."""

    def __init__(self, network):
        self.segments = segments.find_segments(network)
        self.layers = layers.find_gated_layers(self.segments)
        self.variables = [variable for segment in self.segments for variable in segment.variables]
