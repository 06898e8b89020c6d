"""The terms of the meta objective (Eq. 10-12) and the cost term that makes the selection save time."""

import tensorflow as tf

from famus_tf import errors
from famus_tf.meta import layers, replicas


def cross_entropy(labels, logits):
    """Softmax cross-entropy of each example.

    Args:
      labels: int [n] or [n, 1] class ids, or [n, c] distributions.
      logits: float [n, c]; computed in float32.

    Returns:
      float32 [n] (float64 for float64 logits).

    Raises:
      InputError: the labels have another shape; TensorFlow would stretch them to the logits' without a word.
    """
    logits = layers.at_least_float32(logits)
    if labels.shape.rank == 2 and labels.shape[1] == 1 and labels.dtype.is_integer:
        labels = labels[:, 0]
    if labels.shape.rank == 1:
        return tf.nn.sparse_softmax_cross_entropy_with_logits(labels=labels, logits=logits)
    if labels.shape.rank != 2 or labels.shape[1] != logits.shape[1]:
        raise errors.InputError(
            f"labels of shape {labels.shape} for logits of shape {logits.shape}: expected class ids [n] or "
            f"distributions [n, {logits.shape[1]}]"
        )
    return tf.nn.softmax_cross_entropy_with_logits(labels=tf.cast(labels, logits.dtype), logits=logits)


def mean_cross_entropy(labels, logits):
    """This replica's share of the mean of `cross_entropy` over the global batch: the replicas' shares sum to it."""
    losses = cross_entropy(labels, logits)
    return tf.reduce_mean(losses) / tf.cast(replicas.count(), losses.dtype)


def expected_layers_loss(gates, expected_layers):
    """L_r = (sum_l r_l - K)^2 (Eq. 10), over all gates; the release sees only the last one by a misplaced line.

    Args:
      gates: float32 [L].
      expected_layers: K.
    """
    return tf.square(tf.reduce_sum(gates) - tf.cast(expected_layers, gates.dtype))


def traversal_cost(gates, costs):
    """L_cost = sum_l c_l r_l (ours, not the paper's): deep selections cost more, L_r does not mind where they are.

    Args:
      gates: float32 [L].
      costs: float32 [L], `GatedLayer.cost`.
    """
    return tf.reduce_sum(gates * costs)


def last_layer_gap(layer, training_gradients, validation_gradients):
    """gbar_tra_L - gbar_val_L, whose squared norm is L_g (Eq. 11).

    Args:
      layer: the last `layers.GatedLayer`.
      training_gradients, validation_gradients: gradients of all segments' variables on the two batches.

    Returns:
      float32 [D].
    """
    return layers.avg_pool(layer, training_gradients) - layers.avg_pool(layer, validation_gradients)


def directions(gated_layers, gates, u, g, alpha, lambda_g):
    """v with d(L_c + lambda_g L_g) / dtheta = d/dtheta <g(w; theta), v>.

    v_l = -alpha r_l u_l (Eq. 9), and for the last layer the gradient of lambda_g L_g, spread over what was averaged.

    Args:
      gated_layers: list of `layers.GatedLayer`.
      gates: float32 [L].
      u, g: validation and training gradients of all segments' variables.
      alpha: learning rate of the virtual step.
      lambda_g: weight of L_g, a Python number; 0 leaves it out.

    Returns:
      Flat list of tensors of the variables' shapes.
    """
    result = list(u)
    factors = {}
    for number, layer in enumerate(gated_layers):
        for position in layer.positions:
            dtype = u[position].dtype
            if dtype not in factors:
                factors[dtype] = tf.unstack(-tf.cast(alpha, dtype) * tf.cast(gates, dtype), num=len(gated_layers))
            result[position] = factors[dtype][number] * u[position]
    if lambda_g:
        last = gated_layers[-1]
        pull = layers.avg_pool_transpose(last, 2.0 * lambda_g * last_layer_gap(last, g, u), u)
        for position, value in pull.items():
            result[position] += value
    return result


def gate_gradient(gated_layers, u, g, alpha):
    """dL_c / dr_l = -alpha <u_l, g_l>: a layer is worth selecting where both gradients agree.

    Zero below the lowest selected layer, where u was not computed. The release flips its sign for gates that are off.

    Args:
      gated_layers, u, g, alpha: as in `directions`.

    Returns:
      float32 [L].
    """
    products = [
        tf.add_n([tf.cast(tf.reduce_sum(u[position] * g[position]), tf.float32) for position in layer.positions])
        for layer in gated_layers
    ]
    return -tf.cast(alpha, tf.float32) * tf.stack(products)
