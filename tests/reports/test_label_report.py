"""The list of labels, as written and as read again."""

import csv
import re

import numpy as np
import pytest

from famus_tf import errors
from famus_tf.reports import label_report
from tests.reports import label_reports


def rows_of(path):
    with open(path, encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


def test_each_line_is_an_example_the_least_trusted_first_and_what_is_known_to_be_right_last(tmp_path):
    report = label_reports.make()
    label_report.write_csv(tmp_path / "labels.csv", report)
    rows = rows_of(tmp_path / "labels.csv")
    assert [int(row["rank"]) for row in rows] == list(range(1, 31))
    suspicion = [float(row["suspicion"]) for row in rows]
    assert suspicion[:26] == sorted(suspicion[:26], reverse=True)
    assert [row["split"] for row in rows].count("meta") == 1 and rows[-4]["split"] == rows[-1]["split"] == "trusted"
    places = [report.index.tolist().index(int(row["index"])) for row in rows]
    names = report.class_names
    for row, i in zip(rows, places, strict=True):
        assert row["path"] == report.paths[i] and row["clean_probability"] == ""
        labels = (names[report.given[i]], names[report.predicted[i]], names[report.true[i]])
        assert labels == (row["given_label"], row["predicted_label"], row["true_label"])
        for name in ("given_probability", "predicted_probability", "loss", "margin", "weight", "area_under_margin"):
            np.testing.assert_allclose(float(row[name]), getattr(report, name)[i], rtol=1e-5)


def test_what_is_not_known_is_empty(tmp_path):
    nothing = np.full(30, np.nan, np.float32)
    clean = np.linspace(0, 1, 30, dtype=np.float32)
    changes = {"paths": None, "true": None, "loss": nothing, "predicted": np.full(30, -1), "clean_probability": clean}
    label_report.write_csv(tmp_path / "labels.csv", label_reports.make(**changes))
    for row in rows_of(tmp_path / "labels.csv"):
        assert [row[name] for name in ("path", "loss", "predicted_label", "true_label")] == [""] * 4
        assert 0 <= float(row["clean_probability"]) <= 1


def test_a_wrong_label_whose_true_one_nobody_knows(tmp_path):
    report = label_reports.make(true=np.full(30, -1))
    label_report.write_csv(tmp_path / "labels.csv", report)
    assert {row["true_label"] for row in rows_of(tmp_path / "labels.csv")} == {""}
    assert report.is_wrong.all() and report.quality()["auc"] is None


def test_what_was_written_is_read(tmp_path):
    report = label_reports.make(paths=['a "b", \udcff\n.png'] * 30)
    label_report.write_csv(tmp_path / "labels.csv", report)
    lines = label_report.read_csv(tmp_path / "labels.csv")
    assert [line.index for line in lines] == report.index[report.order].tolist()
    assert [line.given for line in lines] == [report.class_names[k] for k in report.given[report.order]]
    assert [line.predicted for line in lines] == [report.class_names[k] for k in report.predicted[report.order]]
    assert sum(line.is_trusted for line in lines) == 4


@pytest.mark.parametrize(
    "change",
    [lambda text: "", lambda text: text.replace("rank", "place"), lambda text: text.replace(",training,", ",x,")],
)
def test_a_damaged_list_is_one_line(tmp_path, change):
    label_report.write_csv(tmp_path / "labels.csv", label_reports.make())
    (tmp_path / "labels.csv").write_text(change((tmp_path / "labels.csv").read_text()))
    with pytest.raises(errors.InputError, match=r"labels\.csv: not readable \(.*\), expected labels\.csv as training"):
        label_report.read_csv(tmp_path / "labels.csv")


def test_what_is_said_of_it(tmp_path):
    report = label_reports.make(500)
    text = label_report.describe(report, tmp_path)
    counts = ~report.is_trusted
    wrong = report.is_wrong[counts][np.argsort(-report.suspicion[counts])]
    shares = re.findall(r"(\d+)% of the first (\d+)", text)
    assert [(int(share), int(k)) for share, k in shares] == [(round(100 * wrong[:k].mean()), k) for k in (100, 200)]
    assert "AUC of the suspicion for wrong labels 1.000" in text
    differs = (report.predicted != report.given)[counts].sum()
    assert f"predicts another class than the given one for {differs}" in text
    assert "AUC" not in label_report.describe(label_reports.make(true=None), tmp_path)
