"""The configuration of one run: frozen, validated dataclasses and `Config`, which holds them.

Every field is one command line flag of the same name. The field carries its own help text, choices and bounds, so
`command_line` makes the flags from the fields and no second list has to be kept in step. Nothing here imports anything
but the standard library: a bad flag is answered before TensorFlow is loaded.
"""

import dataclasses
from collections.abc import Iterable, Iterator
from typing import Any

from famus_tf.config import baselines as baselines_config
from famus_tf.config import checks, fields
from famus_tf.config import co_divide as co_divide_config
from famus_tf.config import data as data_config
from famus_tf.config import loss as loss_config
from famus_tf.config import text as flag_text
from famus_tf.errors import InputError

# Which run and where it lies: not part of what is being run, so never written to a flag file.
_NOT_WRITTEN = frozenset({"mode", "workdir"})
# Differences that leave weights and results as they are, so that a run may go on with another value.
_NO_EFFECT_ON_RESULT = frozenset(
    {
        "data_dir",
        "prepared_dir",
        "summary_every",
        "checkpoint_every",
        "worker_timeout",
        "eval_batch_size",
        "log_meta_gradient",
        "log_stage_times",
        "export_network",
    }
)


# The names of `famus_tf.networks.BUILDERS`, which loads TensorFlow; a test holds them equal.
NETWORKS = ("small_preact", "preact_resnet18", "wrn40_2", "wrn28_10", "resnet32", "resnet50", "inception_resnet_v2")
# The names of `famus_tf.methods.BY_NAME`; a test holds them equal.
METHODS = ("cross_entropy", "mw_net", "l2r", "mlc", "co_teaching", "jocor")
_NETWORK = fields.Bounds(
    f"one of {', '.join(NETWORKS)}, or a path ending in .keras",
    lambda value: value in NETWORKS or value.endswith(".keras"),
)


@dataclasses.dataclass(frozen=True)
class RunConfig(fields.FlagGroup):
    """What to do, where to keep it, with which network, on which devices."""

    mode: str = fields.flag(
        "train",
        "What to do: train (and evaluate along the way), evaluate the trained network on the test set, export it as a "
        "SavedModel, or inspect the data: counts, noise, and a picture of examples with their labels.",
        ("train", "evaluate", "export", "inspect", "prepare"),
    )
    workdir: str = fields.flag(
        "",
        "The run directory: checkpoints, TensorBoard logs, results.json and flags.cfg. Empty: runs/<name of the flag "
        "file>, or the run directory itself where its own flags.cfg is the flag file.",
    )
    network: str = fields.flag(
        "small_preact",
        f"The network, images to logits, weights w: one of {', '.join(NETWORKS)}; or the path of a .keras file with a "
        "functional network of your own. Training starts at the file's weights; raw images, 0..255, go in, and "
        "normalising them is that network's own part.",
        bounds=_NETWORK,
    )
    seed: int = fields.flag(
        0, "Seed of the initial weights, the label noise, the meta set, batches and gates.", bounds=fields.SEED
    )
    strategy: str = fields.flag(
        "auto",
        "Devices: one_device, mirrored (all visible GPUs, else all logical CPUs), auto (mirrored where there are "
        "several GPUs), or multi_worker (this process is one of several that TF_CONFIG or Slurm names).",
        ("auto", "one_device", "mirrored", "multi_worker"),
    )
    worker_timeout: float = fields.flag(
        600.0,
        "Seconds that the workers of --strategy=multi_worker wait until all of them have been started.",
        bounds=fields.POSITIVE,
    )
    dtype_policy: str = fields.flag(
        "float32",
        "Number types of the network: float32; mixed_bfloat16 (layers compute in bfloat16; variables, logits, losses, "
        "meta-learner and samplers stay float32); or auto: mixed_bfloat16 where it is measured to be faster when the "
        "run starts, and what it was from then on. A network from a .keras file keeps the policy saved in it.",
        ("float32", "mixed_bfloat16", "auto"),
    )
    jit_compile: bool = fields.flag(
        False, "Compile the training step with XLA; on one device. Slower than without it on most CPUs."
    )
    checkpoint_every: int = fields.flag(200, "Training steps between two checkpoints.", bounds=fields.COUNT)
    summary_every: int = fields.flag(20, "Training steps between two TensorBoard summaries.", bounds=fields.COUNT)
    pretrained: str = fields.flag(
        "none",
        "Of resnet50 and inception_resnet_v2: none; imagenet, Keras's weights, fetched once; or the path of a file of "
        "such weights. Images are then normalised as those weights want it.",
    )
    eval_batch_size: int = fields.flag(500, "Images per batch in evaluation.", bounds=fields.COUNT)
    log_meta_gradient: bool = fields.flag(
        False,
        "Fetch the meta gradient in every meta step and log its variance and norm over each epoch (Fig. 4): in "
        "TensorBoard and in results.json. Not for l2r.",
    )
    log_stage_times: bool = fields.flag(
        False,
        "Time the stages of a step (Fig. 1b) before the first step and after the last, where there is a meta step; "
        "with unlabelled images, after the last alone: in TensorBoard and in results.json.",
    )


@dataclasses.dataclass(frozen=True)
class MethodConfig(fields.FlagGroup):
    """The meta-learner and which layers carry its gradient."""

    method: str = fields.flag(
        "mw_net",
        "How much training labels are trusted: cross_entropy (all alike, no meta step), mw_net (Meta-Weight-Net), l2r "
        "(weights of its own for each batch) or mlc (a transition matrix on the logits); or two networks that leave "
        "large losses out: co_teaching (each chooses for the other) or jocor (by their joint loss).",
        METHODS,
    )
    selector: str = fields.flag(
        "sampler",
        "The layers that carry the meta gradient: all (the exact gradient), sampler (FaMUS: learned gates, Eq. 8 and "
        "9), random (expected_layers of them, drawn anew in each step) or block (those of --block).",
        ("all", "sampler", "random", "block"),
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
    lambda_r: float = fields.flag(
        0.1,
        "lambda_1 of Eq. 12: weight of L_r, the distance of the number of gates from K.",
        bounds=fields.NON_NEGATIVE,
    )
    lambda_g: float | None = fields.flag(
        None,
        "lambda_2 of Eq. 12: weight of L_g (Eq. 11), the distance of the last layer's training and validation "
        "gradients; auto: 0 with --selector=all, whose meta gradient is then exact, else the paper's 0.1.",
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
    schedule: str = fields.flag(
        "three_stage",
        "The stages of a step: three_stage (the paper's Algorithm 1), or one_loop (ours, for mw_net: the actual step "
        "is the look-ahead, and the meta-learner is updated for the next step).",
        ("three_stage", "one_loop"),
    )
    meta_every: int = fields.flag(
        1,
        "A meta step on every so many steps, weighted steps without one in between (for mw_net).",
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
        if self.lambda_g is None:  # written as a number, so that a run directory says what it was
            object.__setattr__(self, "lambda_g", automatic_lambda_g(self.selector))


def automatic_lambda_g(selector: str) -> float:
    """lambda_g where it is auto, by the name of the selector."""
    return 0.0 if selector == "all" else 0.1


@dataclasses.dataclass(frozen=True)
class OptimizationConfig(fields.FlagGroup):
    """The length of the run, batches, and the three optimizers: base (w), meta (theta), sampler (eta)."""

    epochs: int = fields.flag(
        0, "Length of the run in epochs; give this or train_steps, not both.", bounds=fields.COUNT_OR_ZERO
    )
    train_steps: int = fields.flag(
        0, "Length of the run in training steps; give this or epochs, not both.", bounds=fields.COUNT_OR_ZERO
    )
    batches_per_epoch: int = fields.flag(
        0,
        "Batches in an epoch; 0: as many as the training images fill. An epoch of fewer draws its images anew.",
        bounds=fields.COUNT_OR_ZERO,
    )
    sampling: str = fields.flag(
        "natural",
        "How an epoch's training images are drawn: natural (at random), or balanced (equally many of each class, by "
        "the given labels, drawn anew for every epoch).",
        ("natural", "balanced"),
    )
    batch_size: int = fields.flag(100, "n: training images per step, over all devices.", bounds=fields.COUNT)
    meta_batch_size: int = fields.flag(100, "m: meta images per step, over all devices.", bounds=fields.COUNT)
    base_learning_rate: float = fields.flag(
        0.1,
        "alpha: learning rate of the base weights w at the start, in Virtual-Train too.",
        bounds=fields.POSITIVE,
    )
    lr_schedule: str = fields.flag(
        "step",
        "Course of alpha: step (times lr_decay at each of lr_boundaries), cosine (to 0 at the end) or constant.",
        ("step", "cosine", "constant"),
    )
    lr_boundaries: tuple[float, ...] = fields.flag(
        (),
        "When alpha is multiplied by lr_decay, joined by commas: in epochs with --epochs, in steps with --train_steps.",
        bounds=fields.INCREASING,
    )
    lr_decay: float = fields.flag(0.1, "The factor on alpha at each of lr_boundaries.", bounds=fields.DECAY)
    warmup_epochs: int = fields.flag(
        0, "Epochs over which alpha rises from near 0 to its course.", bounds=fields.COUNT_OR_ZERO
    )
    virtual_learning_rate: float = fields.flag(
        0.0, "alpha of Virtual-Train alone, for mlc; 0: the same as for w.", bounds=fields.NON_NEGATIVE
    )
    meta_learning_rate: float = fields.flag(
        1e-3,
        "beta: learning rate of the meta-learner theta; 0 leaves it as initialised. Without effect on l2r.",
        bounds=fields.NON_NEGATIVE,
    )
    meta_weight_decay: float = fields.flag(
        1e-4, "Weight decay of theta: this times theta is added to the meta gradient.", bounds=fields.NON_NEGATIVE
    )
    meta_optimizer: str = fields.flag(
        "adam",
        "The optimizer of mw_net's theta: adam, or sgd with Nesterov momentum 0.9. mlc takes plain steps.",
        ("adam", "sgd"),
    )
    sampler_learning_rate: float = fields.flag(
        0.1,
        "delta: learning rate of the layer sampler eta; 0 leaves it as initialised.",
        bounds=fields.NON_NEGATIVE,
    )
    momentum: float = fields.flag(0.9, "Momentum of the base optimizer.", bounds=fields.BELOW_ONE)
    nesterov: bool = fields.flag(False, "Nesterov's form of the momentum.")
    weight_decay: float = fields.flag(
        5e-4,
        "Weight decay of w: this times w is added to the gradient in Actual-Train.",
        bounds=fields.NON_NEGATIVE,
    )


@dataclasses.dataclass(frozen=True)
class Config:
    """Everything that one command needs to know."""

    run: RunConfig
    data: data_config.DataConfig
    method: MethodConfig
    loss: loss_config.LossConfig
    optimization: OptimizationConfig
    co_divide: co_divide_config.CoDivideConfig
    baselines: baselines_config.BaselinesConfig

    def __post_init__(self) -> None:
        checks.check(self)

    @property
    def forget_rate(self) -> float:
        """tau of Co-teaching and JoCoR; where it is auto, the noise rate."""
        found = self.baselines.forget_rate
        return self.data.noise_rate if found is None else found

    def flag_lines(self) -> tuple[str, ...]:
        """The lines of a flag file that reproduces this configuration, without `mode` and `workdir`."""
        return tuple(
            flag_text.line_of(field, getattr(getattr(self, group), field.name))
            for group, field in flag_fields()
            if field.name not in _NOT_WRITTEN
        )

    def first_difference(self, saved_lines: Iterable[str]) -> str | None:
        """Names the first flag whose saved value would give another result than this configuration.

        Args:
            saved_lines: lines of a flag file, as `flag_lines` writes them or edited by hand. Comments and order do not
                matter; a flag that is absent has its default; of a flag given twice the last counts, as in absl.

        Returns:
            One sentence, or None where the saved flags give the same result.
        """
        booleans = {field.name for _, field in flag_fields() if field.type is bool}
        saved = dict(flag_text.name_and_value(line, booleans) for line in saved_lines if flag_text.is_flag_line(line))
        for group, field in flag_fields():
            if field.name in _NOT_WRITTEN | _NO_EFFECT_ON_RESULT:
                saved.pop(field.name, None)
                continue
            there = flag_text.from_text(field, saved.pop(field.name)) if field.name in saved else field.default
            if there is None and field.name == "lambda_g":
                there = automatic_lambda_g(self.method.selector)
            here = getattr(getattr(self, group), field.name)
            if there != here:
                found, wanted = flag_text.shown(there), flag_text.shown(here)
                return f"--{field.name}: the run directory has {found}, this command has {wanted}"
        for name, text in saved.items():
            return f"--{name}: the run directory has {flag_text.shown(text)}, this version has no such flag"
        return None


GROUPS = {field.name: field.type for field in dataclasses.fields(Config)}


def flag_fields() -> Iterator[tuple[str, dataclasses.Field]]:
    """Every flag as (name of the attribute of `Config` that holds it, dataclass field), in a fixed order.

    `field.metadata` has `help` and `choices` (empty where any value of the type may stand).
    """
    for group, group_class in GROUPS.items():
        for field in dataclasses.fields(group_class):
            yield group, field


def from_values(values: dict[str, Any]) -> Config:
    """Builds a `Config` from flat {flag name: value}; absent flags keep their defaults."""
    unknown = values.keys() - {field.name for _, field in flag_fields()}
    if unknown:
        raise InputError(f"--{min(unknown)}: expected the name of a flag")
    groups = {
        group: group_class(
            **{field.name: values[field.name] for field in dataclasses.fields(group_class) if field.name in values}
        )
        for group, group_class in GROUPS.items()
    }
    return Config(**groups)
