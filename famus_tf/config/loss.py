"""The flags of the training loss, for classes of very different sizes and for wrong labels."""

import dataclasses

from famus_tf.config import fields


@dataclasses.dataclass(frozen=True)
class LossConfig(fields.FlagGroup):
    """The loss of one training example; the validation loss of the meta step is the cross-entropy."""

    loss: str = fields.flag(
        "cross_entropy",
        "The training loss: cross_entropy; focal; class_balanced_focal (focal, weighted by the effective number of the "
        "class's images); ldam (margins that are larger for smaller classes, with a normalised classifier); "
        "balanced_softmax (logits adjusted by the classes' sizes); or, for wrong labels, label_smoothing, "
        "bootstrapping, gce (generalised cross-entropy), sce (symmetric cross-entropy) or active_passive (normalised "
        "and reverse cross-entropy).",
        (
            "cross_entropy",
            "focal",
            "class_balanced_focal",
            "ldam",
            "balanced_softmax",
            "label_smoothing",
            "bootstrapping",
            "gce",
            "sce",
            "active_passive",
        ),
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
    adjustment: float = fields.flag(
        1.0,
        "Of balanced_softmax: tau, by which the logarithm of each class's share is added to its logit; 0: the "
        "cross-entropy.",
        bounds=fields.NON_NEGATIVE,
    )
    smoothing: float = fields.flag(
        0.1,
        "Of label_smoothing: the share of a label that goes to all classes alike; below 0 labels are sharpened.",
        bounds=fields.Bounds("a number below 1", lambda value: value < 1),
    )
    bootstrap_share: float = fields.flag(
        0.95,
        "Of bootstrapping: the share of the given label, the prediction has the rest; 1: the cross-entropy. Published "
        "with --bootstrap_hard: 0.8.",
        bounds=fields.FRACTION,
    )
    bootstrap_hard: bool = fields.flag(
        False, "Of bootstrapping: the prediction is one class, not the probabilities of all."
    )
    gce_q: float = fields.flag(
        0.7, "Of gce: q of (1 - p^q) / q; near 0 the cross-entropy, 1 the absolute error.", bounds=fields.DECAY
    )
    gce_truncation: float = fields.flag(
        0.0,
        "Of gce: examples whose label has at most this probability are not learnt from; published with 0.5, from a "
        "later epoch.",
        bounds=fields.BELOW_ONE,
    )
    sce_alpha: float = fields.flag(
        0.1,
        "Of sce: weight of the cross-entropy. Published: 0.1 (CIFAR-10), 6 (CIFAR-100), 10 (WebVision).",
        bounds=fields.NON_NEGATIVE,
    )
    sce_beta: float = fields.flag(
        1.0,
        "Of sce: weight of the reverse cross-entropy. Published: 1 (CIFAR-10, WebVision), 0.1 (CIFAR-100).",
        bounds=fields.NON_NEGATIVE,
    )
    active_weight: float = fields.flag(
        1.0,
        "Of active_passive: weight of the normalised cross-entropy. Published: 1 (CIFAR-10), 10 (CIFAR-100), 50 "
        "(WebVision).",
        bounds=fields.NON_NEGATIVE,
    )
    passive_weight: float = fields.flag(
        1.0,
        "Of active_passive: weight of the reverse cross-entropy. Published: 1 (CIFAR-10), 0.1 (CIFAR-100, WebVision).",
        bounds=fields.NON_NEGATIVE,
    )
    drw_epoch: int = fields.flag(
        0,
        "Deferred re-weighting: the training loss is weighted by class, sum(w l) / sum(w), from this epoch on, "
        "counted from 0; 0: not.",
        bounds=fields.COUNT_OR_ZERO,
    )
