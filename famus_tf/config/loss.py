"""The flags of the training loss, for classes of very different sizes."""

import dataclasses

from famus_tf.config import fields


@dataclasses.dataclass(frozen=True)
class LossConfig(fields.FlagGroup):
    """The loss of one training example; the validation loss of the meta step is the cross-entropy."""

    loss: str = fields.flag(
        "cross_entropy",
        "The training loss: cross_entropy; focal; class_balanced_focal (focal, weighted by the effective number of the "
        "class's images); or ldam (margins that are larger for smaller classes, with a normalised classifier).",
        ("cross_entropy", "focal", "class_balanced_focal", "ldam"),
    )
    focal_gamma: float = fields.flag(
        1.0, "gamma of the focal losses; 0: the cross-entropy.", bounds=fields.NON_NEGATIVE
    )
    focal_form: str = fields.flag(
        "softmax",
        "Of the focal losses: softmax (one of the classes; LDAM's authors), or sigmoid (each class by itself; the "
        "class-balanced loss as published).",
        ("softmax", "sigmoid"),
    )
    class_balanced_beta: float = fields.flag(
        0.9999, "beta of the weights by class, of class_balanced_focal and of drw_epoch.", bounds=fields.BELOW_ONE
    )
    ldam_margin: float = fields.flag(
        0.5, "Of ldam: the margin of the smallest class, as a cosine.", bounds=fields.NON_NEGATIVE
    )
    drw_epoch: int = fields.flag(
        0,
        "Deferred re-weighting: the training loss is weighted by class, sum(w l) / sum(w), from this epoch on, "
        "counted from 0; 0: not.",
        bounds=fields.COUNT_OR_ZERO,
    )
