"""Compares run directories in a table: one row for all the runs that differ in nothing but the seed.

    python -m famus_tf.compare runs/a runs/b [...] [--markdown] [--csv=OUT] [--latex=OUT] [--json=OUT] [--plot=OUT.png]

Reads results.json and flags.cfg of each. Accuracies are in percent, mean ± sample standard deviation over the seeds
(no ± for one seed). --t_test adds a column with the p of Welch's one-tailed t test that the last accuracy is higher
than that of the first row; it needs two seeds of both. The picture has the test accuracy over the training's time,
without evaluations, the mean and the range over the seeds.
"""

import argparse
import csv
import dataclasses
import io
import itertools
import json
import pathlib
import statistics
import sys
from collections.abc import Iterable, Sequence

from famus_tf.errors import InputError
from famus_tf.files import plain_text, strict_json, whole_files
from famus_tf.reports import method_names

# What decides how long a plain step takes: two groups are compared in time only where these agree.
_DECIDES_STEP_TIME = ("dataset", "network", "batch_size", "strategy")
_COLUMNS = (
    "method",
    "seeds",
    "peak test accuracy",
    "last test accuracy",
    "seconds per step",
    "ratio to cross-entropy",
    "mean lowest layer",
    "selected layers",
    "example weight clean / noisy",
)
# Where the true labels are known.
_WEIGHT_COLUMN = "AUC of the weights"
# Where there is a split by a mixture of losses.
_SPLIT_COLUMN = "AUC of the clean probability"
# Where it is asked for.
_TEST_COLUMN = "p, above the first row"
_NOT_AVAILABLE = "n/a"
# What a run writes besides its results; a test holds them equal to the flags of this group.
WITHOUT_EFFECT = ("label_report", "nolabel_report", "report_folds", "export_format")


@dataclasses.dataclass(frozen=True)
class Run:
    """What one run directory says of itself."""

    flags: dict[str, str]
    results: dict
    versions: dict | None = None

    @property
    def seed(self) -> str:
        return self.flags.get("seed", "0")

    @property
    def test_accuracies(self) -> list[float]:
        """The test accuracy after each epoch."""
        return [epoch["test_accuracy"] for epoch in self.results.get("history", ()) if "test_accuracy" in epoch]

    def number(self, *keys: str) -> float | None:
        """The number at results[key][key]..., or None where there is none."""
        value: object = self.results
        for key in keys:
            value = value.get(key) if isinstance(value, dict) else None
        return value if isinstance(value, int | float) and not isinstance(value, bool) else None


def read_run(directory: pathlib.Path) -> Run:
    """Reads results.json and flags.cfg of a run directory; InputError where that fails."""
    path = directory / "results.json"
    if directory.is_dir() and not path.exists():
        raise InputError(f"{directory}: no run directory, or of a run that is not finished: it has no results.json")
    try:
        results = json.loads(path.read_text(encoding="utf-8"))
        path = directory / "flags.cfg"
        lines = path.read_text(encoding="utf-8").splitlines()
    except OSError as error:
        raise InputError(f"{path}: cannot read it ({error.strerror or error})") from None
    except ValueError as error:
        raise InputError(f"{path}: not what a run writes ({error})") from None
    versions: dict | None
    try:
        versions = json.loads((directory / "versions.json").read_text(encoding="utf-8"))
    except (OSError, ValueError):
        versions = None  # where it came from is worth keeping, not worth failing for
    run = Run(dict(_flag(line.strip()) for line in lines if line.strip().startswith("-")), results, versions)
    for name in ("peak", "last"):
        if run.number("test_accuracy", name) is None:
            raise InputError(f"{directory / 'results.json'}: expected a number at test_accuracy.{name}")
    return run


def group_runs(runs: Iterable[Run]) -> list[list[Run]]:
    """Gathers the runs whose flags agree but for the seed, in the order of their first one."""
    groups: dict[frozenset, list[Run]] = {}
    for run in runs:
        key = frozenset((name, value) for name, value in run.flags.items() if name not in ("seed", *WITHOUT_EFFECT))
        groups.setdefault(key, []).append(run)
    return list(groups.values())


def rows(groups: Sequence[Sequence[Run]], labels: Sequence[str] | None = None) -> list[dict]:
    """One dict of plain numbers per group; None where a number does not apply.

    Args:
      groups: runs that differ in nothing but the seed, one or more in each group.
      labels: the method's name in each row; where None, the names of method and selector and what tells rows apart.
    """
    result = []
    for group, label in zip(groups, labels or name_groups(groups), strict=True):
        seconds = _mean(_numbers(group, "train_seconds_per_step"))
        plain = _plain_seconds(group[0], groups)
        result.append(
            {
                "method": label,
                "seeds": [run.seed for run in group],
                "peak_test_accuracy": _spread(_numbers(group, "test_accuracy", "peak")),
                "last_test_accuracy": _spread(_numbers(group, "test_accuracy", "last")),
                "seconds_per_step": seconds,
                "ratio_to_cross_entropy": seconds / plain if seconds and plain else None,
                "mean_lowest_layer": _mean(_numbers(group, "mean_lowest_layer")),
                "selected_layers": _mean(_numbers(group, "selected_layers")),
                "example_weight": {
                    name: _mean(_numbers(group, "example_weight", name)) for name in ("clean", "noisy", "auc")
                },
                "seconds_per_meta_step": _mean(_numbers(group, "train_seconds_per_meta_step")),
                "clean_probability_auc": _mean(_aucs(group)),
            }
        )
    return result


def p_values(numbers: Sequence[dict]) -> list[float | None]:
    """Of each row but the first: p of Welch's one-tailed t test, that its last accuracy is higher than the first's.

    None where one of both has fewer than two seeds or one twice, or no two accuracies of either differ.
    """
    from scipy import stats  # half a second, which the plain table does not need

    first = numbers[0]["last_test_accuracy"]["values"]
    repeated = [len(set(row["seeds"])) < len(row["seeds"]) for row in numbers]
    found: list[float | None] = [None]
    for row, repeats in zip(numbers[1:], repeated[1:], strict=True):
        values = row["last_test_accuracy"]["values"]
        enough = min(len(first), len(values)) > 1 and (len(set(first)) > 1 or len(set(values)) > 1)
        enough = enough and not (repeated[0] or repeats)  # a copy of a run is no further one
        found.append(
            float(stats.ttest_ind(values, first, equal_var=False, alternative="greater").pvalue) if enough else None
        )
    return found


def format_rows(numbers: Sequence[dict], markdown: bool) -> str:
    """The table of what `rows` returned, as text on a terminal or in Markdown."""
    return format_table(_texts(numbers), markdown)


def as_csv(numbers: Sequence[dict]) -> str:
    """The same table as CSV."""
    buffer = io.StringIO()
    csv.writer(buffer, lineterminator="\n").writerows(_texts(numbers))
    return buffer.getvalue()


def as_latex(numbers: Sequence[dict]) -> str:
    """The same table as a LaTeX tabular, which needs the package booktabs."""
    head, *lines = ([_in_latex(text) for text in line] for line in _texts(numbers))
    return "\n".join(
        [
            rf"\begin{{tabular}}{{l{'r' * (len(head) - 1)}}}",
            r"\toprule",
            " & ".join(head) + r" \\",
            r"\midrule",
            *(" & ".join(line) + r" \\" for line in lines),
            r"\bottomrule",
            r"\end{tabular}",
            "",
        ]
    )


def _in_latex(text: str) -> str:
    marks = {"\\": r"\textbackslash{}", "±": r"$\pm$", "~": r"\textasciitilde{}", "^": r"\textasciicircum{}"}
    marks |= {mark: "\\" + mark for mark in "&%$#_{}"}
    return "".join(marks.get(letter, letter) for letter in text)


def _texts(numbers: Sequence[dict]) -> list[Sequence[str]]:
    """The head and a line for each row."""
    lines: list[Sequence[str]] = [_COLUMNS, *map(_cells, numbers)]
    further = {
        _WEIGHT_COLUMN: [row["example_weight"]["auc"] for row in numbers],
        _SPLIT_COLUMN: [row["clean_probability_auc"] for row in numbers],
        _TEST_COLUMN: [row.get("p_above_first") for row in numbers],
    }
    for head, values in further.items():
        if any(value is not None for value in values):
            cells = [head, *(_fixed(value, 3) for value in values)]
            lines = [[*line, cell] for line, cell in zip(lines, cells, strict=True)]
    return lines


def with_provenance(numbers: Sequence[dict], groups: Sequence[Sequence[Run]]) -> list[dict]:
    """What `rows` returned with flags, command, commit and machine of every run."""
    return [row | _provenance(group) for row, group in zip(numbers, groups, strict=True)]


def write_json(path: pathlib.Path, numbers: Sequence[dict]) -> None:
    """Writes what `with_provenance` returned; OSError where it cannot."""
    path.write_text(strict_json.text_of(numbers), encoding="utf-8")


def _cells(row: dict) -> list[str]:
    weight = row["example_weight"]
    return [
        row["method"],
        ", ".join(row["seeds"]),
        _percent(row["peak_test_accuracy"]),
        _percent(row["last_test_accuracy"]),
        _fixed(row["seconds_per_step"], 4),
        _fixed(row["ratio_to_cross_entropy"], 2),
        _fixed(row["mean_lowest_layer"], 1),
        _fixed(row["selected_layers"], 1),
        f"{_fixed(weight['clean'], 3)} / {_fixed(weight['noisy'], 3)}",
    ]


def format_table(table: Sequence[Sequence[str]], markdown: bool) -> str:
    """Aligns a table of texts whose first row is the head."""
    widths = [max(map(len, column)) for column in zip(*table, strict=True)]
    lines = [[text.ljust(width) for text, width in zip(line, widths, strict=True)] for line in table]
    lines.insert(1, ["-" * width for width in widths])
    if markdown:
        return "\n".join(f"| {' | '.join(line)} |" for line in lines)
    return "\n".join("  ".join(line).rstrip() for line in lines)


def main(argv: Sequence[str] | None = None) -> int:
    """Prints the table of the run directories in `argv`; returns the exit status."""
    parser = argparse.ArgumentParser(
        prog="python -m famus_tf.compare", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("run_dirs", metavar="RUN_DIR", type=pathlib.Path, nargs="+")
    parser.add_argument("--markdown", action="store_true", help="print a Markdown table")
    parser.add_argument("--json", metavar="OUT", type=pathlib.Path, help="write the numbers to this file too")
    parser.add_argument("--csv", metavar="OUT", type=pathlib.Path, help="write the table to this file too")
    parser.add_argument("--latex", metavar="OUT", type=pathlib.Path, help="write it as a LaTeX tabular too")
    parser.add_argument("--plot", metavar="OUT", type=pathlib.Path, help="draw accuracy over time into this PNG file")
    parser.add_argument("--t_test", action="store_true", help="compare each row's last accuracy with the first's")
    arguments = parser.parse_args(argv)
    try:
        if arguments.plot and arguments.plot.suffix != ".png":
            raise InputError(f"--plot={arguments.plot}: expected a name ending in .png")
        groups = group_runs(map(read_run, dict.fromkeys(arguments.run_dirs)))
        numbers = rows(groups)
        if arguments.t_test:
            numbers = [row | {"p_above_first": p} for row, p in zip(numbers, p_values(numbers), strict=True)]
        for path, text in (
            (arguments.json, lambda: strict_json.text_of(with_provenance(numbers, groups))),
            (arguments.csv, lambda: as_csv(numbers)),
            (arguments.latex, lambda: as_latex(numbers)),
        ):
            if path:
                with whole_files.written(path) as place:
                    place.write_text(text(), encoding="utf-8")
        if arguments.plot:
            from famus_tf.reports import compare_pictures  # matplotlib, which the table does not need

            compare_pictures.draw(arguments.plot, groups, [row["method"] for row in numbers])
    except InputError as error:
        print(f"compare: error: {plain_text.shortened(str(error))}", file=sys.stderr)
        return 2
    print(format_rows(numbers, arguments.markdown))
    if arguments.t_test and not any(row["p_above_first"] is not None for row in numbers):
        print(
            "compare: --t_test: no p, as it needs two rows, each of two seeds or more and none twice", file=sys.stderr
        )
    return 0


def _provenance(group: Sequence[Run]) -> dict:
    """The flags, and each run's own figures with its command, commit, versions and machine."""
    names = [
        *("seed", "steps", "test_accuracy", "test_top5", "train_seconds_per_step", "example_weight"),
        *("train_seconds_per_meta_step", "split", "by_class_size"),
    ]
    runs = []
    for run in group:
        figures = {name: run.results.get(name) for name in names}
        runs.append(figures | {"test_accuracies": run.test_accuracies, "versions": run.versions})
    return {
        "flags": {name: value for name, value in group[0].flags.items() if name not in ("seed", "data_dir")},
        "runs": runs,
    }


def _flag(line: str) -> tuple[str, str]:
    name, _, value = line.lstrip("-").partition("=")
    return name, value


def name_groups(groups: Sequence[Sequence[Run]]) -> list[str]:
    """The method of each group and, where several groups have the same, the flags that tell them apart."""
    labels = [_label(group[0]) for group in groups]
    names = []
    for group, label in zip(groups, labels, strict=True):
        unique = labels.count(label) == 1
        names.append(label if unique else f"{label} ({_distinction(group, groups, labels, label)})")
    return names


def _label(run: Run) -> str:
    method, selector = (run.flags.get(name, run.results.get(name)) or "" for name in ("method", "selector"))
    if method == "cross_entropy" or run.results.get("selector", "") is None:  # it has no gates
        selector = ""
    return (
        method_names.METHODS.get(method, method) + method_names.SELECTORS.get(selector, f" {selector}".rstrip())
        or _NOT_AVAILABLE
    )


def _distinction(group, groups, labels, label) -> str:
    alike = [other[0].flags for other, other_label in zip(groups, labels, strict=True) if other_label == label]
    names = dict.fromkeys(itertools.chain.from_iterable(alike))
    differing = [name for name in names if name != "seed" and len({flags.get(name) for flags in alike}) > 1]
    flags = group[0].flags
    told = [f"{name}={flags[name]}" if flags[name] else name for name in differing if name in flags]
    lists = [text for text in told if text.partition("=")[0].endswith("_list")]
    # Paths of lists are long, and one tells the data of a run apart.
    return ", ".join(text for text in told if text not in lists[1:])


def _plain_seconds(run: Run, groups: Sequence[Sequence[Run]]) -> float | None:
    """Seconds per step of the cross-entropy runs that `run` can be compared with."""
    comparable = []
    for other in itertools.chain.from_iterable(groups):
        alike = all(other.flags.get(name) == run.flags.get(name) for name in _DECIDES_STEP_TIME)
        if alike and _label(other) == "cross-entropy":
            comparable.append(other)
    plain = [other for other in comparable if other.flags.get("loss", "cross_entropy") == "cross_entropy"]
    comparable = plain or comparable  # others minimise another loss, at its own cost
    # Beside float32 the gain of a lower precision shows too.
    single = [other for other in comparable if other.flags.get("dtype_policy", "float32") == "float32"]
    return _mean(_numbers(single or comparable, "train_seconds_per_step"))


def _numbers(group: Iterable[Run], *keys: str) -> list[float]:
    numbers = (run.number(*keys) for run in group)
    return [number for number in numbers if number is not None]


def _aucs(group: Iterable[Run]) -> list[float]:
    """AUC of the clean probability by each network of each run, in its last epoch."""
    splits = itertools.chain.from_iterable(run.results.get("split") or () for run in group)
    return [split["auc"] for split in splits if split.get("auc") is not None]


def _mean(numbers: Sequence[float]) -> float | None:
    return statistics.fmean(numbers) if numbers else None


def _spread(numbers: Sequence[float]) -> dict:
    deviation = statistics.stdev(numbers) if len(numbers) > 1 else None
    return {"mean": _mean(numbers), "std": deviation, "values": list(numbers)}


def _percent(spread: dict) -> str:
    mean = f"{100 * spread['mean']:.1f}"
    return mean if spread["std"] is None else f"{mean} ± {100 * spread['std']:.1f}"


def _fixed(number: float | None, digits: int) -> str:
    return _NOT_AVAILABLE if number is None else f"{number:.{digits}f}"
