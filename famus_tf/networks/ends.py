"""The two ends that every network here has: normalised images at the bottom, a float32 classifier at the top."""

import keras

from famus_tf import errors


def normalised_images(input_shape, mean, std):
    """The input of a network and its normalised form.

    Args:
      input_shape: (height, width, channels).
      mean, std: per channel, in the images' units (0..255).

    Returns:
      `keras.Input` of raw images, and the tensor (images - mean) / std [n, *input_shape].
    """
    images = keras.Input(input_shape, name="images")
    variance = [value**2 for value in std]
    # In float32 whatever the policy: means of 0..255 have no place for their fraction in bfloat16.
    normalise = keras.layers.Normalization(mean=list(mean), variance=variance, dtype="float32", name="normalise")
    return images, normalise(images)


def classifier(num_classes):
    """The last layer, features -> logits [n, c]; float32 whatever the policy: losses and the meta-learner need it."""
    return keras.layers.Dense(num_classes, dtype="float32", name="classifier")


def application(name, build, smallest, input_shape, num_classes, mean, std):
    """One of `keras.applications`, from random weights, between these two ends.

    Args:
      name: of the model.
      build: function of `keras.applications`, such as `ResNet50`.
      smallest: the smallest height and width that it takes.
      input_shape, num_classes, mean, std: as in `preact_resnet.preact_resnet18`.

    Returns:
      Functional `keras.Model`, images -> logits float32 [n, c]; one flat graph of layers.

    Raises:
      InputError: the images are smaller than that.
    """
    if min(input_shape[:2]) < smallest:
        raise errors.InputError(
            f"--network={name}: takes images of at least {smallest}x{smallest} pixels, found "
            f"{input_shape[0]}x{input_shape[1]}"
        )
    images, x = normalised_images(input_shape, mean, std)
    body = build(include_top=False, weights=None, input_tensor=x, pooling="avg")
    return keras.Model(images, classifier(num_classes)(body.output), name=name)
