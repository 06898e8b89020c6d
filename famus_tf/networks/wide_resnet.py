"""Wide residual networks (Zagoruyko & Komodakis, "Wide Residual Networks", BMVC 2016), without dropout."""

from famus_tf.networks import preact_resnet


def wrn28_10(input_shape, num_classes, mean, std, head="linear"):
    """WRN-28-10 for images of about 32x32: widths 160, 320 and 640, four blocks each; 36.5 million parameters.

    Arguments and result as in `preact_resnet.preact_resnet18`.
    """
    return _wide_resnet("wrn28_10", 28, 10, input_shape, num_classes, mean, std, head)


def wrn40_2(input_shape, num_classes, mean, std, head="linear"):
    """WRN-40-2 for images of about 32x32: widths 32, 64 and 128, six blocks each; 2.2 million parameters.

    Arguments and result as in `preact_resnet.preact_resnet18`.
    """
    return _wide_resnet("wrn40_2", 40, 2, input_shape, num_classes, mean, std, head)


def _wide_resnet(name, depth, widening, input_shape, num_classes, mean, std, head):
    """WRN-d-k: a stem of 16 channels and three stages of (d - 4) / 6 blocks of 16k, 32k and 64k (Table 1)."""
    widths = tuple(width * widening for width in (16, 32, 64))
    return preact_resnet.pre_activation_network(
        name, input_shape, num_classes, mean, std, head, widths=widths, blocks=(depth - 4) // 6, stem_width=16
    )
