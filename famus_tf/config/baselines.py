"""The flags of the baselines, the methods without a meta-learner."""

import dataclasses

from famus_tf.config import fields


@dataclasses.dataclass(frozen=True)
class BaselinesConfig(fields.FlagGroup):
    """Co-teaching and JoCoR: two networks that leave out the examples whose loss is large."""

    forget_rate: float | None = fields.flag(
        None,
        "tau of co_teaching and jocor: the share of each batch that is left out, its largest losses; about the share "
        "of wrong labels. auto: --noise_rate, of jocor with --noise=asymmetric the half of it, as in their codes, "
        "though fewer labels may be wrong (noise that keeps the true label, classes without noise).",
        bounds=fields.BELOW_ONE_OR_AUTO,
    )
    forget_epochs: int = fields.flag(
        10,
        "T_k of co_teaching and jocor: the epoch, counted from 1, from which tau is left out; before it less; 1: from "
        "the start.",
        bounds=fields.COUNT,
    )
    joint_weight: float = fields.flag(
        0.1,
        "c of jocor: weight of the networks' divergence, 1 - c that of their cross-entropies. SGD's steps shrink with "
        "1 - c, those of Adam, with which 0.9 was published for CIFAR-10, do not.",
        bounds=fields.FRACTION,
    )
