"""More epochs or steps for a run that has begun with fewer: when it goes on as a run of that length would have."""

from collections.abc import Mapping
from typing import Any

from famus_tf.config.method import METHODS

LENGTHS = ("epochs", "train_steps")


def wanted(there: Mapping[str, Any], here: Mapping[str, Any]) -> str | None:
    """The name of the length that is greater than in the run directory, where that is all that lengths differ in.

    Args:
        there: {flag name: value} of the run directory.
        here: the same of this command.
    """
    other = [name for name in LENGTHS if there[name] != here[name]]
    if len(other) != 1 or not there[other[0]] or isinstance(there[other[0]], str):
        return None
    return other[0] if here[other[0]] > there[other[0]] else None


def obstacle(name: str, there: Mapping[str, Any], here: Mapping[str, Any]) -> str | None:
    """Why a longer run would not have been the same so far; None where it would.

    Args:
        name: what `wanted` has found.
        there, here: as there.
    """
    if METHODS[here["method"]].follows_length:
        return (
            f"--{name}: the run directory has {there[name]}, this command has {here[name]}, and --method="
            f"{here['method']} follows the length of the run from the first step on"
        )
    if here["lr_schedule"] == "cosine":
        return (
            f"--{name}: the run directory has {there[name]}, this command has {here[name]}, and a longer run's "
            "--lr_schedule=cosine is another one from the first step on"
        )
    return None


def same_so_far(name: str, there: Mapping[str, Any], here: Mapping[str, Any]) -> frozenset[str]:
    """Names of the flags whose values may differ: the length, and boundaries that lie behind the present one."""
    reached = tuple(boundary for boundary in here["lr_boundaries"] if boundary < there[name])
    return frozenset({name, "lr_boundaries"} if reached == there["lr_boundaries"] else {name})
