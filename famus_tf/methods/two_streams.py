"""A network with two branches over one trunk, as BBN has: its last block twice, one classifier on both features."""

from __future__ import annotations

import keras

from famus_tf.meta import segments
from famus_tf.networks import parts

TRUNK = "trunk"
BRANCHES = ("conventional_branch", "rebalancing_branch")
CLASSIFIER = "classifier_of_both"


def two_branches(network: keras.Model) -> keras.Model:
    """Makes the network with two branches from one with one.

    The trunk ends where the network is one tensor wide for the last time below its last block: the last block and what
    is between it and the classifier are copied, the copy with weights drawn anew, also where the network is pretrained.

    Args:
      network: functional `keras.Model`, images -> logits [n, c], whose layers the result takes.

    Returns:
      Functional `keras.Model`, images -> logits W [f_c ; f_r] + b, float32 [n, c], with the layers `TRUNK`, `BRANCHES`
      and `CLASSIFIER`.

    Raises:
      InputError: it has no classifier on vectors, or no block below it.
    """
    whole = parts.of(network)
    cut = segments.last_block_input(whole.features)
    trunk = keras.Model(network.inputs[0], cut, name=TRUNK)
    first = keras.Model(cut, whole.features.outputs[0], name=BRANCHES[0])
    second = keras.models.clone_model(first)
    second.name = BRANCHES[1]
    images = network.inputs[0]
    shared = trunk(images)
    features = [branch(shared) for branch in (first, second)]
    classifier = keras.layers.Dense(network.output_shape[-1], dtype="float32", name=CLASSIFIER)
    logits = classifier(keras.layers.Concatenate(dtype="float32")(features))
    return keras.Model(images, logits, name=f"{network.name}_of_two_branches")
