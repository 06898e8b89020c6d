"""The flags of the baselines, the methods without a meta-learner; each names the methods that read it."""

import dataclasses

from famus_tf.config import fields


def _is_schedule(value: tuple[float, ...]) -> bool:
    """Whether these are pairs of a share and the percents of the run for which it holds."""
    shares, percents = value[::2], value[1::2]
    return (
        len(shares) == len(percents)
        and all(0 <= share < 1 for share in shares)
        and all(percent > 0 for percent in percents)
        and sum(percents) <= 100
    )


_SHARES_BY_PERCENT = fields.Bounds(
    "pairs of a share below 1 and for how many percents of the run, 100 in all, such as 0.5,17,0.05,83", _is_schedule
)


@dataclasses.dataclass(frozen=True)
class BaselinesConfig(fields.FlagGroup):
    """Methods without a meta-learner: losses, targets, selections and corrections of labels."""

    forget_rate: float | None = fields.flag(
        None,
        "tau of co_teaching and jocor: the share of each batch that is left out, its largest losses; about the share "
        "of wrong labels. auto: --noise_rate, of jocor with --noise=asymmetric the half of it, as in their codes, "
        "though fewer labels may be wrong (noise that keeps the true label, classes without noise).",
        bounds=fields.BELOW_ONE_OR_AUTO,
        of=("co_teaching", "jocor"),
    )
    forget_epochs: int = fields.flag(
        10,
        "T_k of co_teaching and jocor: the epoch, counted from 1, from which tau is left out; before it less; 1: from "
        "the start.",
        bounds=fields.COUNT,
        of=("co_teaching", "jocor"),
    )
    joint_weight: float = fields.flag(
        0.1,
        "c of jocor: weight of the networks' divergence, 1 - c that of their cross-entropies. SGD's steps shrink with "
        "1 - c, those of Adam, with which 0.9 was published for CIFAR-10, do not.",
        bounds=fields.FRACTION,
        of=("jocor",),
    )
    mix_alpha: float = fields.flag(
        1.0,
        "a of mixup and pls: images are mixed by Beta(a, a); 0: not. Under much noise 8 or 32 keep the last epoch from "
        "collapsing.",
        bounds=fields.NON_NEGATIVE,
        of=("mixup", "pls"),
    )
    mentor_curriculum: str = fields.flag(
        "predefined",
        "Of mentornet: predefined (all, then small losses, then by their distance; MentorNet PD) or threshold (small "
        "losses).",
        ("predefined", "threshold"),
        of=("mentornet",),
    )
    mentor_percentile: float = fields.flag(
        0.75,
        "Of mentornet: the percentile of the batch's losses, as a share, whose running mean is the threshold. "
        "Published: 0.75, at 80% noise 0.5.",
        bounds=fields.DECAY,
        of=("mentornet",),
    )
    mentor_burn_in: float = fields.flag(
        0.0,
        "Of mentornet: the share of the run in which all examples count.",
        bounds=fields.FRACTION,
        of=("mentornet",),
    )
    mentor_dropout: tuple[float, ...] = fields.flag(
        (0.5, 17.0, 0.05, 83.0),
        "Of mentornet: example dropout, shares of each batch left out and for how many percents of the run each holds; "
        "empty: none. Published for another curriculum: 0.5,17,0.05,78,0.9,5.",
        bounds=_SHARES_BY_PERCENT,
        of=("mentornet",),
    )
    mentormix_alpha: float = fields.flag(
        2.0,
        "a of mentormix. Published: 2, 8, 8, 4 (CIFAR-10 with 20, 40, 60, 80% noise), 2, 8, 4, 8 (CIFAR-100); 0: "
        "nothing is mixed.",
        bounds=fields.NON_NEGATIVE,
        of=("mentormix",),
    )
    mentormix_percentile: float = fields.flag(
        0.7,
        "Of mentormix: as --mentor_percentile. Published: 0.8, 0.6, 0.6, 0.2 (CIFAR-10), 0.7, 0.5, 0.3, 0.1 "
        "(CIFAR-100).",
        bounds=fields.DECAY,
        of=("mentormix",),
    )
    mentormix_second: bool = fields.flag(
        False,
        "Of mentormix: mixed losses are weighed again, without weight decay; published at 60% noise and more.",
        of=("mentormix",),
    )
    mentormix_burn_in: float = fields.flag(
        0.1,
        "Of mentormix: the share of the run in which all examples are trusted.",
        bounds=fields.FRACTION,
        of=("mentormix",),
    )
    decoupling_epochs: int = fields.flag(
        1,
        "Of decoupling: epochs in which the networks learn from all examples, not from those they disagree about.",
        bounds=fields.COUNT_OR_ZERO,
        of=("decoupling",),
    )
    correction: str = fields.flag(
        "forward",
        "Of forward: the forward correction of the loss, or the backward one, which needs an inverse.",
        ("forward", "backward"),
        of=("forward",),
    )
    transition_file: str = fields.flag(
        "",
        "Of forward: T as a file of one row for each true class, P(given | true): .npy, .json, or text. Without it "
        "T is estimated.",
        is_path=True,
        of=("forward",),
    )
    estimate_epochs: int = fields.flag(
        5,
        "Of forward and gold_loss: epochs of cross-entropy before T is estimated and the training begins anew.",
        bounds=fields.COUNT_OR_ZERO,
        of=("forward", "gold_loss"),
    )
    anchor_percentile: float = fields.flag(
        97.0,
        "Of forward: the percentile of each class's probabilities at which its row of T is read; 100 (the largest) for "
        "many classes, as published for CIFAR-100.",
        bounds=fields.PERCENT,
        of=("forward",),
    )
    m_correction_epochs: int = fields.flag(
        2,
        "Of m_correction: epochs of MixUp before labels are corrected; published: 105 of 300.",
        bounds=fields.COUNT_OR_ZERO,
        of=("m_correction",),
    )
    m_correction_alpha: float = fields.flag(
        32.0, "a of m_correction's MixUp; 0: not mixed.", bounds=fields.NON_NEGATIVE, of=("m_correction",)
    )
    m_correction_target: str = fields.flag(
        "hard",
        "Of m_correction: the prediction that takes part in the label, one class (M-DYR-H) or the probabilities "
        "(M-DYR-S).",
        ("hard", "soft"),
        of=("m_correction",),
    )
    d2l_epochs: int = fields.flag(
        5,
        "Of d2l: epochs before the turning point is looked for, five later at the earliest; published: 40 (CIFAR-10), "
        "60 (CIFAR-100), 5 (MNIST).",
        bounds=fields.COUNT_OR_ZERO,
        of=("d2l",),
    )
    incv_rounds: int = fields.flag(
        4,
        "Of incv: rounds of selection. Each takes --incv_round_epochs, and what is left of the run is co-teaching.",
        bounds=fields.COUNT_OR_ZERO,
        of=("incv",),
    )
    incv_round_epochs: int = fields.flag(
        1, "Of incv: epochs of a round; published: 50.", bounds=fields.COUNT, of=("incv",)
    )
    incv_candidate_epochs: int = fields.flag(
        40,
        "Of incv: epochs of co-teaching before what was not selected may join; published: 40, 80 for asymmetric noise "
        "or more than 60%.",
        bounds=fields.COUNT_OR_ZERO,
        of=("incv",),
    )
    incv_noise: str = fields.flag(
        "symmetric",
        "Of incv: whether a class is mistaken for all others (symmetric: large losses are removed) or for one.",
        ("symmetric", "asymmetric"),
        of=("incv",),
    )
    jamal_step: float = fields.flag(
        0.01,
        "Of jamal: the step of each example's correction to the weight of its class (--class_balanced_beta).",
        bounds=fields.NON_NEGATIVE,
        of=("jamal",),
    )
    bbn_power: float = fields.flag(
        2.0,
        "Of bbn: the power of the share of the run that is done, by which the natural stream's share falls from 1.",
        bounds=fields.POSITIVE,
        of=("bbn",),
    )
    tau: float | None = fields.flag(
        None,
        "Of tau_norm: how far the classifier's columns are brought to one length: 0 not, 1 wholly; auto: the best of "
        "0, 0.1, ..., 1 on the trusted images.",
        bounds=fields.FRACTION_OR_AUTO,
        of=("tau_norm",),
    )
    elr_strength: float = fields.flag(
        3.0,
        "lambda of elr and elr_plus; 0: off. Published: 3 (CIFAR-10, WebVision, Clothing1M), 1 (CIFAR-10 asymmetric), "
        "7 (CIFAR-100).",
        bounds=fields.NON_NEGATIVE,
        of=("elr", "elr_plus"),
    )
    elr_momentum: float = fields.flag(
        0.7,
        "beta of elr and elr_plus: momentum of the targets. Published: 0.7, 0.9 for CIFAR-10 asymmetric and CIFAR-100.",
        bounds=fields.FRACTION,
        of=("elr", "elr_plus"),
    )
    elr_mixup_alpha: float = fields.flag(
        1.0, "a of elr_plus's MixUp; 0: not mixed.", bounds=fields.NON_NEGATIVE, of=("elr_plus",)
    )
    elr_product: bool = fields.flag(
        False,
        "Of elr_plus: labels are multiplied by the targets, and lambda rises; published for CIFAR-100.",
        of=("elr_plus",),
    )
    average_momentum: float = fields.flag(
        0.997,
        "Of elr_plus: momentum of the networks' averages, which make the targets; 0.9999 for Clothing1M.",
        bounds=fields.BELOW_ONE,
        of=("elr_plus",),
    )
    average_ramp_steps: int = fields.flag(
        40_000,
        "Of elr_plus: steps in which that momentum rises; 0: at once, as for Clothing1M.",
        bounds=fields.COUNT_OR_ZERO,
        of=("elr_plus",),
    )
    pls_epochs: int = fields.flag(
        1,
        "Of pls: epochs of MixUp before labels are judged; published: 1 (CNWL), 30 (CIFAR-100).",
        bounds=fields.COUNT,
        of=("pls",),
    )
    pls_threshold: float = fields.flag(
        0.95,
        "Of pls: a label is noisy above this probability; published: 0.95, 0.5 at 80% noise.",
        bounds=fields.FRACTION,
        of=("pls",),
    )
    pls_sharpness: float = fields.flag(
        2.0, "Of pls: the power of the probabilities that make a guess.", bounds=fields.POSITIVE, of=("pls",)
    )
    ssr_relabel_above: float = fields.flag(
        0.9,
        "theta_r of ssr: a prediction above this probability takes the label's place; 1: never. Published: 0.9 "
        "(CIFAR-10), 0.8 (CIFAR-100), 0.95 (WebVision), 0.99 (Clothing1M).",
        bounds=fields.FRACTION,
        of=("ssr",),
    )
    ssr_clean_from: float = fields.flag(
        1.0,
        "theta_s of ssr: a label is clean that has this share of the votes of the class with the most; 0: all.",
        bounds=fields.FRACTION,
        of=("ssr",),
    )
    ssr_neighbours: int = fields.flag(200, "Of ssr: neighbours that vote.", bounds=fields.COUNT, of=("ssr",))
    ssr_mixup_alpha: float = fields.flag(
        4.0, "a of ssr's MixUp; 0: not mixed; 0.5 for images from the web.", bounds=fields.NON_NEGATIVE, of=("ssr",)
    )
    pes_epochs: int = fields.flag(
        2,
        "T_1 of pes: epochs before its classifier begins anew; published: 20 (CIFAR-10), 35 (CIFAR-100) of 300.",
        bounds=fields.COUNT_OR_ZERO,
        of=("pes",),
    )
    pes_head_epochs: int = fields.flag(
        1, "T_2 of pes: epochs of the new classifier alone; published: 5.", bounds=fields.COUNT_OR_ZERO, of=("pes",)
    )
    pes_lambda_u: float = fields.flag(
        5.0,
        "Of pes: weight of the guesses; published: 5 (CIFAR-10N), 75 (CIFAR-100N), 5 to 150 (made noise).",
        bounds=fields.NON_NEGATIVE,
        of=("pes",),
    )
    pes_mixup_alpha: float = fields.flag(
        4.0, "a of pes's MixUp; 0: not mixed.", bounds=fields.NON_NEGATIVE, of=("pes",)
    )
    pes_frozen_head: bool = fields.flag(
        True, "Of pes: the classifier stays as it is after T_2, as in its code.", of=("pes",)
    )
