"""Lists without the labels that are not trusted."""

import csv
import pathlib

import numpy as np
import pytest

from famus_tf import errors, main
from famus_tf.config import config
from famus_tf.experiment import clean, modes
from famus_tf.reports import label_report, marks
from tests import small_networks

LINES = [
    label_report.Line(number + 2, index, index == 8, given, predicted, 0.9 - 0.1 * number)
    for number, (index, given, predicted) in enumerate(
        [(5, "cat", "dog"), (2, "dog", "dog"), (9, "cat", ""), (0, "dog", "cat"), (7, "cat", "cat"), (8, "dog", "cat")]
    )
]


@pytest.mark.parametrize(
    ("share", "above", "action", "marked", "expected"),
    [
        (0.0, 1.0, "drop", {}, {5: "cat", 2: "dog", 9: "cat", 0: "dog", 7: "cat"}),
        (0.6, 1.0, "drop", {}, {0: "dog", 7: "cat"}),
        (0.8, 1.0, "relabel", {}, {5: "dog", 0: "cat", 7: "cat"}),
        (0.4, 1.0, "drop", {5: ("keep", "cat", ""), 7: ("drop", "cat", "")}, {5: "cat", 9: "cat", 0: "dog"}),
        (0.0, 1.0, "drop", {9: ("relabel", "cat", "dog")}, {5: "cat", 2: "dog", 9: "dog", 0: "dog", 7: "cat"}),
        (1.0, 1.0, "drop", {}, {}),
        (0.0, 0.7, "drop", {}, {9: "cat", 0: "dog", 7: "cat"}),  # above, not at
        (0.6, 0.85, "drop", {}, {0: "dog", 7: "cat"}),
        (0.0, 0.65, "relabel", {2: ("keep", "dog", "")}, {5: "dog", 2: "dog", 0: "dog", 7: "cat"}),
    ],
)
def test_what_becomes_of_each_label(share, above, action, marked, expected):
    marked = {index: marks.Mark(*mark) for index, mark in marked.items()}
    labels, counts = clean.decided(LINES, marked, share, action, above)
    assert labels == expected
    given = {line.index: line.given for line in LINES}
    changed = sum(given[index] != label for index, label in expected.items())
    assert counts == {"kept": len(expected) - changed, "relabelled": changed, "dropped": 5 - len(expected)}


@pytest.mark.parametrize(
    ("index", "given", "said"),
    [
        (4, "cat", "m.csv: example 4, marked with the label 'cat', is no training image"),
        (8, "dog", "m.csv: example 8, marked with the label 'dog', is no training image"),
        (5, "dog", "m.csv: example 5, marked with the label 'dog', is labelled 'cat'"),
    ],
)
def test_marks_of_another_run_are_refused(index, given, said):
    with pytest.raises(errors.InputError, match=said):
        clean.decided(LINES, {index: marks.Mark("drop", given, "")}, 0.0, "drop", 1.0, "m.csv")


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    folder = tmp_path_factory.mktemp("cleaned")
    network = small_networks.save_convolutions(folder / "small.keras", count=2)
    flags = {
        "dataset": "digits",
        "network": network,
        "method": "cross_entropy",
        "noise": "symmetric",
        "noise_rate": 0.3,
        "train_limit": 200,
        "epochs": 1,
        "batch_size": 50,
        "workdir": str(folder / "run"),
    }
    modes.run(config.from_values(flags))
    return flags


def rows_of(path):
    with open(path, newline="") as file:
        return list(csv.DictReader(file))


def test_the_cleaned_lists_are_trained(trained, tmp_path, capsys):
    run = pathlib.Path(trained["workdir"])
    lines = label_report.read_csv(run / "labels.csv")
    labels_before = (run / "labels.csv").read_bytes()
    modes.run(config.from_values(trained | {"mode": "clean", "clean_share": 0.25}))
    assert "150 kept, 0 relabelled, 50 dropped of 200 training labels" in capsys.readouterr().out
    rows = rows_of(run / "cleaned" / "train.csv")
    kept = {line.index: line.given for line in lines[50:]}
    assert sorted(row["label"] for row in rows) == sorted(kept.values())
    assert (run / "labels.csv").read_bytes() == labels_before
    command = ["famus_tf", f"--flagfile={run / 'cleaned' / 'cleaned.cfg'}", f"--workdir={tmp_path / 'again'}"]
    assert main.main(command) == 0
    said = capsys.readouterr().out
    assert "150 training images of 8x8x1 in 10 classes" in said and "400 test" in said
    assert np.isfinite(float(rows_of(tmp_path / "again" / "labels.csv")[0]["suspicion"]))


def test_nothing_to_do_and_nothing_left(trained):
    with pytest.raises(errors.InputError, match="expected one of them, which say what is not trusted"):
        modes.run(config.from_values(trained | {"mode": "clean"}))
    with pytest.raises(errors.InputError, match="class '0' would have no training image left"):
        modes.run(config.from_values(trained | {"mode": "clean", "clean_share": 1.0}))
