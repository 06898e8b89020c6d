"""Labels judged by networks that were not trained on them."""

import csv
import pathlib
import shutil

import numpy as np
import PIL.Image
import pytest

from famus_tf import errors
from famus_tf.config import config
from famus_tf.experiment import folds, modes
from famus_tf.reports import label_report
from famus_tf.training import best_epoch
from tests import small_networks


def test_parts_are_alike_in_size_and_in_classes():
    labels = np.random.default_rng(0).choice([0, 0, 0, 1, 3], 203)
    parts = folds.split(labels, 5, 4, seed=1)
    sizes = np.bincount(parts)
    assert sizes.max() - sizes.min() <= 1 and len(sizes) == 4
    for label in (0, 1, 3):
        of_class = np.bincount(parts[labels == label], minlength=4)
        assert of_class.max() - of_class.min() <= 1
    np.testing.assert_array_equal(parts, folds.split(labels, 5, 4, seed=1))
    assert not np.array_equal(parts, folds.split(labels, 5, 4, seed=2))


def test_a_class_of_one_image_is_named():
    with pytest.raises(errors.InputError, match=r"`report_folds`=3: class 1 has one training image"):
        folds.split(np.array([0, 0, 1]), 2, 3, seed=0)


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    folder = tmp_path_factory.mktemp("folds")
    flags = {
        "dataset": "digits",
        "network": small_networks.save_convolutions(folder / "small.keras", count=2),
        "method": "memory_weight_net",
        "noise": "symmetric",
        "noise_rate": 0.3,
        "train_limit": 200,
        "epochs": 8,
        "batch_size": 20,
        "base_learning_rate": 0.1,
        "workdir": str(folder / "run"),
        "report_folds": 3,
    }
    modes.run(config.from_values(flags))
    return flags


def rows_of(flags):
    with open(pathlib.Path(flags["workdir"], "labels.csv"), newline="") as file:
        return list(csv.DictReader(file))


def test_each_example_is_judged_by_a_network_that_has_not_seen_it(trained):
    rows = [row for row in rows_of(trained) if row["split"] == "training"]
    for row in rows:
        assert float(row["suspicion"]) == pytest.approx(1 - float(row["out_of_fold_probability"]), abs=1e-5)
    wrong = np.array([row["given_label"] != row["true_label"] for row in rows])
    assert wrong[:20].mean() > wrong.mean() + 0.2  # so early a network has learnt nothing by heart


def test_all_probabilities_are_kept_for_other_programs(trained):
    probabilities = np.load(pathlib.Path(trained["workdir"], "folds", "of_3", "probabilities.npy"))
    np.testing.assert_allclose(probabilities.sum(axis=1), 1.0, rtol=1e-5)
    with np.load(pathlib.Path(trained["workdir"], "folds", "of_3", "said.npz")) as said:
        np.testing.assert_array_equal(probabilities.argmax(axis=1), said["predicted"])
        np.testing.assert_allclose(probabilities.max(axis=1), said["predicted_probability"], rtol=1e-6)


def test_what_was_said_is_kept(trained, capsys):
    before = rows_of(trained)
    modes.run(config.from_values(trained | {"mode": "report"}))
    said = capsys.readouterr().out
    assert "part 1 of 3" not in said and "labels.csv" in said
    assert rows_of(trained) == before


def test_another_number_of_parts_is_asked_anew_and_goes_on_where_it_stopped(trained, capsys, monkeypatch):
    flags = trained | {"mode": "report", "report_folds": 2}
    before = rows_of(trained)
    of_fold = folds._of_fold

    def failing(*arguments):
        if arguments[-1] == "part 2 of 2":
            raise errors.InputError("the disk is full")
        return of_fold(*arguments)

    with monkeypatch.context() as patched:
        patched.setattr(folds, "_of_fold", failing)
        with pytest.raises(errors.InputError, match="the disk is full"):
            modes.run(config.from_values(flags))
    assert rows_of(trained) == before
    assert "part 1 of 2" in capsys.readouterr().out
    modes.run(config.from_values(flags))
    said = capsys.readouterr().out
    assert "part 1 of 2" not in said and "part 2 of 2" in said
    assert rows_of(trained) != before


def write_folder(folder, train=10, sets=("train", "val", "test"), classes=("a", "b", "c")):
    rng = np.random.default_rng(0)
    for part in sets:
        for k, name in enumerate(classes):
            (folder / part / name).mkdir(parents=True)
            for i in range(train if part == "train" else 4):
                pixels = (rng.integers(0, 256, (8, 8, 1)) * (0.2 + 0.3 * k)).astype(np.uint8)
                PIL.Image.fromarray(pixels[:, :, 0]).save(folder / part / name / f"{i}.png")
    return {
        "dataset": "folder",
        "data_dir": str(folder),
        "network": small_networks.save_convolutions(folder.parent / "small.keras", num_classes=len(classes)),
        "method": "cross_entropy",
        "meta_per_class": 0,
        "workdir": str(folder.parent / "run"),
    }


def test_with_a_validation_set_the_best_epoch_judges_and_open_flags_are_filled_in(tmp_path, monkeypatch):
    """At the end of training, and with the same answers by --mode=report, to which the data's own flags are open."""
    flags = write_folder(tmp_path / "data") | {"report_folds": 2, "train_limit": 0}
    restored = []
    restore = best_epoch.BestWeights.restore
    monkeypatch.setattr(
        best_epoch.BestWeights, "restore", lambda self, history: (restored.append(1), restore(self, history))
    )
    modes.run(config.from_values(flags | {"epochs": 2}))
    assert len(restored) == 3  # of the run and of both parts
    rows = rows_of(flags)
    assert len(rows) == 30 and all(row["out_of_fold_probability"] for row in rows)
    shutil.rmtree(tmp_path / "run" / "folds")
    modes.run(config.from_values(flags | {"epochs": 2, "mode": "report"}))
    again = {row["path"]: row["out_of_fold_probability"] for row in rows_of(flags)}
    assert again == {row["path"]: row["out_of_fold_probability"] for row in rows}


def test_images_that_are_skipped_are_of_no_suspicion(tmp_path):
    flags = write_folder(tmp_path / "data", train=100, sets=("train", "test"))
    (tmp_path / "data" / "train" / "a" / "broken.png").write_bytes(b"none")
    flags |= {"report_folds": 2, "epochs": 1, "on_bad_image": "skip", "image_size": 8, "resize": 8}
    modes.run(config.from_values(flags))
    rows = rows_of(flags)
    (broken,) = [row for row in rows if row["path"].endswith("broken.png")]
    assert float(broken["suspicion"]) == 0.5 and not broken["out_of_fold_probability"]
    assert len(label_report.read_csv(pathlib.Path(flags["workdir"], "labels.csv"))) == 301


def test_batches_of_a_part_are_no_larger_than_it(tmp_path):
    """Batches as large as the data are those of the parts, and an epoch has no more of them than there are."""
    flags = write_folder(tmp_path / "data") | {"report_folds": 2, "epochs": 1, "batch_size": 30}
    modes.run(config.from_values(flags))
    flags |= {"workdir": str(tmp_path / "other"), "batch_size": 4, "batches_per_epoch": 7}
    modes.run(config.from_values(flags))
    assert all(row["out_of_fold_probability"] for row in rows_of(flags))


def test_parts_that_cannot_be_trained_without_are_told_before_training(trained, tmp_path):
    flags = trained | {"batch_size": 150, "train_limit": 160, "workdir": str(tmp_path / "run"), "report_folds": 2}
    with pytest.raises(errors.InputError, match="--batch_size=150: expected at most the "):
        modes.run(config.from_values(flags))
    assert not list(tmp_path.rglob("checkpoint*"))
    data = write_folder(tmp_path / "data", classes=("a", "b"))
    for i in range(1, 10):
        (tmp_path / "data" / "train" / "b" / f"{i}.png").unlink()
    with pytest.raises(errors.InputError, match="class 1 has one training image"):
        modes.run(config.from_values(data | {"report_folds": 2, "epochs": 1, "batch_size": 4}))
    assert not list(tmp_path.rglob("checkpoint*"))
