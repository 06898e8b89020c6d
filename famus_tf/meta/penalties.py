"""Weight decay and the layers' own regularisers, as additions to the gradient of Actual-Train."""

import tensorflow as tf

from famus_tf.devices import replicas


def add_penalties(gradients, variables, weight_decay):
    """Adds L2 weight decay (coupled, as in every reference) and the gradients of `variable.regularizer`.

    Args:
      gradients: list of this replica's gradients; the optimizer will sum them over the replicas.
      variables: list of `keras.Variable`.
      weight_decay: coefficient lambda of lambda w, for every variable; a number or a scalar tensor.

    Returns:
      List of gradients; each replica carries its share of the penalties.
    """
    share = 1.0 / replicas.count()
    gradients = list(gradients)
    if tf.is_tensor(weight_decay) or weight_decay:
        decay = weight_decay * share
        gradients = [g + tf.cast(decay * v.value, g.dtype) for g, v in zip(gradients, variables, strict=True)]
    regularised = [position for position, variable in enumerate(variables) if variable.regularizer is not None]
    if regularised:
        chosen = [variables[position] for position in regularised]
        with tf.GradientTape() as tape:
            penalty = share * tf.add_n([variable.regularizer(variable) for variable in chosen])
        added = tape.gradient(penalty, [variable.value for variable in chosen])
        for position, gradient in zip(regularised, added, strict=True):
            gradients[position] += gradient
    return gradients
