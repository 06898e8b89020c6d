"""`labels.csv`: every training example, the least trusted label first."""

from __future__ import annotations

import csv
import dataclasses
import os

import numpy as np

from famus_tf import errors
from famus_tf.evaluation import suspicion as suspicions
from famus_tf.files import whole_files

COLUMNS = (
    *("rank", "suspicion", "index", "path", "split", "given_label", "predicted_label"),
    *("given_probability", "predicted_probability", "loss", "margin", "weight", "clean_probability"),
    *("area_under_margin", "running_probability", "running_score", "out_of_fold_probability", "true_label"),
)
_SPLITS = ("training", "trusted", "meta")


@dataclasses.dataclass(frozen=True, eq=False)
class LabelReport:
    """What is known of the label of each training example; arrays are [N], NaN where nothing is known.

    The images of a trusted set that was taken out of the training images, and that nobody has checked, are among them.

    Attributes:
        class_names: one for each class id.
        index: the position in the data set's training images, int64.
        paths: file names, list of str; None where the images come from no files.
        is_trusted: whether the label is known to be right, bool: those of probes.
        is_meta: whether it is of the trusted set without having been checked, bool.
        by: words that say what the suspicion is by.
        given, predicted: class ids, int; `predicted` by the exported network, -1 where the image cannot be read.
        given_probability, predicted_probability, loss, margin: by the exported network, float32.
        weight: running mean over the visits, float32.
        clean_probability: that of Algorithm 2, float32; None without it.
        area_under_margin, running_probability, running_score: over the visits, float32; see
            `training.example_history`.
        out_of_fold: the given label's probability by a network that was not trained on the example, float32; None where
            there are none.
        true: class ids, int, negative where all that is known is that the label is wrong; None where nobody knows.
        suspicion: float64 in [0, 1].
    """

    class_names: tuple[str, ...]
    index: np.ndarray
    paths: list[str] | None
    is_trusted: np.ndarray
    is_meta: np.ndarray
    by: str
    given: np.ndarray
    predicted: np.ndarray
    given_probability: np.ndarray
    predicted_probability: np.ndarray
    loss: np.ndarray
    margin: np.ndarray
    weight: np.ndarray
    clean_probability: np.ndarray | None
    area_under_margin: np.ndarray
    running_probability: np.ndarray
    running_score: np.ndarray
    out_of_fold: np.ndarray | None
    true: np.ndarray | None
    suspicion: np.ndarray

    def __len__(self) -> int:
        return len(self.given)

    @property
    def order(self) -> np.ndarray:
        """Positions of the examples, the least trusted first; those whose labels are known to be right last."""
        return np.lexsort((np.arange(len(self)), -self.suspicion, self.is_trusted))

    @property
    def is_wrong(self) -> np.ndarray | None:
        """Which labels are wrong, bool [N]; None where nobody knows."""
        return None if self.true is None else self.true != self.given

    def quality(self) -> dict | None:
        """`evaluation.suspicion.quality` over the labels that nobody vouches for; None where the truth is not known."""
        if self.true is None:
            return None
        counts = ~self.is_trusted
        return suspicions.quality(self.suspicion[counts], self.is_wrong[counts])


def write_csv(path, report):
    """Writes one line for each example, in the report's order; empty where nothing is known.

    Args:
      path: file to write.
      report: `LabelReport`.

    Raises:
      InputError: it cannot be written.
    """
    with (
        whole_files.written(path) as place,
        open(place, "w", encoding="utf-8", errors="backslashreplace", newline="") as file,
    ):
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(COLUMNS)
        writer.writerows(_lines(report))


@dataclasses.dataclass(frozen=True)
class Line:
    """A line of `labels.csv`, as far as cleaning needs it; labels are names."""

    number: int
    index: int
    is_trusted: bool
    given: str
    predicted: str
    suspicion: float
    path: str = ""


def read_csv(path):
    """Reads what `write_csv` has written, least trusted first.

    Args:
      path: `pathlib.Path`.

    Returns:
      List of `Line`.

    Raises:
      InputError: it is not there, or a line is none that a report has.
    """
    expected = "labels.csv as training or option `mode`=report writes it"
    lines = []
    with errors.reading(path, expected), open(path, encoding="utf-8", newline="") as file:
        reader = csv.DictReader(file, strict=True)
        if tuple(reader.fieldnames or ()) != COLUMNS:
            raise ValueError("other columns")
        for row in reader:
            number = reader.line_num
            if row["split"] not in _SPLITS or not row["index"].isdecimal():
                raise ValueError(f"line {number}")
            trusted = row["split"] == "trusted"
            names = row["given_label"], row["predicted_label"]
            lines.append(Line(number, int(row["index"]), trusted, *names, float(row["suspicion"]), row["path"]))
    return lines


def describe(report, workdir):
    """A few lines that say where the report is and what it shows.

    Args:
      report: `LabelReport`.
      workdir: `pathlib.Path` of the folder with both files.
    """
    counts = ~report.is_trusted
    files = f"{workdir / 'labels.html'}, {workdir / 'labels.csv'}"
    lines = [f"{files}: {counts.sum():,} labels, the least trusted first, by {report.by}"]
    differs = counts & (report.predicted >= 0) & (report.predicted != report.given)
    lines.append(f"  the network predicts another class than the given one for {differs.sum():,}")
    found = report.quality()
    if found and found["auc"] is not None:
        shares = ", ".join(f"{share:.0%} of the first {int(k):,}" for k, share in found["precision"].items())
        among = f": wrong are {shares}" if shares else ""
        lines.append(f"  AUC of the suspicion for wrong labels {found['auc']:.3f}{among}")
    return "\n".join(lines)


def _lines(report):
    names = np.array([*report.class_names, ""], object)  # -1 is the last one
    order = report.order
    none = np.full(len(report), np.nan)
    clean = none if report.clean_probability is None else report.clean_probability
    outside = none if report.out_of_fold is None else report.out_of_fold
    true = np.full(len(report), -1) if report.true is None else np.maximum(report.true, -1)
    numbers = [
        *(report.given_probability, report.predicted_probability, report.loss, report.margin, report.weight, clean),
        *(report.area_under_margin, report.running_probability, report.running_score, outside),
    ]
    for rank, i in enumerate(order, start=1):
        path = "" if report.paths is None else report.paths[i]
        split = _SPLITS[1 if report.is_trusted[i] else 2 if report.is_meta[i] else 0]
        head = [rank, _number(report.suspicion[i]), report.index[i], path, split]
        yield [
            *head,
            names[report.given[i]],
            names[report.predicted[i]],
            *(_number(values[i]) for values in numbers),
            names[true[i]],
        ]


def _number(value):
    return "" if np.isnan(value) else f"{value:.6g}"


def path_text(path):
    """A file name's bytes as text."""
    return os.fsdecode(path)
