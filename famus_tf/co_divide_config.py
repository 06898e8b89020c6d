"""The flags of Algorithm 2 and of a meta set that is picked out of the noisy training set."""

import dataclasses

from famus_tf import flag_group
from famus_tf.errors import InputError


@dataclasses.dataclass(frozen=True)
class CoDivideConfig(flag_group.FlagGroup):
    """Training without trusted labels: a mixture model of the losses says which labels are probably right."""

    algorithm: str = flag_group.flag(
        "single",
        "single (one network, Algorithm 1), or co_divide (Algorithm 2: two networks, each with the pseudo-clean set "
        "that the other one's losses give).",
        ("single", "co_divide"),
    )
    meta_set: str = flag_group.flag(
        "clean",
        "Where the meta set comes from: clean (trusted labels, see meta_per_class), or pseudo_clean (in every epoch "
        "from meta_from_epoch on, the training labels that are probably right by their losses).",
        ("clean", "pseudo_clean"),
    )
    semi_supervised: bool = flag_group.flag(
        True,
        "Of co_divide: train on the pseudo-clean set as labelled and on the rest as unlabelled images, by MixMatch as "
        "in DivideMix; without it by Algorithm 1 on all images and their given labels.",
    )
    clean_threshold: float = flag_group.flag(
        0.5,
        "A label is pseudo-clean where it is right with more than this probability.",
        bounds=flag_group.FRACTION,
    )
    loss_epochs: int = flag_group.flag(
        1, "The mixture is fitted to the mean of the losses of so many last epochs.", bounds=flag_group.COUNT
    )
    temperature: float = flag_group.flag(
        0.5, "T: guessed and refined labels are raised to 1 / T.", bounds=flag_group.POSITIVE
    )
    mixup_alpha: float = flag_group.flag(
        4.0, "Of semi_supervised: MixUp's share is drawn from Beta(alpha, alpha).", bounds=flag_group.POSITIVE
    )
    lambda_u: float = flag_group.flag(
        25.0, "Of semi_supervised: weight of the unlabelled images' loss.", bounds=flag_group.NON_NEGATIVE
    )
    lambda_u_ramp_epochs: int = flag_group.flag(
        16, "Epochs from the end of the warm-up on over which lambda_u is reached.", bounds=flag_group.COUNT_OR_ZERO
    )
    prior_penalty: float = flag_group.flag(
        1.0,
        "Of semi_supervised: weight of the distance of the mean prediction from equally frequent classes.",
        bounds=flag_group.NON_NEGATIVE,
    )
    confidence_penalty: float = flag_group.flag(
        0.0,
        "Of semi_supervised: weight of the predictions' negative entropy in the warm-up; 1 for asymmetric noise.",
        bounds=flag_group.NON_NEGATIVE,
    )
    export_network: str = flag_group.flag(
        "pair",
        "Of co_divide: what is exported: pair (the mean of both networks' logits), or better (the one network that is "
        "better on the validation set, without one on the test set).",
        ("pair", "better"),
    )

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.algorithm == "co_divide" and self.meta_set == "clean":
            raise InputError("--algorithm=co_divide with --meta_set=clean: expected --meta_set=pseudo_clean")

    @property
    def mixes(self) -> bool:
        """Whether training is Algorithm 2 in full, with unlabelled images."""
        return self.algorithm == "co_divide" and self.semi_supervised


def check(config) -> None:
    """Refuses, as an InputError, what does not go with a pseudo-clean meta set; `config` is a `config.Config`."""
    flags = config.co_divide
    if flags.meta_set == "clean":
        return
    expectations = [
        ("meta_per_class", config.data.meta_per_class, 0, "as no label is trusted"),
        ("train_steps", config.optimization.train_steps, 0, "and --epochs, as each epoch has its own meta set"),
    ]
    if flags.loss_epochs > 1:
        expectations.append(("batches_per_epoch", config.optimization.batches_per_epoch, 0, "with --loss_epochs > 1"))
    if flags.mixes:
        expectations += [
            ("loss", config.loss.loss, "cross_entropy", "with --semi_supervised"),
            ("drw_epoch", config.loss.drw_epoch, 0, "with --semi_supervised"),
        ]
    for name, found, expected, why in expectations:
        if found != expected:
            raise InputError(f"--{name}={found} with --meta_set=pseudo_clean: expected {expected}, {why}")
    if not config.method.meta_from_epoch:
        raise InputError(
            "--meta_from_epoch=0 with --meta_set=pseudo_clean: expected 1 or more, as the losses of a network that is "
            "not trained say nothing"
        )
    allowed = ("mw_net", "cross_entropy") if flags.mixes else ("mw_net", "l2r", "mlc")
    if config.method.method not in allowed:
        raise InputError(
            f"--method={config.method.method} with --meta_set=pseudo_clean, --algorithm={flags.algorithm}, "
            f"--semi_supervised={str(flags.semi_supervised).lower()}: expected one of {', '.join(allowed)}"
        )
