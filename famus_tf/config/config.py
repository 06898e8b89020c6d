"""The configuration of one run: frozen, validated dataclasses and `Config`, which holds them.

Every field is one command line flag of the same name. The field carries its own help text, choices and bounds, so
`command_line` makes the flags from the fields and no second list has to be kept in step. Nothing here imports anything
but the standard library: a bad flag is answered before TensorFlow is loaded.
"""

import dataclasses
from collections.abc import Iterable, Iterator
from typing import Any

from famus_tf.config import automatic, checks, longer
from famus_tf.config import method as method_flags
from famus_tf.config import text as flag_text
from famus_tf.config.baselines import BaselinesConfig
from famus_tf.config.co_divide import CoDivideConfig
from famus_tf.config.data import DataConfig, meant_dataset
from famus_tf.config.loss import LossConfig
from famus_tf.config.method import METHODS, MethodConfig
from famus_tf.config.optimization import OptimizationConfig
from famus_tf.config.report import ReportConfig
from famus_tf.config.run import RunConfig
from famus_tf.errors import InputError

# Which run and where it lies: not part of what is being run, so never written to a flag file.
_NOT_WRITTEN = frozenset(
    {"mode", "workdir", "marks", "clean_share", "clean_above", "clean_action", "model", "images", "output"}
)
# Differences that leave weights and results as they are, so that a run may go on with another value.
_NO_EFFECT_ON_RESULT = frozenset(
    {
        "data_dir",
        "prepared_dir",
        "other_test_lists",
        "near_duplicates",
        "summary_every",
        "checkpoint_every",
        "worker_timeout",
        "eval_batch_size",
        "log_meta_gradient",
        "log_stage_times",
        "export_network",
        *(field.name for field in dataclasses.fields(ReportConfig)),
    }
)

_ALWAYS_NAMED = ("dataset", "network", "method", "selector", "noise", "noise_rate", "learning_rate", "epochs", "seed")

# What runs with --selector=sampler did before there was the flag.
_BEFORE = {"selection_objective": "paper"}


@dataclasses.dataclass(frozen=True)
class Config:
    """Everything that one command needs to know."""

    run: RunConfig
    data: DataConfig
    method: MethodConfig
    loss: LossConfig
    optimization: OptimizationConfig
    co_divide: CoDivideConfig
    baselines: BaselinesConfig
    report: ReportConfig

    def __post_init__(self) -> None:
        # Written as what they stand for, so that a run directory says what it was.
        filled_in = automatic.constants(self) | automatic.following(self._values())
        for group, values in self._with(filled_in).items():
            object.__setattr__(self, group, values)  # the only way in for a frozen dataclass
        checks.check(self)

    @property
    def forget_rate(self) -> float:
        """tau of Co-teaching and JoCoR; where it is auto, as their codes take it from the noise rate."""
        if self.baselines.forget_rate is not None:
            return self.baselines.forget_rate
        halved = self.method.method == "jocor" and self.data.noise == "asymmetric"
        return self.data.noise_rate / (2 if halved else 1)

    def with_values(self, values: dict[str, Any]) -> "Config":
        """The same with other values of some flags, {flag name: value}."""
        return dataclasses.replace(self, **self._with(values))

    def _with(self, values: dict[str, Any]) -> dict[str, Any]:
        """{name of a group: the group with other values}, of the groups that have any of them."""
        changed: dict[str, dict[str, Any]] = {}
        for group, field in flag_fields():
            if field.name in values:
                changed.setdefault(group, {})[field.name] = values[field.name]
        return {group: dataclasses.replace(getattr(self, group), **new) for group, new in changed.items()}

    def flag_lines(self) -> tuple[str, ...]:
        """The lines of a flag file that reproduces this configuration, without `mode` and `workdir`."""
        return tuple(
            flag_text.line_of(field, getattr(getattr(self, group), field.name))
            for group, field in flag_fields()
            if field.name not in _NOT_WRITTEN
        )

    def hyperparameters(self) -> dict[str, bool | int | float | str]:
        """{flag: value} that tells this run from others: what differs from the defaults, and what is always named."""
        values = {}
        for group, field in flag_fields():
            value = getattr(getattr(self, group), field.name)
            unlike = value != field.default and field.name not in _NOT_WRITTEN | _NO_EFFECT_ON_RESULT
            if unlike or field.name in _ALWAYS_NAMED:
                values[field.name] = value if isinstance(value, bool | int | float | str) else flag_text.text_of(value)
        return values

    def first_difference(self, saved_lines: Iterable[str]) -> str | None:
        """Names the first flag whose saved value would give another result than this configuration.

        Args:
            saved_lines: lines of a flag file, as `flag_lines` writes them or edited by hand. Comments and order do not
                matter; a flag that is absent has its default; of a flag given twice the last counts, as in absl.

        Returns:
            One sentence, or None where the saved flags give the same result, or the same as far as they go: a run may
            be made longer.
        """
        there, unknown = self._saved_values(saved_lines)
        here = self._values()
        may_differ = _NOT_WRITTEN | _NO_EFFECT_ON_RESULT
        length = longer.wanted(there, here)
        if length:
            may_differ |= longer.same_so_far(length, there, here)
        for name in there:
            if there[name] != here[name] and name not in may_differ:
                saved_text, new_text = flag_text.shown(there[name]), flag_text.shown(here[name])
                return f"--{name}: the run directory has {saved_text}, this command has {new_text}"
        for name, text in unknown.items():
            return f"--{name}: the run directory has {flag_text.shown(text)}, this version has no such flag"
        return longer.obstacle(length, there, here) if length else None

    def is_longer(self, saved_lines: Iterable[str]) -> bool:
        """Whether this configuration is that of the saved flags with more epochs or steps."""
        there, _ = self._saved_values(saved_lines)
        return longer.wanted(there, self._values()) is not None

    @property
    def probe_share(self) -> float:
        """The share of the meta set that is trained on, `--probe_share`."""
        return self.method.probe_share or 0.0

    def _values(self) -> dict[str, Any]:
        return {field.name: getattr(getattr(self, group), field.name) for group, field in flag_fields()}

    def _saved_values(self, lines: Iterable[str]) -> tuple[dict[str, Any], dict[str, str]]:
        """The value of every flag in a flag file, and what the file has of flags that there are none of, as text."""
        booleans = {field.name for _, field in flag_fields() if field.type is bool}
        saved = dict(flag_text.name_and_value(line, booleans) for line in lines if flag_text.is_flag_line(line))
        values = {}
        for group, field in flag_fields():
            text = saved.pop(field.name, None)
            if text is None and field.name in _BEFORE and values["selector"] == "sampler":
                needed = METHODS.get(values["method"])
                text = _BEFORE[field.name] if needed and needed.needs_meta_set else None
            default = automatic.CONSTANTS.get(field.name, (group, field.default))[1]
            values[field.name] = default if text is None else flag_text.from_text(field, text)
        values |= method_flags.automatic(values)
        values |= automatic.following(values)
        return values, saved


GROUPS = {field.name: field.type for field in dataclasses.fields(Config)}


def flag_fields() -> Iterator[tuple[str, dataclasses.Field]]:
    """Every flag as (name of the attribute of `Config` that holds it, dataclass field), in a fixed order.

    `field.metadata` has `help` and `choices` (empty where any value of the type may stand).
    """
    for group, group_class in GROUPS.items():
        for field in dataclasses.fields(group_class):
            yield group, field


def from_values(values: dict[str, Any]) -> Config:
    """Builds a `Config` from flat {flag name: value}; absent flags keep their defaults, `dataset` follows from them."""
    values = {"dataset": meant_dataset(values), **values}
    unknown = values.keys() - {field.name for _, field in flag_fields()}
    if unknown:
        raise InputError(f"--{min(unknown)}: expected the name of a flag")
    groups = {}
    for group, group_class in GROUPS.items():
        names = [field.name for field in dataclasses.fields(group_class) if field.name in values]
        groups[group] = group_class(**{name: values[name] for name in names})
    return Config(**groups)
