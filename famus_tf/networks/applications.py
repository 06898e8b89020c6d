"""Networks of `keras.applications` between the two ends that every network here has, from random or given weights."""

import dataclasses
import pathlib
from collections.abc import Callable

import keras

from famus_tf import errors
from famus_tf.networks import ends


@dataclasses.dataclass(frozen=True)
class _Application:
    """One of them.

    Attributes:
      make: function of `keras.applications`.
      smallest: the smallest height and width that it takes.
      reversed: whether its ImageNet weights were trained on blue, green, red.
      mean, std: of those channels, in units of 0..255, that the images were normalised with then.
    """

    make: Callable
    smallest: int
    reversed: bool
    mean: tuple[float, float, float]
    std: tuple[float, float, float]


APPLICATIONS = {
    # As Caffe did: means alone. torchvision's weights have other statistics, red first, and a standard deviation.
    "resnet50": _Application(keras.applications.ResNet50, 32, True, (103.939, 116.779, 123.68), (1.0, 1.0, 1.0)),
    "inception_resnet_v2": _Application(
        keras.applications.InceptionResNetV2, 75, False, (127.5, 127.5, 127.5), (127.5, 127.5, 127.5)
    ),
}


def build(name, input_shape, num_classes, mean, std, head="linear", pretrained="none"):
    """A network of `keras.applications` for other classes.

    BatchNorm's statistics move by 0.1 in each step, as in the references; Keras's own 0.01 is for longer trainings.

    Args:
      name: a key of `APPLICATIONS`.
      input_shape, num_classes, mean, std, head: as in `preact_resnet.preact_resnet18`.
      pretrained: "none", random weights; "imagenet", Keras's, which it fetches once; or the path of a file with such
        weights, without those of the last layer. Mean and std are then those that Keras's weights were trained with,
        whatever is given here.

    Returns:
      Functional `keras.Model`, images -> logits float32 [n, c]; one flat graph of layers.

    Raises:
      InputError: the images are smaller than the network takes, or not of three channels for pretrained weights; the
        weights cannot be fetched, or are not this network's.
    """
    application = APPLICATIONS[name]
    if min(input_shape[:2]) < application.smallest:
        raise errors.InputError(
            f"option `network`={name}: takes images of at least {application.smallest}x{application.smallest} pixels, "
            f"found {input_shape[0]}x{input_shape[1]}"
        )
    if pretrained == "none":
        images, x = ends.normalised_images(input_shape, mean, std)
        body = application.make(include_top=False, weights=None, input_tensor=x, pooling="avg")
    else:
        if input_shape[-1] != 3:
            raise errors.InputError(
                f"option `pretrained`={pretrained}: the weights are for images of 3 channels, found {input_shape[-1]}"
            )
        images, x = ends.normalised_images(input_shape, application.mean, application.std, application.reversed)
        body = _with_weights(name, application, x, pretrained)
    for layer in body.layers:
        if isinstance(layer, keras.layers.BatchNormalization):
            layer.momentum = 0.9
    return keras.Model(images, ends.classifier(num_classes, head)(body.output), name=name)


def _with_weights(name, application, x, pretrained):
    option = f"option `pretrained`={pretrained}"
    if pretrained != "imagenet" and not pathlib.Path(pretrained).is_file():
        raise errors.InputError(f"{option}: no such file; expected none, imagenet or the path of a file of weights")
    try:
        return application.make(include_top=False, weights=pretrained, input_tensor=x, pooling="avg")
    except Exception as error:  # of several libraries' own kinds: sockets, HDF5, Keras
        reason = str(error).strip().split("\n")[0][:200]
        if pretrained == "imagenet":
            raise errors.InputError(
                f"{option}: Keras could not fetch the weights of {name} ({reason}); expected a network, the file in "
                "Keras's cache (~/.keras/models), or its path as option `pretrained`"
            ) from error
        raise errors.InputError(
            f"{option}: not the weights of keras.applications' {name} without its last layer ({reason}); expected what "
            "its save_weights writes"
        ) from error
