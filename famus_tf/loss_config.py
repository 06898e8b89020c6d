"""The flags of the training loss, for classes of very different sizes."""

import dataclasses

from famus_tf import flag_group
from famus_tf.errors import InputError


@dataclasses.dataclass(frozen=True)
class LossConfig(flag_group.FlagGroup):
    """The loss of one training example; the validation loss of the meta step is the cross-entropy."""

    loss: str = flag_group.flag(
        "cross_entropy",
        "The training loss: cross_entropy; focal; class_balanced_focal (focal, weighted by the effective number of the "
        "class's images); or ldam (margins that are larger for smaller classes, with a normalised classifier).",
        ("cross_entropy", "focal", "class_balanced_focal", "ldam"),
    )
    focal_gamma: float = flag_group.flag(
        1.0, "gamma of the focal losses; 0: the cross-entropy.", bounds=flag_group.NON_NEGATIVE
    )
    focal_form: str = flag_group.flag(
        "softmax",
        "Of the focal losses: softmax (one of the classes; LDAM's authors), or sigmoid (each class by itself; the "
        "class-balanced loss as published).",
        ("softmax", "sigmoid"),
    )
    class_balanced_beta: float = flag_group.flag(
        0.9999, "beta of the weights by class, of class_balanced_focal and of drw_epoch.", bounds=flag_group.MOMENTUM
    )
    ldam_margin: float = flag_group.flag(
        0.5, "Of ldam: the margin of the smallest class, as a cosine.", bounds=flag_group.NON_NEGATIVE
    )
    drw_epoch: int = flag_group.flag(
        0,
        "Deferred re-weighting: the training loss is weighted by class, sum(w l) / sum(w), from this epoch on, "
        "counted from 0; 0: not.",
        bounds=flag_group.COUNT_OR_ZERO,
    )

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.loss == "class_balanced_focal" and self.drw_epoch:
            raise InputError(
                f"--drw_epoch={self.drw_epoch} with --loss=class_balanced_focal, which is weighted from the start: "
                "expected --loss=focal"
            )
