"""The results of `step_cost` as a Markdown table and as a picture."""

import matplotlib.figure
import numpy as np

from famus_tf.profiling import stage_times

_COLUMNS = (
    "mode",
    "ratio to plain",
    "quartiles",
    "cost model",
    "ratio in CPU time",
    "s/step",
    "trace, s",
    "first step, s",
    "lowest segment",
    "gates on",
)
_MEMORY_COLUMNS = ("process, MB", "in steps, MB", "tensors, MB", "process / plain", "tensors / plain")
_MB = 2.0**20


def table(results):
    """A Markdown table, one row for each mode and policy.

    Args:
      results: list of dicts, as `step_cost.measure` returns.
    """
    policies = {result["dtype_policy"] for result in results}
    with_memory = any(result.get("memory") for result in results)
    columns = [*_COLUMNS, *(_MEMORY_COLUMNS if with_memory else ())]
    if len(policies) > 1:
        columns.insert(1, "policy")
        columns.append("float32 / bfloat16")
    plain_memory = {r["dtype_policy"]: r.get("memory") for r in results if r["mode"] == "plain"}
    lines = [_row(columns), _row(["---"] + ["---:"] * (len(columns) - 1))]
    for result in results:
        cells = _cells(result)
        if len(policies) > 1:
            cells.insert(1, result["dtype_policy"])
        if with_memory:
            cells += _memory_cells(result.get("memory"), plain_memory[result["dtype_policy"]])
        if len(policies) > 1:
            gain = result.get("gain_over_float32")
            cells.append(f"{gain['median']:.2f}" if gain else "")
        lines.append(_row(cells))
    return "\n".join(lines)


def targets_table(verdicts):
    """A Markdown table of `targets.Verdict`s."""
    lines = [_row(["target", "at most", "measured", ""]), _row(["---", "---:", "---:", "---"])]
    for verdict in verdicts:
        measured = "" if verdict.measured is None else f"{verdict.measured:.3f}"
        word = {True: "met", False: "missed", None: "not measured" if verdict.measured is None else "other settings"}
        lines.append(_row([verdict.name, f"{verdict.target:g}", measured, word[verdict.met]]))
    return "\n".join(lines)


def stages_table(columns):
    """A Markdown table of seconds, one column for each mode.

    Args:
      columns: dict mode -> dict stage -> seconds.
    """
    lines = [_row(["stage", *columns]), _row(["---"] + ["---:"] * len(columns))]
    for stage in _timed_stages(columns):
        cells = [f"{seconds[stage]:.4f}" if stage in seconds else "" for seconds in columns.values()]
        lines.append(_row([stage, *cells]))
    lines.append(_row(["sum", *(f"{sum(column.values()):.4f}" for column in columns.values())]))
    return "\n".join(lines)


def _timed_stages(columns):
    """The stages that any of the modes has, in the order of a step."""
    timed = set().union(*columns.values())
    return [stage for stage in stage_times.STAGES if stage in timed]


def _row(cells):
    return f"| {' | '.join(cells)} |"


def _cells(result):
    ratio = result["ratio"]
    segments = len(result["segment_costs"] or ())
    lowest = result["mean_lowest_segment"]
    gates = result["mean_gates_on"]
    return [
        result["mode"],
        f"{ratio['median']:.3f}",
        f"{ratio['low']:.3f} - {ratio['high']:.3f}",
        f"{result['predicted_ratio']:.2f}",
        f"{result['cpu_ratio']['median']:.3f}",
        f"{result['median_seconds']:.4f}",
        "" if result["trace_seconds"] is None else f"{result['trace_seconds']:.1f}",
        f"{result['first_step_seconds']:.1f}",
        "" if lowest is None else f"{lowest:.1f} of 0..{segments - 1}",
        "" if gates is None else f"{gates:.1f} of {result['layers']}",
    ]


def _memory_cells(memory, plain):
    if not memory:
        return [""] * len(_MEMORY_COLUMNS)
    cells = [f"{memory[name] / _MB:.0f}" for name in ("peak", "peak_of_steps", "tensors_peak")]
    if plain:
        cells += [f"{memory[name] / plain[name]:.2f}" for name in ("peak", "tensors_peak")]
    return cells + [""] * (len(_MEMORY_COLUMNS) - len(cells))


def draw(path, results, title):
    """Draws the ratios as horizontal bars with their quartiles, and the cost model's predictions as marks.

    Args:
      path: PNG file to write.
      results: list of dicts, as `step_cost.measure` returns.
      title: str.
    """
    modes = list(dict.fromkeys(result["mode"] for result in results))
    policies = list(dict.fromkeys(result["dtype_policy"] for result in results))
    height = 0.8 / len(policies)
    figure = matplotlib.figure.Figure(
        figsize=(9.5, 1.5 + (0.2 + 0.22 * len(policies)) * len(modes)), layout="constrained"
    )
    axes = figure.subplots()
    for number, (policy, color) in enumerate(zip(policies, ("tab:blue", "tab:orange"), strict=False)):
        chosen = [result for result in results if result["dtype_policy"] == policy]
        places = [modes.index(r["mode"]) + (number - (len(policies) - 1) / 2) * height for r in chosen]
        medians = np.array([r["ratio"]["median"] for r in chosen])
        low = np.array([r["ratio"]["low"] for r in chosen])
        high = np.array([r["ratio"]["high"] for r in chosen])
        axes.barh(places, medians, height * 0.92, color=color, alpha=0.85, label=policy)
        axes.errorbar(
            medians, places, xerr=[medians - low, high - medians], fmt="none", ecolor="black", elinewidth=1, capsize=2
        )
        label = "cost model" if number == 0 else None
        predicted = [r["predicted_ratio"] for r in chosen]
        axes.plot(predicted, places, "D", color="white", mec="black", ms=4.5, ls="none", label=label)
        for place, value, end, prediction in zip(places, medians, high, predicted, strict=True):
            right = max(end, prediction)
            axes.annotate(f"{value:.2f}", (right, place), (5, 0), textcoords="offset points", va="center", fontsize=8)
    axes.axvline(1.0, color="black", lw=0.8, ls="--")
    axes.set_yticks(range(len(modes)), modes)
    axes.invert_yaxis()
    axes.set(xlabel="time of a step / plain Keras, median over rounds with quartiles", title=title)
    axes.set_xlim(0, 1.12 * max(max(r["ratio"]["high"], r["predicted_ratio"]) for r in results))
    axes.grid(axis="x", alpha=0.3)
    axes.legend(loc="upper right", fontsize=8)
    figure.savefig(path, dpi=120)


def draw_stages(path, columns, title):
    """Draws the seconds of each stage as one stacked bar for each mode (as Fig. 1b of the paper has them side by side).

    Args:
      path: PNG file to write.
      columns: dict mode -> dict stage -> seconds.
      title: str.
    """
    figure = matplotlib.figure.Figure(figsize=(9.5, 2.0 + 0.55 * len(columns)), layout="constrained")
    axes = figure.subplots()
    left = np.zeros(len(columns))
    total = max(sum(column.values()) for column in columns.values())
    for number, stage in enumerate(_timed_stages(columns)):
        # A difference of two times may come out below 0.
        widths = np.array([max(0.0, seconds.get(stage, 0.0)) for seconds in columns.values()])
        bars = axes.barh(list(columns), widths, 0.62, left=left, color=f"C{number}", label=stage)
        labels = [f"{1000 * width:.0f}" if width > 0.04 * total else "" for width in widths]
        axes.bar_label(bars, labels, label_type="center", fontsize=8, color="white")
        left += widths
    axes.invert_yaxis()
    axes.set(xlabel="seconds per step (in the bars: milliseconds)", title=title)
    axes.grid(axis="x", alpha=0.3)
    figure.legend(loc="outside lower center", ncols=3, fontsize=8)
    figure.savefig(path, dpi=120)
