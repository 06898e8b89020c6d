"""Inception-ResNet-v2 (Szegedy et al., "Inception-v4, Inception-ResNet and the Impact of ...", AAAI 2017)."""

import keras

from famus_tf.networks import ends


def inception_resnet_v2(input_shape, num_classes, mean, std):
    """Keras's InceptionResNetV2 from random weights, for images of 75 pixels or more (299 in the paper).

    Arguments and result as in `preact_resnet.preact_resnet18`.

    Raises:
      InputError: smaller images.
    """
    build = keras.applications.InceptionResNetV2
    return ends.application("inception_resnet_v2", build, 75, input_shape, num_classes, mean, std)
