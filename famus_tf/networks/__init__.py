"""Base networks: images -> logits, with the normalisation inside."""

from famus_tf import errors
from famus_tf.networks import preact_resnet

BUILDERS = {
    "small_preact": preact_resnet.small_preact,
    "preact_resnet18": preact_resnet.preact_resnet18,
}


def build(name, input_shape, num_classes, mean, std):
    """Builds the network called `name`.

    Args:
      name: a key of `BUILDERS`.
      input_shape: (height, width, channels).
      num_classes: c.
      mean, std: per channel, in 0..255.

    Returns:
      Functional `keras.Model`, images -> logits float32 [n, c].

    Raises:
      InputError: no network of that name.
    """
    if name not in BUILDERS:
        raise errors.InputError(f"--network={name}: expected one of {', '.join(BUILDERS)}")
    return BUILDERS[name](input_shape, num_classes, mean, std)
