"""The flags of Algorithm 2 and of a meta set that is picked out of the noisy training set."""

import dataclasses

from famus_tf.config import fields


@dataclasses.dataclass(frozen=True)
class CoDivideConfig(fields.FlagGroup):
    """Training without trusted labels: a mixture model of the losses says which labels are probably right."""

    algorithm: str = fields.flag(
        "single",
        "single (one network, Algorithm 1), or co_divide (Algorithm 2: two networks, each with the pseudo-clean set "
        "that the other one's losses give).",
        ("single", "co_divide"),
    )
    meta_set: str = fields.flag(
        "clean",
        "Where the meta set comes from: clean (trusted labels, see meta_per_class), or pseudo_clean (in every epoch "
        "from meta_from_epoch on, the training labels that are probably right by their losses).",
        ("clean", "pseudo_clean"),
    )
    semi_supervised: bool = fields.flag(
        True,
        "Of co_divide: train on the pseudo-clean set as labelled and on the rest as unlabelled images, by MixMatch as "
        "in DivideMix; without it by Algorithm 1 on all images and their given labels.",
    )
    clean_threshold: float = fields.flag(
        0.5,
        "A label is pseudo-clean where it is right with more than this probability.",
        bounds=fields.FRACTION,
    )
    loss_epochs: int = fields.flag(
        1, "The mixture is fitted to the mean of the losses of so many last epochs.", bounds=fields.COUNT
    )
    temperature: float = fields.flag(0.5, "T: guessed and refined labels are raised to 1 / T.", bounds=fields.POSITIVE)
    mixup_alpha: float = fields.flag(
        4.0, "Of semi_supervised: MixUp's share is drawn from Beta(alpha, alpha).", bounds=fields.POSITIVE
    )
    lambda_u: float = fields.flag(
        25.0, "Of semi_supervised: weight of the unlabelled images' loss.", bounds=fields.NON_NEGATIVE
    )
    lambda_u_ramp_epochs: int = fields.flag(
        16, "Epochs from the end of the warm-up on over which lambda_u is reached.", bounds=fields.COUNT_OR_ZERO
    )
    prior_penalty: float = fields.flag(
        1.0,
        "Of semi_supervised: weight of the distance of the mean prediction from equally frequent classes.",
        bounds=fields.NON_NEGATIVE,
    )
    confidence_penalty: float = fields.flag(
        0.0,
        "Of semi_supervised: weight of the predictions' negative entropy in the warm-up; 1 for asymmetric noise.",
        bounds=fields.NON_NEGATIVE,
    )
    export_network: str = fields.flag(
        "pair",
        "Of two networks, what is exported: pair (the mean of their logits), or better (the one that is better on the "
        "validation set, without one on the test set).",
        ("pair", "better"),
    )

    @property
    def mixes(self) -> bool:
        """Whether training is Algorithm 2 in full, with unlabelled images."""
        return self.algorithm == "co_divide" and self.semi_supervised
