"""The flags of the method and of the layers that carry its meta gradient."""

import dataclasses
import math
from collections.abc import Mapping
from typing import Any

from famus_tf.config import fields
from famus_tf.config.text import AUTO


@dataclasses.dataclass(frozen=True)
class Kind:
    """What the rules between flags need to know of a method.

    Attributes:
      needs_meta_set: whether it learns from a meta set.
      networks: how many networks one step trains, for the rules; the method's `build` makes them.
      forgets: whether it leaves a share of each batch out, `forget_rate`.
      has_meta_learner: whether `methods.famus` trains it, with a meta-learner or with none to learn.
      draws_epochs: whether it chooses what an epoch's batches are drawn from.
      follows_length: whether what it does in a step depends on the length of the run.
      takes_loss: whether it minimises option `loss`; else it has its own.
      begins_trained: whether it goes on from a trained network, `init_from`.
      takes_scores: whether it learns from the scores of the examples, which L_g would change.
      asks_probes: whether it learns from trusted examples that take part in training, `probe_share`.
      selector: `selector` where it is auto.
      schedule: `schedule` where it is auto.
    """

    needs_meta_set: bool = False
    networks: int = 1
    forgets: bool = False
    has_meta_learner: bool = True
    takes_loss: bool = True
    draws_epochs: bool = False
    follows_length: bool = False
    begins_trained: bool = False
    takes_scores: bool = False
    asks_probes: bool = False
    selector: str = "sampler"
    schedule: str = "three_stage"


# By the names of `famus_tf.methods.BY_NAME`; a test holds them equal.
METHODS = {
    "cross_entropy": Kind(),
    "mw_net": Kind(needs_meta_set=True),
    "cmw_net": Kind(needs_meta_set=True),
    "l2r": Kind(needs_meta_set=True),
    "jamal": Kind(needs_meta_set=True, selector="all"),
    "mlc": Kind(needs_meta_set=True, takes_loss=False),
    "soft_labels": Kind(needs_meta_set=True, takes_loss=False),
    "memory_weight_net": Kind(
        needs_meta_set=True,
        takes_scores=True,
        asks_probes=True,
        selector="agreement",
        schedule="one_loop",
    ),
    "running_score": Kind(needs_meta_set=True, takes_scores=True, selector="agreement", schedule="one_loop"),
    "running_probability": Kind(),
    "co_teaching": Kind(networks=2, forgets=True, has_meta_learner=False, takes_loss=False),
    "jocor": Kind(networks=2, forgets=True, has_meta_learner=False, takes_loss=False),
    "decoupling": Kind(networks=2, has_meta_learner=False, takes_loss=False),
    "mixup": Kind(has_meta_learner=False),
    "mentornet": Kind(has_meta_learner=False, follows_length=True),
    "mentormix": Kind(has_meta_learner=False, follows_length=True),
    "forward": Kind(has_meta_learner=False, takes_loss=False, follows_length=True),
    "gold_loss": Kind(needs_meta_set=True, has_meta_learner=False, takes_loss=False, follows_length=True),
    "m_correction": Kind(has_meta_learner=False, takes_loss=False),
    "d2l": Kind(has_meta_learner=False, takes_loss=False, follows_length=True),
    "incv": Kind(networks=2, has_meta_learner=False, takes_loss=False, draws_epochs=True, follows_length=True),
    "bbn": Kind(has_meta_learner=False, draws_epochs=True, follows_length=True),
    "crt": Kind(has_meta_learner=False, draws_epochs=True, begins_trained=True),
    "tau_norm": Kind(has_meta_learner=False, takes_loss=False, begins_trained=True),
    "elr": Kind(has_meta_learner=False),
    "elr_plus": Kind(networks=2, has_meta_learner=False, takes_loss=False),
    "pls": Kind(has_meta_learner=False, takes_loss=False, draws_epochs=True),
    "ssr": Kind(has_meta_learner=False, takes_loss=False, draws_epochs=True),
    "pes": Kind(has_meta_learner=False, takes_loss=False, draws_epochs=True),
}


# Of 100 trusted images of a class 60 are enough for a meta set.
_PROBE_SHARE = 0.4


@dataclasses.dataclass(frozen=True)
class MethodConfig(fields.FlagGroup):
    """How a network is trained, and of the meta-learners which layers carry the gradient."""

    method: str = fields.flag(
        "mw_net",
        "How much training labels are trusted: cross_entropy (all alike, no meta step), mw_net (Meta-Weight-Net), "
        "cmw_net (the same with a weighting for each family of class sizes), l2r (weights of its own for each "
        "batch), jamal (class-balanced weights, corrected for each example), "
        "mlc (a transition matrix on the logits) or soft_labels (given labels mixed with running predictions); by "
        "running means over the visits of each example, memory_weight_net (of its score in the meta step and its "
        "label's probability and loss, mixed as the meta set teaches), running_score (the first two alike) or "
        "running_probability (no meta step). Without a meta-learner, one network: mixup, mentornet, mentormix, "
        "forward, gold_loss (with trusted images), m_correction, d2l, elr, pls, ssr, pes, bbn (long tails); on a "
        "trained one, for long tails, crt and tau_norm; two: co_teaching, jocor, decoupling, incv, elr_plus "
        "(docs/methods.md).",
        tuple(METHODS),
    )
    selector: str = fields.flag(
        "auto",
        "The layers that carry the meta gradient: all (the exact gradient), sampler (FaMUS: learned gates, Eq. 8 and "
        "9), random (expected_layers of them, drawn anew in each step), block (those of --block) or agreement (ours: "
        "those whose scores of the training examples repeat best over two halves of the meta batch, for their cost). "
        "auto: agreement for memory_weight_net and running_score, else sampler.",
        ("auto", "all", "sampler", "random", "block", "agreement"),
    )
    expected_layers: int = fields.flag(
        4,
        "K of Eq. 10: the number of layers that the sampler is drawn towards; of random layers.",
        bounds=fields.COUNT,
    )
    block: str = fields.flag(
        "-2",
        "The layers of --selector=block: a block's number from the input (1, 2, ...; wrn28_10 has 12) or from the top "
        "(-1: the classifier, -2: the last block), or the start of layer names, as stage4.",
    )
    agreement_every: int = fields.flag(
        50,
        "Of --selector=agreement: the layers are measured, and chosen anew, on the first meta step in every so many "
        "steps.",
        bounds=fields.COUNT,
    )
    agreement_price: float = fields.flag(
        0.3,
        "Of --selector=agreement: how much repeatability, at most 1, layers at the bottom of the network must add to "
        "be reached for; less in proportion for what costs less to reach.",
        bounds=fields.NON_NEGATIVE,
    )
    agreement_per_class: bool = fields.flag(
        False,
        "Of --selector=agreement: the mean score of each class's examples is taken out before scores are compared.",
    )
    selection_objective: str = fields.flag(
        "scale_free",
        "What the gates of --selector=sampler learn from: scale_free (ours: the same terms whatever the learning rate, "
        "the depth and the widths are, and a cost that is really paid) or paper (Eq. 8 to 12 as they stand "
        "where --lambda_cost=0 is given too).",
        ("scale_free", "paper"),
    )
    lambda_r: float = fields.flag(
        0.1,
        "lambda_1 of Eq. 12: weight of L_r, the distance of the number of gates from K.",
        bounds=fields.NON_NEGATIVE,
    )
    lambda_g: float | None = fields.flag(
        None,
        "lambda_2 of Eq. 12: weight of L_g (Eq. 11), the distance of the last layer's training and validation "
        "gradients; auto: 0 with --selector=all, whose meta gradient is then exact, with agreement, whose layers need "
        "no such help, and for memory_weight_net and running_score, whose scores it would change; else the paper's "
        "0.1.",
        bounds=fields.NON_NEGATIVE_OR_AUTO,
    )
    lambda_cost: float = fields.flag(
        0.5,
        "Weight of the cost term: selecting a layer costs the share of the network above it. Ours; 0 is the paper.",
        bounds=fields.NON_NEGATIVE,
    )
    layer_cost: str = fields.flag(
        "counted",
        "What the cost term takes for the cost of reaching a layer: counted multiplications, or seconds measured when "
        "the run starts.",
        ("counted", "measured"),
    )
    normalize_weights: bool = fields.flag(
        True, "Divide the example weights V of mw_net by their sum over the global batch."
    )
    class_families: int = fields.flag(
        3,
        "Families of class sizes of --method=cmw_net, each with a weighting of its own.",
        bounds=fields.COUNT,
    )
    memory_momentum: float = fields.flag(
        0.8,
        "Momentum of the running means of memory_weight_net, running_score, running_probability and soft_labels, by "
        "the example's visits: 0 keeps the last, near 1 the mean of all.",
        bounds=fields.BELOW_ONE,
    )
    memory_sharpness: float = fields.flag(
        2.5,
        "How sharply the learners that remember, but soft_labels, tell examples apart: trust = sigmoid(sharpness x "
        "standardised mean).",
        bounds=fields.UP_TO_A_MILLION,
    )
    probe_share: float | None = fields.flag(
        None,
        "Share of the meta set that is trained on instead. memory_weight_net learns from these images what tells right "
        "labels from wrong (with 0 all it remembers counts alike); for other methods they are more "
        "images. auto: 0.4 for memory_weight_net with trusted images, else 0.",
        bounds=fields.BELOW_ONE_OR_AUTO,
    )
    schedule: str = fields.flag(
        "auto",
        "The stages of a step: three_stage (the paper's Algorithm 1), or one_loop (ours; not for l2r and mlc: the "
        "actual step is the look-ahead, and the meta-learner is updated for the next step). auto: one_loop for "
        "memory_weight_net and running_score, else three_stage.",
        ("auto", "three_stage", "one_loop"),
    )
    validation_momentum: float = fields.flag(
        0.0,
        "Momentum of the running mean of the validation gradient over the meta steps, which takes its place in the "
        "meta gradient and costs a copy of the weights (ours); 0 is the paper, which has the last meta batch's alone.",
        bounds=fields.BELOW_ONE,
    )
    meta_every: int = fields.flag(
        1,
        "A meta step on every so many steps, weighted steps without one in between (not for l2r and mlc).",
        bounds=fields.COUNT,
    )
    meta_from_epoch: int = fields.flag(
        0,
        "Plain training, every example weighing the same, until this epoch, counted from 0; meta steps after it. With "
        "--meta_set=pseudo_clean that is the warm-up.",
        bounds=fields.COUNT_OR_ZERO,
    )

    def __post_init__(self) -> None:
        super().__post_init__()
        # Written as what they stand for, so that a run directory says what it was.
        for name, value in automatic(vars(self)).items():
            object.__setattr__(self, name, value)


def automatic(values: Mapping[str, Any]) -> dict[str, Any]:
    """What the flags of this group that are auto stand for, by {flag name: value} of the group."""
    kind = METHODS.get(values["method"], Kind())  # a flag file edited by hand may name any
    found: dict[str, Any] = {}
    for name in ("selector", "schedule"):
        if values[name] == AUTO:
            found[name] = getattr(kind, name)
    if values["lambda_g"] is None:
        without = kind.takes_scores or (values | found)["selector"] in ("all", "agreement")
        found["lambda_g"] = 0.0 if without else 0.1
    return found


def automatic_meta_batch_size(method: str, schedule: str, batch_size: int) -> int:
    """meta_batch_size where it is 0: as many as batch_size, or a quarter for learners that remember, in one loop.

    The quarter is rounded up, so that 2, 4 or 8 devices share it evenly where they share the batch so.
    """
    if METHODS.get(method, Kind()).schedule != "one_loop" or schedule != "one_loop":
        return batch_size
    unit = math.gcd(batch_size, 8)
    return max(math.ceil(batch_size / (4 * unit)) * unit, min(batch_size, 2))


def automatic_probe_share(method: str, meta_set: str) -> float:
    """probe_share where it is auto, by the names of the method and of the kind of meta set."""
    known = METHODS.get(method, Kind())
    return _PROBE_SHARE if known.asks_probes and meta_set == "clean" else 0.0
