"""The terms of the meta objective (Eq. 10-12) and the cost term that makes the selection save time."""

import keras
import tensorflow as tf

from famus_tf import errors
from famus_tf.losses import softmax
from famus_tf.meta import layers


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


def reaching_cost(gates, costs):
    """L_cost = sum over segments of share_s (1 - prod over the layers at or below s of (1 - r_l)) (ours).

    What is really paid: for gates of 0 and 1 it is c_l of the lowest selected layer, whatever is selected above it. As
    the polynomial that it is, it tells each gate what turning it would add or save, the others being as they are.

    Args:
      gates: float [L], from the input to the output.
      costs: float32 [L], `GatedLayer.cost`, none larger than the one before it.
    """
    shares = costs - tf.concat([costs[1:], tf.zeros_like(costs[:1])], axis=0)
    # A product of its own for each segment: the gradient of a cumulative product divides by the gates that are on.
    at_or_below = tf.linalg.band_part(tf.ones([tf.size(gates)] * 2, tf.bool), -1, 0)
    free = tf.reduce_prod(tf.where(at_or_below, 1.0 - gates[tf.newaxis], tf.ones([], gates.dtype)), axis=1)
    return tf.reduce_sum(tf.cast(shares, gates.dtype) * (1.0 - free))


def virtual_weights(w, g, alpha, wanted=slice(None)):
    """w_hat = w - alpha g (Eq. 3), of the wanted variables.

    Args:
      w, g: flat lists of tensors, one for each variable.
      alpha: scalar, the learning rate of the virtual step.
      wanted: slice of the variables' positions.

    Returns:
      Flat list of tensors of the wanted variables' shapes.
    """
    return [x - tf.cast(alpha, x.dtype) * y for x, y in zip(w[wanted], g[wanted], strict=True)]


def directions(gated_layers, gates, u, g_last, rate, lambda_g, wanted=slice(None)):
    """v with d(L_c + lambda_g L_g) / dtheta = d/dtheta <g(w; theta), v>.

    v_l = -alpha r_l u_l (Eq. 9), and for the last layer the gradient of lambda_g L_g, 2 lambda_g (gbar_tra - gbar_val),
    spread over what was averaged.

    Args:
      gated_layers: list of `layers.GatedLayer`, the last one the classifier.
      gates: float32 [L].
      u: validation gradients of all segments' variables.
      g_last: [D_L], gbar_tra_L of Eq. 11, the last layer's training gradient behind Avg-Pool; 0.0 where it is zero.
      rate: alpha, the learning rate of the virtual step, or `look_ahead_rate` of the actual one.
      lambda_g: weight of L_g, a Python number; 0 leaves it out.
      wanted: slice of the variables' positions for which to make v.

    Returns:
      Flat list of tensors of the wanted variables' shapes.
    """
    positions = range(len(u))[wanted]
    result = {position: u[position] for position in positions}
    for number, layer in enumerate(gated_layers):
        for position in set(layer.positions) & result.keys():
            dtype = u[position].dtype
            result[position] = -tf.cast(rate, dtype) * tf.cast(gates[number], dtype) * u[position]
    last = gated_layers[-1]
    if lambda_g and set(last.positions) & result.keys():
        gap = g_last - layers.avg_pool(last, u)
        for position, value in layers.avg_pool_transpose(last, 2.0 * lambda_g * gap, u).items():
            result[position] += value
    return [result[position] for position in positions]


def agreement(gated_layers, products):
    """<u_l, g_l> of each layer: how far its training and validation gradients agree.

    -alpha times this is dL_c / dr_l; the release flips its sign for gates that are off, ours does not. Zero below the
    lowest selected layer, where u is not computed. Linear in g: replicas' shares of g give shares of the result.

    Args:
      gated_layers: list of `layers.GatedLayer`.
      products: <u_p, g_p> for each of all segments' variables, `meta_gradient.inner_products`.

    Returns:
      float32 [L].
    """
    sums = [tf.add_n([products[position] for position in layer.positions]) for layer in gated_layers]
    return softmax.at_least_float32(tf.stack(sums))


def look_ahead_rate(optimizer):
    """-1 times the derivative of an optimizer's step with respect to the gradient, at its present learning rate.

    alpha for SGD, with momentum or without (what the velocity holds from earlier steps does not depend on this step's
    gradient), and alpha (1 + momentum) in Nesterov's form.

    Args:
      optimizer: `keras.optimizers.SGD`.

    Returns:
      Scalar tensor.

    Raises:
      InputError: another optimizer, or one that clips or accumulates gradients, or overwrites the weights by averages.
    """
    names = ("clipnorm", "global_clipnorm", "clipvalue", "gradient_accumulation_steps", "ema_overwrite_frequency")
    options = [name for name in names if getattr(optimizer, name, None)]
    if type(optimizer) is not keras.optimizers.SGD or options:
        given = f" with {', '.join(options)}" if options else ""
        raise errors.InputError(
            f"schedule='one_loop' with optimizer {type(optimizer).__name__}{given}: expected keras.optimizers.SGD "
            "without clipping, accumulation or overwriting averages, whose step is linear in the gradient"
        )
    rate = tf.convert_to_tensor(optimizer.learning_rate)
    return rate * (1.0 + optimizer.momentum) if optimizer.nesterov else rate
