"""Inception-ResNet-v2 (Szegedy et al., "Inception-v4, Inception-ResNet and the Impact of ...", AAAI 2017)."""

from famus_tf.networks import applications


def inception_resnet_v2(input_shape, num_classes, mean, std, head="linear", pretrained="none"):
    """Keras's InceptionResNetV2, for images of 75 pixels or more (299 in the paper).

    Arguments and result as in `applications.build`.

    Raises:
      InputError: smaller images, or weights that cannot be had.
    """
    return applications.build("inception_resnet_v2", input_shape, num_classes, mean, std, head, pretrained)
