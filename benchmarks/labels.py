"""How well lists of distrusted labels find those that are wrong, beside cleanlab on the same network.

    python -m benchmarks.labels digits --study=memory --seeds=0,1,2

For each seed a run of the study's row (`benchmarks.accuracy`) is trained, then plain networks out of fold
(`--report_folds`), by `famus_tf.main`; finished parts are not trained again. For each score of a label the AUC against
the true labels and the share of wrong ones among the 200 and the 1,000 most distrusted, mean ± sample standard
deviation, with the seconds of what it needs. cleanlab, which is no requirement of this project, is asked where it is
installed (tried with 2.9): `find_label_issues` on the out-of-fold probabilities, ranked by self-confidence; labels that
it holds for no issues come last, in that order.
"""

import argparse
import csv
import sys
import time

import numpy as np

from benchmarks import accuracy, settings, study_command
from famus_tf.evaluation import suspicion
from famus_tf.files import closed_pipe
from famus_tf.reports import compare as table

_AT = (200, 1000)
# Columns of labels.csv and the sign that makes them suspicions.
_COLUMNS = {
    "suspicion": ("the report's suspicion", 1),
    "running_probability": ("running mean of p(given)", -1),
    "running_score": ("running mean of the score", -1),
    "weight": ("running mean of the weight", -1),
    "area_under_margin": ("area under the margin", -1),
    "given_probability": ("p(given) of the exported network", -1),
}


def scores_of(rows):
    """The suspicions of a report, {name: float [n]}, without columns that it has no numbers for.

    Args:
      rows: list of dicts, the lines of labels.csv.
    """
    found = {}
    for column, (name, sign) in _COLUMNS.items():
        values = np.array([float(row[column]) if row[column] else np.nan for row in rows])
        if not np.isnan(values).all():
            found[name] = np.where(np.isnan(values), -np.inf, sign * values)
    return found


def by_cleanlab(labels, probabilities):
    """cleanlab's list as a suspicion, float [n]; None where it is not installed.

    Args:
      labels: the given class ids, int [n].
      probabilities: out of fold, float [n, c].
    """
    try:
        from cleanlab import filter as issues
    except ImportError:
        return None
    listed = issues.find_label_issues(labels, probabilities, return_indices_ranked_by="self_confidence", n_jobs=1)
    order = 1.0 - probabilities[np.arange(len(labels)), labels]  # below 1, so that what is listed comes first
    order[listed] = 2.0 + np.linspace(1.0, 0.0, len(listed))
    return order


def measure(dataset, study, row, seed, extra, folds, root):
    """One seed: {name of a score: dict of `suspicion.quality` and `seconds`}; `extra`: further flags."""
    (job,) = accuracy.make_jobs(dataset, study, [seed], [row], extra, root)
    seconds = {"run": _timed(job.directory, "run", job.flags)}
    rows = _rows(job.directory / "labels.csv", job.directory / "labels_of_run.csv")
    wrong = np.array([line["given_label"] != line["true_label"] for line in rows])
    found = {}
    for name, values in scores_of(rows).items():
        found[name] = suspicion.quality(values, wrong, at=_AT) | {"seconds": seconds["run"]}
    seconds["folds"] = _timed(job.directory, "folds", [*job.flags, "--mode=report", f"--report_folds={folds}"])
    outside = _rows(job.directory / "labels.csv")
    values = np.array([float(line["suspicion"]) for line in outside])
    wrong = np.array([line["given_label"] != line["true_label"] for line in outside])
    found["p(given) out of fold"] = suspicion.quality(values, wrong, at=_AT) | {"seconds": seconds["folds"]}
    folder = job.directory / "folds" / f"of_{folds}"
    with np.load(folder / "said.npz") as said:
        index, labels = said["index"], said["given"]
    is_wrong = {int(line["index"]): line["given_label"] != line["true_label"] for line in outside}
    counts = np.isin(index, list(is_wrong))  # without those whose labels are known to be right
    started = time.perf_counter()
    values = by_cleanlab(labels[counts], np.load(folder / "probabilities.npy")[counts])
    if values is not None:
        whole = seconds["folds"] + time.perf_counter() - started
        truth = np.array([is_wrong[int(one)] for one in index[counts]])
        found["cleanlab, out of fold"] = suspicion.quality(values, truth, at=_AT) | {"seconds": whole}
    return found


def _timed(directory, part, flags):
    """Runs the program, unless that part is finished; returns the seconds that it took."""
    kept = directory / f"seconds_{part}.txt"
    if kept.exists():
        return float(kept.read_text())
    started = time.perf_counter()
    study_command.train(flags, directory / f"log_{part}.txt")
    seconds = time.perf_counter() - started
    kept.write_text(f"{seconds:.1f}\n")
    return seconds


def _rows(path, copy=None):
    """The lines of a labels.csv but those of trusted images; `copy` keeps it, as the next report writes it anew."""
    if copy is not None:
        if not copy.exists():
            copy.write_bytes(path.read_bytes())
        path = copy
    with open(path, newline="", encoding="utf-8") as file:
        return [row for row in csv.DictReader(file) if row["split"] == "training"]


def summary(seeds):
    """{name: {figure: {mean, std, values}}} of a list of what `measure` returned."""
    names = dict.fromkeys(name for found in seeds for name in found)
    figures = {"auc": lambda one: one["auc"], "seconds": lambda one: one["seconds"]}
    figures |= {f"precision_{k}": lambda one, k=k: one["precision"].get(str(k)) for k in _AT}
    result = {}
    for name in names:
        result[name] = {}
        for figure, pick in figures.items():
            values = [pick(found[name]) for found in seeds if name in found]
            if None not in values:
                result[name][figure] = study_command.spread(values)
    return result


def _measured(arguments):
    which = arguments.dataset, arguments.study, arguments.row
    return summary([measure(*which, seed, arguments.set, arguments.folds, arguments.runs) for seed in arguments.seeds])


def _show(results):
    forms = {"auc": ".3f"} | {f"precision_{k}": ".3f" for k in _AT} | {"seconds": ".0f"}
    head = ["score", "AUC", *(f"precision at {k:,}" for k in _AT), "seconds"]
    ordered = sorted(results.items(), key=lambda item: -item[1]["auc"]["mean"])
    lines = [[name, *(study_command.text(row.get(key), form) for key, form in forms.items())] for name, row in ordered]
    print(table.format_table([head, *lines], markdown=True))


def main(argv=None):
    """Runs one command line and returns the exit status: 2 for a mistake in it, or where a run failed."""
    parser = study_command.parser("benchmarks.labels", __doc__)
    parser.add_argument("--folds", type=_folds, default=5, help="networks out of fold (default %(default)s)")
    return study_command.run(parser, argv, _measured, _show)


def _folds(text):
    count = settings.positive(text)
    if count < 2:
        raise argparse.ArgumentTypeError(f"{text}: expected 2 or more")
    return count


if __name__ == "__main__":
    sys.exit(closed_pipe.status_of(main))
