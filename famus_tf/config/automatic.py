"""Flags that may be auto: what they are then.

Of most data sets the value is a constant, filled in at once. Of a user's own images it depends on them, and
`experiment.automatic` fills it in when they are known.
"""

from collections.abc import Mapping
from typing import Any

from famus_tf.config import method as method_flags
from famus_tf.config.data import OWN_IMAGES
from famus_tf.config.run import AUTO

# Flag -> its group and its value where the images are not the user's own. Flag files older than "auto" mean these too.
CONSTANTS = {
    "network": ("run", "small_preact"),
    "base_learning_rate": ("optimization", 0.1),
    "lr_schedule": ("optimization", "step"),
}


def waits_for_data(config: Any) -> bool:
    """Whether a `config.Config` has flags that its images must decide."""
    return config.data.dataset in OWN_IMAGES and (bool(open_flags(config)) or not length(config))


def open_flags(config: Any) -> list[str]:
    """Those of `CONSTANTS` that are auto."""
    return [name for name, (group, _) in CONSTANTS.items() if getattr(getattr(config, group), name) in (AUTO, None)]


def length(config: Any) -> int:
    """Epochs or training steps, whichever is given; 0 where neither is."""
    return config.optimization.epochs or config.optimization.train_steps


def constants(config: Any) -> dict[str, Any]:
    """{flag name: value} of what is open and a constant; empty for a user's own images."""
    if config.data.dataset in OWN_IMAGES:
        return {}
    return {name: CONSTANTS[name][1] for name in open_flags(config)}


def following(values: Mapping[str, Any]) -> dict[str, Any]:
    """What those flags stand for that are left to flags of other groups.

    Args:
      values: {flag name: value} of all flags, those of `method.automatic` filled in.

    Returns:
      {flag name: value}.
    """
    found: dict[str, Any] = {}
    method, schedule = values["method"], values["schedule"]
    if values["probe_share"] is None:
        found["probe_share"] = method_flags.automatic_probe_share(method, values["meta_set"])
    if not values["meta_batch_size"]:
        found["meta_batch_size"] = method_flags.automatic_meta_batch_size(method, schedule, values["batch_size"])
    return found
