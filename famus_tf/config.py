"""The configuration of one run: four frozen, validated dataclasses and `Config`, which holds them.

Every field is one command line flag of the same name. The field carries its own help text, choices and bounds, so
`famus_tf.flag_defs` makes the flags from the fields and no second list has to be kept in step. Nothing here imports
anything but the standard library: a bad flag is answered before TensorFlow is loaded.
"""

import dataclasses
from collections.abc import Callable, Iterable, Iterator
from typing import Any

from famus_tf import flag_text
from famus_tf.errors import InputError

# Which run and where it lies: not part of what is being run, so never written to a flag file.
_NOT_WRITTEN = frozenset({"mode", "workdir"})
# Differences that leave weights and results as they are, so that a run may go on with another value.
_NO_EFFECT_ON_RESULT = frozenset(
    {"data_dir", "summary_every", "checkpoint_every", "eval_batch_size", "log_meta_gradient", "log_stage_times"}
)


@dataclasses.dataclass(frozen=True)
class _Bounds:
    """A condition on a value and the words that name it in an error message."""

    expected: str
    holds: Callable[[Any], bool]


_COUNT = _Bounds("a positive whole number", lambda value: value > 0)
_COUNT_OR_ZERO = _Bounds("a whole number, 0 or more", lambda value: value >= 0)
_SEED = _Bounds("a whole number from 0 to 2147483647", lambda value: 0 <= value < 2**31)
_POSITIVE = _Bounds("a number above 0", lambda value: value > 0)
_NON_NEGATIVE = _Bounds("a number, 0 or more", lambda value: value >= 0)
_FRACTION = _Bounds("a number in [0, 1]", lambda value: 0 <= value <= 1)
_DECAY = _Bounds("a number above 0 and at most 1", lambda value: 0 < value <= 1)
_MOMENTUM = _Bounds("a number in [0, 1)", lambda value: 0 <= value < 1)
_INCREASING = _Bounds(
    "increasing positive numbers joined by commas",
    lambda value: all(low < high for low, high in zip((0.0, *value), value, strict=False)),
)
# The names of `famus_tf.networks.BUILDERS`, which loads TensorFlow; a test holds them equal.
NETWORKS = ("small_preact", "preact_resnet18", "wrn40_2", "wrn28_10", "resnet50", "inception_resnet_v2")
_NETWORK = _Bounds(
    f"one of {', '.join(NETWORKS)}, or a path ending in .keras",
    lambda value: value in NETWORKS or value.endswith(".keras"),
)


def _flag(default: Any, text: str, choices: tuple[str, ...] = (), bounds: _Bounds | None = None) -> Any:
    """A dataclass field that is also a flag; `choices` list all that it may be, `bounds` say what holds for it."""
    return dataclasses.field(default=default, metadata={"help": text, "choices": choices, "bounds": bounds})


class _Group:
    """Converts and checks every field by its type and metadata, right after construction."""

    def __post_init__(self) -> None:
        for field in dataclasses.fields(self):
            value = _checked(field, getattr(self, field.name))
            object.__setattr__(self, field.name, value)  # the only way in for a frozen dataclass


@dataclasses.dataclass(frozen=True)
class RunConfig(_Group):
    """What to do, where to keep it, with which network, on which devices."""

    mode: str = _flag(
        "train",
        "What to do: train (and evaluate along the way), evaluate the trained network on the test set, or export it as "
        "a SavedModel.",
        ("train", "evaluate", "export"),
    )
    workdir: str = _flag(
        "",
        "The run directory: checkpoints, TensorBoard logs, results.json and flags.cfg. Empty: runs/<name of the flag "
        "file>, or the run directory itself where its own flags.cfg is the flag file.",
    )
    network: str = _flag(
        "small_preact",
        f"The network, images to logits, weights w: one of {', '.join(NETWORKS)}; or the path of a .keras file with a "
        "functional network of your own. Training starts at the file's weights; raw images, 0..255, go in, and "
        "normalising them is that network's own part.",
        bounds=_NETWORK,
    )
    seed: int = _flag(0, "Seed of the initial weights, the label noise, the meta set, batches and gates.", bounds=_SEED)
    strategy: str = _flag(
        "auto",
        "Devices: one_device, mirrored (all visible GPUs, else all logical CPUs), auto (mirrored where there are "
        "several GPUs), or multi_worker (this process is one of several that TF_CONFIG or Slurm names).",
        ("auto", "one_device", "mirrored", "multi_worker"),
    )
    dtype_policy: str = _flag(
        "float32",
        "Number types of the network: float32; mixed_bfloat16 (layers compute in bfloat16; variables, logits, losses, "
        "meta-learner and samplers stay float32); or auto: mixed_bfloat16 where it is measured to be faster when the "
        "run starts, and what it was from then on. A network from a .keras file keeps the policy saved in it.",
        ("float32", "mixed_bfloat16", "auto"),
    )
    jit_compile: bool = _flag(
        False, "Compile the training step with XLA; on one device. Slower than without it on most CPUs."
    )
    checkpoint_every: int = _flag(200, "Training steps between two checkpoints.", bounds=_COUNT)
    summary_every: int = _flag(20, "Training steps between two TensorBoard summaries.", bounds=_COUNT)
    eval_batch_size: int = _flag(500, "Images per batch in evaluation.", bounds=_COUNT)
    log_meta_gradient: bool = _flag(
        False,
        "Fetch the meta gradient in every meta step and log its variance and norm over each epoch (Fig. 4): in "
        "TensorBoard and in results.json. Not for l2r.",
    )
    log_stage_times: bool = _flag(
        False,
        "Time the stages of a step (Fig. 1b) before the first step and after the last, where there is a meta step: in "
        "TensorBoard and in results.json.",
    )

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.network.endswith(".keras") and self.dtype_policy == "mixed_bfloat16":
            raise InputError(
                f"--dtype_policy=mixed_bfloat16 with --network={self.network}: expected float32 or auto, which leave "
                "its layers the policies saved with them"
            )


@dataclasses.dataclass(frozen=True)
class DataConfig(_Group):
    """Which images, which labels are made wrong, and what is held out as the trusted meta set."""

    dataset: str = _flag("digits", "The data set.", ("digits", "fashion_mnist"))
    data_dir: str = _flag("", "The folder of the data set's files. Empty: the data set's own default.")
    noise: str = _flag(
        "none",
        "How training labels are made wrong: none, or symmetric (replaced by a class drawn uniformly).",
        ("none", "symmetric"),
    )
    noise_rate: float = _flag(0.0, "The fraction of training labels that is redrawn, in [0, 1].", bounds=_FRACTION)
    noise_includes_true_label: bool = _flag(
        True,
        "Symmetric noise redraws from all classes, the true one included, so that fewer labels than noise_rate end up "
        "wrong; without it, from the other classes only.",
    )
    meta_per_class: int = _flag(
        10, "Images per class with trusted labels, taken from the training set: the meta set.", bounds=_COUNT
    )
    train_limit: int = _flag(
        0, "Train on a class-balanced subset of so many images, for quick studies; 0: on all.", bounds=_COUNT_OR_ZERO
    )
    augment: str = _flag(
        "auto",
        "Random changes to training images: none, crop (padded, then cropped), crop_flip (and mirrored), or auto: the "
        "data set's own.",
        ("auto", "none", "crop", "crop_flip"),
    )

    def __post_init__(self) -> None:
        super().__post_init__()
        # A rate without a kind of noise would train on clean labels and report it as robustness.
        if self.noise == "none" and self.noise_rate > 0:
            raise InputError(
                f"--noise_rate={self.noise_rate!r}: expected 0 with --noise=none; give --noise=symmetric or "
                "--noise_rate=0"
            )


@dataclasses.dataclass(frozen=True)
class MethodConfig(_Group):
    """The meta-learner and which layers carry its gradient."""

    method: str = _flag(
        "mw_net",
        "How much training labels are trusted: cross_entropy (all alike, no meta step), mw_net (Meta-Weight-Net), l2r "
        "(weights of its own for each batch) or mlc (a transition matrix on the logits).",
        ("cross_entropy", "mw_net", "l2r", "mlc"),
    )
    selector: str = _flag(
        "sampler",
        "The layers that carry the meta gradient: all (the exact gradient), sampler (FaMUS: learned gates, Eq. 8 and "
        "9), random (expected_layers of them, drawn anew in each step) or block (those of --block).",
        ("all", "sampler", "random", "block"),
    )
    expected_layers: int = _flag(
        4, "K of Eq. 10: the number of layers that the sampler is drawn towards; of random layers.", bounds=_COUNT
    )
    block: str = _flag(
        "-2",
        "The layers of --selector=block: a block's number from the input (1, 2, ...) or from the top (-1: the "
        "classifier, -2: the last residual block), or the start of layer names, as stage4.",
    )
    lambda_r: float = _flag(
        0.1, "lambda_1 of Eq. 12: weight of L_r, the distance of the number of gates from K.", bounds=_NON_NEGATIVE
    )
    lambda_g: float = _flag(
        0.1,
        "lambda_2 of Eq. 12: weight of L_g (Eq. 11), the distance of the last layer's training and validation "
        "gradients.",
        bounds=_NON_NEGATIVE,
    )
    lambda_cost: float = _flag(
        0.5,
        "Weight of the cost term: selecting a layer costs the share of the network above it. Ours; 0 is the paper.",
        bounds=_NON_NEGATIVE,
    )
    layer_cost: str = _flag(
        "counted",
        "What the cost term takes for the cost of reaching a layer: counted multiplications, or seconds measured when "
        "the run starts.",
        ("counted", "measured"),
    )
    normalize_weights: bool = _flag(True, "Divide the example weights V of mw_net by their sum over the global batch.")
    schedule: str = _flag(
        "three_stage",
        "The stages of a step: three_stage (the paper's Algorithm 1), or one_loop (ours, for mw_net: the actual step "
        "is the look-ahead, and the meta-learner is updated for the next step).",
        ("three_stage", "one_loop"),
    )
    meta_every: int = _flag(
        1,
        "A meta step on every so many steps, weighted steps without one in between (for mw_net).",
        bounds=_COUNT,
    )

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.method in ("l2r", "mlc"):
            for name, wanted in (("schedule", "three_stage"), ("meta_every", 1)):
                if getattr(self, name) != wanted:
                    raise InputError(
                        f"--{name}={getattr(self, name)} with --method={self.method}, which starts anew in each step: "
                        f"expected {wanted}"
                    )


@dataclasses.dataclass(frozen=True)
class OptimizationConfig(_Group):
    """The length of the run, batches, and the three optimizers: base (w), meta (theta), sampler (eta)."""

    epochs: int = _flag(0, "Length of the run in epochs; give this or train_steps, not both.", bounds=_COUNT_OR_ZERO)
    train_steps: int = _flag(
        0, "Length of the run in training steps; give this or epochs, not both.", bounds=_COUNT_OR_ZERO
    )
    batch_size: int = _flag(100, "n: training images per step, over all devices.", bounds=_COUNT)
    meta_batch_size: int = _flag(100, "m: meta images per step, over all devices.", bounds=_COUNT)
    base_learning_rate: float = _flag(
        0.1, "alpha: learning rate of the base weights w at the start, in Virtual-Train too.", bounds=_POSITIVE
    )
    lr_schedule: str = _flag(
        "step",
        "Course of alpha: step (times lr_decay at each of lr_boundaries), cosine (to 0 at the end) or constant.",
        ("step", "cosine", "constant"),
    )
    lr_boundaries: tuple[float, ...] = _flag(
        (),
        "When alpha is multiplied by lr_decay, joined by commas: in epochs with --epochs, in steps with --train_steps.",
        bounds=_INCREASING,
    )
    lr_decay: float = _flag(0.1, "The factor on alpha at each of lr_boundaries.", bounds=_DECAY)
    virtual_learning_rate: float = _flag(
        0.0, "alpha of Virtual-Train alone, for mlc; 0: the same as for w.", bounds=_NON_NEGATIVE
    )
    meta_learning_rate: float = _flag(
        1e-3,
        "beta: learning rate of the meta-learner theta; 0 leaves it as initialised. Without effect on l2r.",
        bounds=_NON_NEGATIVE,
    )
    meta_weight_decay: float = _flag(
        1e-4, "Weight decay of theta: this times theta is added to the meta gradient.", bounds=_NON_NEGATIVE
    )
    meta_optimizer: str = _flag(
        "adam",
        "The optimizer of mw_net's theta: adam, or sgd with Nesterov momentum 0.9. mlc takes plain steps.",
        ("adam", "sgd"),
    )
    sampler_learning_rate: float = _flag(
        0.1, "delta: learning rate of the layer sampler eta; 0 leaves it as initialised.", bounds=_NON_NEGATIVE
    )
    momentum: float = _flag(0.9, "Momentum of the base optimizer.", bounds=_MOMENTUM)
    nesterov: bool = _flag(False, "Nesterov's form of the momentum.")
    weight_decay: float = _flag(
        5e-4, "Weight decay of w: this times w is added to the gradient in Actual-Train.", bounds=_NON_NEGATIVE
    )

    def __post_init__(self) -> None:
        super().__post_init__()
        if (self.epochs > 0) == (self.train_steps > 0):
            raise InputError(
                f"--epochs={self.epochs} with --train_steps={self.train_steps}: expected exactly one of them above 0"
            )
        if self.nesterov and self.momentum == 0:
            raise InputError("--nesterov: expected --momentum above 0, found --momentum=0.0")
        if self.lr_boundaries:
            self._check_boundaries()

    def _check_boundaries(self) -> None:
        found = f"--lr_boundaries={flag_text.text_of(self.lr_boundaries)}"
        if self.lr_schedule != "step":
            raise InputError(f"{found}: expected none with --lr_schedule={self.lr_schedule}")
        unit, length = ("epochs", self.epochs) if self.epochs else ("train_steps", self.train_steps)
        if self.lr_boundaries[-1] >= length:
            raise InputError(f"{found}: expected numbers below --{unit}={length}, the length of the run")


@dataclasses.dataclass(frozen=True)
class Config:
    """Everything that one command needs to know."""

    run: RunConfig
    data: DataConfig
    method: MethodConfig
    optimization: OptimizationConfig

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


def expected(field: dataclasses.Field) -> str:
    """What may stand for a flag, in the words of an error message."""
    choices, bounds = field.metadata["choices"], field.metadata["bounds"]
    if choices:
        return f"one of {', '.join(choices)}"
    return bounds.expected if bounds else flag_text.TYPE_WORDS[field.type]


def _checked(field: dataclasses.Field, value: Any) -> Any:
    """`value` in the field's type, or InputError where it does not fit the type, the choices or the bounds."""
    choices, bounds = field.metadata["choices"], field.metadata["bounds"]
    try:
        converted = flag_text.CONVERT[field.type](value)
        fits = (not choices or converted in choices) and (not bounds or bounds.holds(converted))
    except (TypeError, ValueError):
        fits = False
    if not fits:
        text = flag_text.text_of(value)
        raise InputError(f"--{field.name}={text if text.isprintable() else repr(text)}: expected {expected(field)}")
    return converted
