"""Base networks: images -> logits, with the normalisation inside."""

import contextlib

import keras

from famus_tf import errors
from famus_tf.networks import inception_resnet, keras_file, preact_resnet, resnet, wide_resnet

BUILDERS = {
    "small_preact": preact_resnet.small_preact,
    "preact_resnet18": preact_resnet.preact_resnet18,
    "wrn40_2": wide_resnet.wrn40_2,
    "wrn28_10": wide_resnet.wrn28_10,
    "resnet32": resnet.resnet32,
    "resnet50": resnet.resnet50,
    "inception_resnet_v2": inception_resnet.inception_resnet_v2,
}


def build(name, input_shape, num_classes, mean, std, dtype_policy="float32", head="linear", pretrained="none"):
    """Builds the network called `name`, or loads it from a file.

    Args:
      name: a key of `BUILDERS`, or the path of a `.keras` file (`keras_file.load`).
      input_shape: (height, width, channels).
      num_classes: c.
      mean, std: per channel, in 0..255; a network from a file has its own normalisation.
      dtype_policy: name of the Keras policy of its layers, such as mixed_bfloat16: variables, normalisation and
        classifier are float32 in any case. Layers from a file have the policies saved with them.
      head: the classifier, one of `ends.HEADS`; a network from a file must have it.
      pretrained: as in `applications.build`, for its networks; "none" for all others.

    Returns:
      Functional `keras.Model`, images -> logits float32 [n, c].

    Raises:
      InputError: no network of that name, or not one for such images and classes.
    """
    if name.endswith(keras_file.SUFFIX):
        return keras_file.load(name, input_shape, num_classes, head)
    if name not in BUILDERS:
        raise errors.InputError(
            f"option `network`={name}: expected one of {', '.join(BUILDERS)}, or a path ending in .keras"
        )
    with _policy(dtype_policy):
        # Only what is asked for: a builder of one's own may know of no heads.
        options = {"head": head} if head != "linear" else {}
        options |= {"pretrained": pretrained} if pretrained != "none" else {}
        return BUILDERS[name](input_shape, num_classes, mean, std, **options)


@contextlib.contextmanager
def _policy(name):
    """Keras's global policy, for the layers made inside; what is made later must not inherit it."""
    before = keras.config.dtype_policy()
    keras.config.set_dtype_policy(name)
    try:
        yield
    finally:
        keras.config.set_dtype_policy(before)
