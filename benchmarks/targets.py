"""The ratios to plain training that are held to be reachable on two cores, and the batches they are meant for."""

import dataclasses

# mode: at most so many times plain Keras `fit` of the same network.
RATIOS = {
    "cross_entropy": 1.05,
    "mw_net_exact": 3.4,
    "famus_last_block": 2.2,
    "famus_settled": 2.3,
    "l2r_exact": 2.9,
    "one_loop_exact": 2.8,
    "one_loop_last_block": 1.65,
    "one_loop_classifier": 1.4,
    "one_loop_last_block_quarter": 1.25,
    "one_loop_last_block_every4": 1.2,
}
TRACE_SECONDS = {"wrn28_10": 30.0, "inception_resnet_v2": 60.0}
EXACT_MEMORY = 2.5  # the exact step's peak over plain training's
# network: images of so many pixels, n = m.
BATCHES = {"preact_resnet18": (32, 16), "wrn28_10": (32, 8)}
# The quarter meta batch is meant for larger training batches: n, with m = n / 4.
QUARTER_BATCHES = {"preact_resnet18": 64, "wrn28_10": 16}


@dataclasses.dataclass(frozen=True)
class Verdict:
    """One target and its measurement; `met` is None where the settings are not those of the target."""

    name: str
    target: float
    measured: float | None
    met: bool | None


def judge(settings, results):
    """Compares the results with the targets.

    Args:
      settings: `settings.Settings`.
      results: as `step_cost.measure` returns; its float32 modes are judged.

    Returns:
      List of `Verdict`.
    """
    modes = {r["mode"]: r for r in results if r["dtype_policy"] == "float32"}
    verdicts = []
    for name, target in RATIOS.items():
        measured = modes[name]["ratio"]["median"] if name in modes else None
        meant = measured is not None and _is_meant(settings, name)
        verdicts.append(Verdict(name, target, measured, measured <= target if meant else None))
    exact = modes.get("mw_net_exact")
    if exact and settings.network in TRACE_SECONDS:
        limit = TRACE_SECONDS[settings.network]
        seconds = exact["trace_seconds"]
        verdicts.append(Verdict("trace of mw_net_exact, s", limit, seconds, seconds <= limit))
    return verdicts + _judge_memory(modes)


def _is_meant(settings, mode):
    if settings.network not in BATCHES:
        return False
    size, batch = BATCHES[settings.network]
    if mode.endswith("quarter"):
        return settings.image_size == size and settings.batch_size == QUARTER_BATCHES[settings.network]
    return (settings.image_size, settings.batch_size, settings.meta_size()) == (size, batch, batch)


def _judge_memory(modes):
    """The process's peaks, the harder of the two: graphs and tracing count."""
    peaks = {name: result["memory"]["peak"] for name, result in modes.items() if result.get("memory")}
    verdicts = []
    if {"plain", "mw_net_exact"} <= peaks.keys():
        ratio = peaks["mw_net_exact"] / peaks["plain"]
        verdicts.append(Verdict("peak memory of mw_net_exact / plain", EXACT_MEMORY, ratio, ratio <= EXACT_MEMORY))
    for name in ("famus_last_block", "famus_settled"):
        if {name, "mw_net_exact"} <= peaks.keys():
            ratio = peaks[name] / peaks["mw_net_exact"]
            verdicts.append(Verdict(f"peak memory of {name} / mw_net_exact", 1.0, ratio, ratio < 1.0))
    return verdicts
