"""The base networks of a run, from the flags that name one."""

import functools

import keras
import numpy as np

from famus_tf import networks
from famus_tf.experiment import notes
from famus_tf.networks import initial_weights
from famus_tf.profiling import dtype_policy


def make_network(run, loss, dataset, policy):
    """One network with initial weights.

    Args:
      run: `config.run.RunConfig`.
      loss: `config.loss.LossConfig`; LDAM needs a cosine classifier.
      dataset: `data.dataset.Dataset`, whose images and classes it takes.
      policy: name of the Keras policy of its layers.

    Returns:
      Functional `keras.Model`, images -> logits float32 [n, c].

    Raises:
      InputError: the network does not go with the images or classes.
    """
    head = "cosine" if loss.loss == "ldam" else "linear"
    shapes_and_statistics = dataset.image_shape, dataset.num_classes, dataset.mean, dataset.std
    return networks.build(run.network, *shapes_and_statistics, policy, head, run.pretrained)


def make_seeded_network(run, loss, dataset, seed, own_head=False):
    """`make_network` of the flags' policy, with initial weights drawn by `seed`, or those of option `init_from`.

    With an `own_head` the classifier is drawn in any case: two networks that begin alike would stay alike.

    Raises:
      InputError: as there, or these weights are of another network.
    """
    keras.utils.set_random_seed(seed)
    network = make_network(run, loss, dataset, run.dtype_policy)
    if run.init_from:
        left = initial_weights.take(network, initial_weights.read(run.init_from), run.init_from, own_head)
        said = f"option `init_from`={run.init_from}: drawn anew, as there are other classes: {', '.join(left)}"
        notes.say([said] if left else [])
    return network


def choose_dtype_policy(run, loss, dataset):
    """The policy that is faster on images of that size; float32 for a network from a file, which has its own."""
    if run.network not in networks.BUILDERS:
        return "float32"
    # Drawn, not read: a file may be broken, and the time is the same.
    labels = dataset.train_labels[: dtype_policy.BATCH_SIZE]
    images = np.random.default_rng(0).integers(0, 256, (len(labels), *dataset.image_shape), np.uint8)
    return dtype_policy.choose(functools.partial(make_network, run, loss, dataset), images, labels)
