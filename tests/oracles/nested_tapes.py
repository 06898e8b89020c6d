"""Algorithm 1 by nested tapes around whole stages, in float64.

Nothing of famus_tf is used: no segments, no tangent, no shared forward pass. A gate that is off detaches its layer's
part of the look-ahead.
"""

import types

import numpy as np
import tensorflow as tf

from tests import small_networks


def cross_entropies(labels, logits):
    """[n], of class ids [n] or distributions [n, c]."""
    if len(labels.shape) == 1:
        labels = tf.one_hot(labels, logits.shape[-1], dtype=logits.dtype)
    return -tf.reduce_sum(labels * tf.nn.log_softmax(logits), axis=1)


def mean_cross_entropy(labels, logits):
    """L_c of the paper."""
    return tf.reduce_mean(cross_entropies(labels, logits))


def in_float64(variables):
    """The variables' values."""
    return [tf.constant(variable.numpy(), tf.float64) for variable in variables]


class MWNet:
    """A weight for each example by its loss: sum_i V_i loss_i / sum_i V_i, or their mean.

    Args:
      variables: of the network 1 - h - 1.
      beta: learning rate of theta.
      normalize: whether the weights are divided by their sum.
      losses, weighed_by: functions (labels, logits) -> [n]; the latter is what the weights are made of.
      penalty: function of logits -> scalar, added to the weighted loss.
    """

    starts_at_zero = False

    def __init__(self, variables, beta=0.0, normalize=True, losses=cross_entropies, weighed_by=None, penalty=None):
        self.theta, self.beta, self.normalize = in_float64(variables), beta, normalize
        self.losses, self.weighed_by, self.penalty = losses, weighed_by or losses, penalty

    def start(self, n):
        """Theta at the start of a step of n examples."""
        return self.theta

    def weights(self, losses, theta):
        """W_i(theta) [n], with L_tra = sum_i W_i loss_i."""
        weight1, bias1, weight2, bias2 = theta
        values = tf.sigmoid(tf.nn.relu(losses[:, None] @ weight1 + bias1) @ weight2 + bias2)[:, 0]
        return values / tf.reduce_sum(values) if self.normalize else values / len(losses)

    def loss(self, labels, logits, theta):
        """L_tra."""
        weights = self.weights(tf.stop_gradient(self.weighed_by(labels, logits)), theta)
        total = tf.reduce_sum(weights * self.losses(labels, logits))
        return total + self.penalty(logits) if self.penalty else total

    def update(self, theta, gradient):
        """theta'."""
        self.theta = [t - self.beta * g for t, g in zip(theta, gradient, strict=True)]
        return self.theta


class L2R:
    """A weight for each example of the batch, from zero on."""

    starts_at_zero, theta = True, ()

    def start(self, n):
        """Zeros [n]."""
        return [tf.zeros([n], tf.float64)]

    def loss(self, labels, logits, theta):
        """L_tra."""
        return tf.reduce_sum(theta[0] * cross_entropies(labels, logits))

    def update(self, theta, gradient):
        """Cut at zero and normalised."""
        weights = np.maximum(-gradient[0].numpy(), 0)
        return [tf.constant(weights / (weights.sum() or 1))]


class MLC:
    """A matrix on the logits, from the identity on; the mean of the cross-entropies, or their sum."""

    starts_at_zero, theta = False, ()

    def __init__(self, num_classes, beta, reduction=tf.reduce_mean):
        self.num_classes, self.beta, self.reduction = num_classes, beta, reduction

    def start(self, n):
        """The identity."""
        return [tf.eye(self.num_classes, dtype=tf.float64)]

    def loss(self, labels, logits, theta):
        """L_tra."""
        return self.reduction(cross_entropies(labels, logits @ theta[0]))

    def update(self, theta, gradient):
        """Cut at zero, columns normalised."""
        matrix = np.maximum(theta[0].numpy() - self.beta * gradient[0].numpy(), 0)
        sums = matrix.sum(0)
        return [tf.constant(matrix / np.where(sums > 0, sums, 1))]


class Samplers:
    """FaMUS's samplers, one layer at a time.

    Args:
      layers: the method's gated layers.
      variables: of the samplers; those of all layers of width D are stacked, and named so.
      delta: learning rate of eta.
      seed: of the noise.
      temperature: of the Gumbel-softmax.
      length: to which descriptors are scaled; 0 leaves them as they are.
    """

    def __init__(self, layers, variables, delta, seed, temperature=5.0, length=0):
        self.eta = dict(zip([v.name for v in variables], in_float64(variables), strict=True))
        widths = [layer.width for layer in layers]
        self.places = [(width, widths[:number].count(width)) for number, width in enumerate(widths)]
        self.delta, self.seed, self.temperature, self.length = delta, seed, temperature, length

    def gates(self, pooled, step):
        """r [L], each 0 or 1, differentiable by eta as the softmax is."""
        rows = []
        for x, (width, place) in zip(pooled, self.places, strict=True):
            names = ("fc1", "bias1", "slope", "fc2", "bias2")
            fc1, bias1, slope, fc2, bias2 = (self.eta[f"{name}_{width}"][place] for name in names)
            x = (x - tf.reduce_mean(x)) / (tf.math.reduce_std(x) + 1e-9)
            x = x * self.length / np.linalg.norm(x) if self.length else x
            x = x[None] @ fc1 + bias1
            x = tf.where(x > 0, x, slope * x)
            rows.append((x @ fc2 + bias2)[0])
        seed = tf.constant([self.seed, step], tf.int64)
        if self.length:
            drawn = tf.random.stateless_uniform([len(rows) + 1], seed).numpy().astype(float)
            begins, end = np.zeros(len(rows)), 0.0
            for gate in drawn[:-1].argsort():
                begins[gate], end = end, end + tf.nn.softmax(rows[gate])[1].numpy()
            uniform = 1 - (drawn[-1] - begins) % 1
            logits = tf.stack(rows) + np.stack([0 * uniform, np.log(uniform / (1 - uniform))], 1)
        else:
            uniform = tf.cast(tf.random.stateless_uniform([len(rows), 2], seed, 1e-20), tf.float64)
            logits = tf.stack(rows) - tf.math.log(-tf.math.log(uniform))
        soft = tf.nn.softmax(logits / self.temperature)
        hard = tf.cast(logits >= tf.reduce_max(logits, 1, keepdims=True), tf.float64).numpy()
        if self.length and not hard[:, 1].any():
            hard[np.argmax(np.diff(logits, axis=1))] = 0.0, 1.0
        return (soft + tf.stop_gradient(hard - soft))[:, 1]

    def update(self, gradient):
        """eta', from a dict of gradients."""
        self.eta = {name: value - self.delta * gradient[name] for name, value in self.eta.items()}


class NestedTapes:
    """A training by Algorithm 1, which starts where a method stands; attributes `w` and `states` are the network's.

    Args:
      method: its `network`, `trained_variables` and `gated_layers` are read here, and not written.
      learner: `MWNet`, `L2R` or `MLC`, those above.
      selection: the gates [L], or `Samplers`.
      alpha, momentum, nesterov, weight_decay: of w's optimizer.
      virtual_alpha: learning rate of the virtual step; None for alpha.
      schedule: "three_stage" or "one_loop".
      lambda_g, lambda_r, lambda_cost, expected_layers: weights of L_g, L_r and L_cost, and K of L_r.
      scale_free: whether the gates learn from the scale-free terms.
      validation_loss: L_c, function of labels and logits -> scalar.
      validation_momentum: m of the running mean of u, which takes its place.
    """

    def __init__(
        self,
        method,
        learner,
        selection,
        alpha,
        momentum=0.0,
        nesterov=False,
        weight_decay=0.0,
        virtual_alpha=None,
        schedule="three_stage",
        lambda_g=0.0,
        lambda_r=0.0,
        lambda_cost=0.0,
        expected_layers=2,
        scale_free=False,
        validation_loss=mean_cross_entropy,
        validation_momentum=0.0,
    ):
        self.network = small_networks.in_float64(method.network)
        place_of = {id(variable): place for place, variable in enumerate(method.trained_variables)}
        self.order = [place_of[id(variable)] for variable in method.network.trainable_variables]
        self.w, self.layers = in_float64(method.trained_variables), method.gated_layers
        self.states = [v.value + 0 for v in self.network.non_trainable_variables]
        self.velocity, self.last_actual = ([tf.zeros_like(w) for w in self.w] for _ in range(2))
        self.steps, self.learner, self.selection = 0, learner, selection
        self.alpha, self.virtual_alpha = alpha, alpha if virtual_alpha is None else virtual_alpha
        self.momentum, self.nesterov, self.weight_decay = momentum, nesterov, weight_decay
        self.schedule, self.validation_loss = schedule, validation_loss
        self.lambda_g, self.lambda_r, self.lambda_cost = lambda_g, lambda_r, lambda_cost
        self.expected_layers, self.scale_free, self.largest_squares = expected_layers, scale_free, []
        self.validation_momentum, self.seen_u = validation_momentum, [[] for _ in self.w]

    def logits(self, w, images):
        """Phi(images; w) in training mode."""
        return self._call(w, images)[0]

    def meta_train(self, training, meta):
        """Virtual-Train and Meta-Train: L_tra and its gradient g, the gates, L_c, u, and the gradient by theta."""
        theta = self.learner.start(len(training[1]))
        with tf.GradientTape() as outer:
            outer.watch(theta)
            loss, g = self._loss_and_gradient(training, theta)
            pooled = [
                self._pool(layer, self.last_actual if self.learner.starts_at_zero else g) for layer in self.layers
            ]
            gates, gate_tape = self._gates([tf.stop_gradient(x) for x in pooled])
            gate_of = {p: float(r) > 0.5 for r, layer in zip(gates, self.layers, strict=True) for p in layer.positions}
            w_hat = self._look_ahead([x if gate_of[p] else tf.stop_gradient(x) for p, x in enumerate(g)])
            with tf.GradientTape() as validation:
                validation.watch(w_hat)
                meta_loss = self.validation_loss(meta[1], self.logits(w_hat, meta[0]))
            u = self._steadied(validation.gradient(meta_loss, w_hat), gates)
            along = self._along(u, w_hat) if self.validation_momentum else meta_loss
            gap = self._pool(self.layers[-1], g) - tf.stop_gradient(self._pool(self.layers[-1], u))
            objective = along + self.lambda_g * tf.reduce_sum(gap**2)
        return types.SimpleNamespace(
            loss=loss, g=g, pooled=pooled, gates=gates, gate_tape=gate_tape, u=u, meta_loss=meta_loss, theta=theta,
            theta_gradient=outer.gradient(objective, theta),
        )  # fmt: skip

    def step(self, training, meta):
        """One step; returns what `meta_train` does, with the loss that trains w, and the gradient by the gates."""
        found = self.meta_train(training, meta)
        theta = self.learner.update(found.theta, found.theta_gradient)
        gradient, states = found.g, self._call(self.w, training[0])[1]
        if self.schedule == "three_stage":
            found.loss, gradient = self._loss_and_gradient(training, theta)
        along = gradient if self.learner.starts_at_zero else found.g
        found.gate_gradient = self._gate_gradient(tf.stop_gradient(found.gates), found.g, along, meta, found.u)
        if found.gate_tape:
            eta = self.selection.eta
            self.selection.update(found.gate_tape.gradient(found.gates, eta, output_gradients=found.gate_gradient))
        self.velocity, self.w = self._actual(gradient)
        self.states, self.last_actual, self.steps = states, gradient, self.steps + 1
        return found

    def _call(self, w, images):
        weights, images = [w[place] for place in self.order], tf.cast(images, tf.float64)
        return self.network.stateless_call(weights, self.states, images, training=True)

    def _loss_and_gradient(self, training, theta):
        with tf.GradientTape() as tape:
            tape.watch(self.w)
            loss = self.learner.loss(training[1], self.logits(self.w, training[0]), theta)
        return loss, tape.gradient(loss, self.w)

    def _along(self, u, w_hat):
        """What has the gradient u."""
        return tf.add_n([tf.reduce_sum(tf.stop_gradient(a) * b) for a, b in zip(u, w_hat, strict=True)])

    def _steadied(self, u, gates):
        """Each u by all that were seen since its segment was last not reached, the k-th last weighing m^k."""
        if not self.validation_momentum:
            return u
        segment_of = {p: layer.segment for layer in self.layers for p in layer.positions}
        reached = [layer.segment for r, layer in zip(gates, self.layers, strict=True) if r > 0.5]
        reached += [self.layers[-1].segment] * (self.lambda_g > 0)
        found = []
        for p, now in enumerate(u):
            self.seen_u[p] = [*self.seen_u[p], now] if segment_of[p] >= min(reached) else []
            weights = self.validation_momentum ** np.arange(len(self.seen_u[p]))[::-1]
            sums = [w * x for w, x in zip(weights, self.seen_u[p], strict=True)]
            found.append(sum(sums) / sum(weights) if sums else now)
        return found

    def _pool(self, layer, gradients):
        parts = [gradients[p] for p in layer.positions]
        return tf.concat([tf.reduce_mean(tf.reshape(x, [-1, x.shape[-1]]), axis=0) for x in parts], axis=0)

    def _gates(self, pooled):
        if not isinstance(self.selection, Samplers):
            return tf.constant(self.selection, tf.float64), None
        with tf.GradientTape() as tape:
            tape.watch(self.selection.eta)
            return self.selection.gates(pooled, self.steps), tape

    def _actual(self, g):
        """Velocity and weights behind a step of w's optimizer, differentiable by g."""
        g = [x + self.weight_decay * w for x, w in zip(g, self.w, strict=True)]
        velocity = [self.momentum * v - self.alpha * x for v, x in zip(self.velocity, g, strict=True)]
        moves = velocity
        if self.nesterov:
            moves = [self.momentum * v - self.alpha * x for v, x in zip(velocity, g, strict=True)]
        return velocity, [w + move for w, move in zip(self.w, moves, strict=True)]

    def _look_ahead(self, g):
        if self.schedule == "one_loop":
            return self._actual(g)[1]
        return [w - self.virtual_alpha * x for w, x in zip(self.w, g, strict=True)]

    def _gate_gradient(self, gates, g, along, meta, u):
        """Of L_c + lambda_r L_r + lambda_cost L_cost, where r_l scales g_l; of L_c none below the lowest that is on."""
        lowest = min((layer.segment for r, layer in zip(gates, self.layers, strict=True) if r > 0.5), default=len(g))
        with tf.GradientTape() as tape:
            tape.watch(gates)
            moved = list(g)
            for r, layer in zip(tf.unstack(gates - tf.stop_gradient(gates)), self.layers, strict=True):
                for p in layer.positions if layer.segment >= lowest else ():
                    moved[p] += r * along[p]
            ahead = self._look_ahead(moved)
            meta_loss = self.validation_loss(meta[1], self.logits(ahead, meta[0]))
            if self.validation_momentum:
                meta_loss = self._along(u, ahead)
        gradient = tape.gradient(meta_loss, gates).numpy()
        costs = np.array([layer.cost for layer in self.layers])
        if self.scale_free:
            self.largest_squares.append((gradient**2).max())
            age = np.arange(len(self.largest_squares))[::-1]
            gradient /= 2.0 * np.sqrt(np.average(self.largest_squares, weights=0.99**age))
            costs = [
                _largest_cost(gates, costs, place, 1) - _largest_cost(gates, costs, place, 0)
                for place in range(len(costs))
            ]
        gradient += 2.0 * self.lambda_r * (tf.reduce_sum(gates).numpy() - self.expected_layers)
        return tf.constant(gradient + self.lambda_cost * np.array(costs))


def _largest_cost(gates, costs, place, value):
    """Of the layers that are on, one gate being set to `value`; 0 where none is."""
    gates = np.array(gates)
    gates[place] = value
    return (gates * costs).max()


def flat(tensors):
    """All their numbers, one behind the other."""
    return np.concatenate([np.ravel(x) for x in tensors])


def assert_close(actual, expected, tolerance=1e-9):
    """That both lists of arrays hold the same numbers, to `tolerance` times the largest one."""
    scale = max(float(np.max(np.abs(e))) for e in expected)
    assert scale > 0
    for a, e in zip(actual, expected, strict=True):
        np.testing.assert_allclose(a, e, rtol=0, atol=tolerance * scale)
