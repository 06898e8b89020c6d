"""ResNet-50 for ImageNet-like images (He et al., "Deep Residual Learning for Image Recognition", CVPR 2016)."""

import keras

from famus_tf.networks import ends


def resnet50(input_shape, num_classes, mean, std):
    """Keras's ResNet50 from random weights, for images of 32 pixels or more (224 in the paper).

    Arguments and result as in `preact_resnet.preact_resnet18`.

    Raises:
      InputError: smaller images.
    """
    return ends.application("resnet50", keras.applications.ResNet50, 32, input_shape, num_classes, mean, std)
