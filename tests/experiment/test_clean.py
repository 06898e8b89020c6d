"""Lists without the labels that are not trusted."""

import collections
import csv
import itertools
import pathlib
import pickle
import shutil

import numpy as np
import PIL.Image
import pytest

from famus_tf import errors, main
from famus_tf.config import command_line, config
from famus_tf.experiment import build_data, clean, modes
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
        (8, "dog", "m.csv: example 8, marked with the label 'dog', is trusted, and marked drop; expected no mark"),
        (5, "dog", "m.csv: example 5, marked with the label 'dog', is labelled 'cat'"),
    ],
)
def test_marks_of_another_run_are_refused(index, given, said):
    with pytest.raises(errors.InputError, match=said):
        clean.decided(LINES, {index: marks.Mark("drop", given, "")}, 0.0, "drop", 1.0, "m.csv")


def test_a_trusted_image_may_be_marked_to_be_kept():
    labels, counts = clean.decided(LINES, {8: marks.Mark("keep", "dog", "")}, 0.0, "drop")
    assert 8 not in labels and counts["kept"] == 5


def test_a_mark_of_another_file_is_refused():
    lines = [label_report.Line(2, 0, False, "cat", "dog", 0.9, "/here/a.png")]
    assert not clean.decided(lines, {0: marks.Mark("drop", "cat", "", "/here/a.png")}, 0.0, "drop")[0]
    with pytest.raises(errors.InputError, match=r"example 0, .* is /here/a\.png, not /b\.png; "):
        clean.decided(lines, {0: marks.Mark("drop", "cat", "", "/b.png")}, 0.0, "drop", 1.0, "m.csv")


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
    assert "150 kept, 0 relabelled, 50 dropped of 200 labels" in capsys.readouterr().out
    rows = rows_of(run / "cleaned" / "train.csv")
    kept = {line.index: line.given for line in lines[50:]}
    assert sorted(row["label"] for row in rows) == sorted(kept.values())
    assert (run / "labels.csv").read_bytes() == labels_before
    command = ["famus_tf", f"--flagfile={run / 'cleaned' / 'cleaned.cfg'}", f"--workdir={tmp_path / 'again'}"]
    assert main.main(command) == 0
    said = capsys.readouterr().out
    assert "150 training images of 8x8x1 in 10 classes" in said and "400 test" in said
    assert np.isfinite(float(rows_of(tmp_path / "again" / "labels.csv")[0]["suspicion"]))


def test_lists_that_a_run_was_trained_on_stay(trained, tmp_path, capsys):
    """The next ones are written beside them."""
    folder = tmp_path / "run"
    shutil.copytree(trained["workdir"], folder, ignore=shutil.ignore_patterns("cleaned*"))
    act = trained | {"mode": "clean", "clean_share": 0.25, "workdir": str(folder)}
    for _ in range(2):
        modes.run(config.from_values(act))
    assert not (folder / "cleaned_2").exists()
    before = (folder / "cleaned" / "train.csv").read_bytes()
    (folder / "cleaned" / "run").mkdir()
    capsys.readouterr()
    modes.run(config.from_values(act | {"clean_share": 0.5}))
    assert f"{folder / 'cleaned_2'}: " in capsys.readouterr().out
    assert (
        (folder / "cleaned" / "train.csv").read_bytes() == before != (folder / "cleaned_2" / "train.csv").read_bytes()
    )


def test_a_list_with_lines_missing_is_refused(trained, tmp_path):
    """What is not in it would go without a word."""
    folder = tmp_path / "run"
    shutil.copytree(trained["workdir"], folder, ignore=shutil.ignore_patterns("cleaned*"))
    lines = (folder / "labels.csv").read_text().splitlines(keepends=True)
    (folder / "labels.csv").write_text("".join(lines[:40] + lines[50:]))
    act = config.from_values(trained | {"mode": "clean", "clean_share": 0.25, "workdir": str(folder)})
    with pytest.raises(errors.InputError, match=r"labels\.csv: 10 of the 200 labels of this run are missing, 0 are of"):
        modes.run(act)
    assert not (folder / "cleaned").exists()


def test_nothing_to_do_and_nothing_left(trained):
    with pytest.raises(errors.InputError, match="--mode=clean without what is not trusted: expected --marks=FILE"):
        config.from_values(trained | {"mode": "clean"})
    with pytest.raises(errors.InputError, match="class '0' would have no training image left"):
        modes.run(config.from_values(trained | {"mode": "clean", "clean_share": 1.0}))


def test_a_trusted_set_that_nobody_has_checked_is_judged_and_cleaned(tmp_path):
    """Taken out of the training images, its labels are as good as theirs: they are listed, marked and dropped alike."""
    rng = np.random.default_rng(0)
    for part, name in itertools.product(("train", "test"), ("dark", "light")):
        (tmp_path / "data" / part / name).mkdir(parents=True)
        for k in range(40 if part == "train" else 5):
            is_light = (name == "light") != (part == "train" and k < 8)  # 20% of the training labels are wrong
            pixels = (rng.integers(0, 60, (8, 8, 1)) + 180 * is_light).astype(np.uint8)
            PIL.Image.fromarray(pixels[:, :, 0]).save(tmp_path / "data" / part / name / f"{k}.png")
    flags = {
        "dataset": "folder",
        "data_dir": str(tmp_path / "data"),
        "network": small_networks.save_convolutions(tmp_path / "small.keras", num_classes=2),
        "method": "memory_weight_net",
        "meta_per_class": 10,
        "epochs": 12,
        "batch_size": 10,
        "meta_batch_size": 4,
        "base_learning_rate": 0.1,
        "workdir": str(tmp_path / "run"),
    }
    modes.run(config.from_values(flags))
    rows = rows_of(tmp_path / "run" / "labels.csv")
    assert collections.Counter(row["split"] for row in rows) == {"training": 60, "meta": 20}
    assert len({row["path"] for row in rows}) == 80
    wrong = {row["path"] for row in rows if int(pathlib.Path(row["path"]).stem) < 8}
    meta = [row for row in rows if row["split"] == "meta"]
    bad = [row["path"] in wrong for row in meta]
    assert sum(bad) > 0 and np.mean(bad[: sum(bad)]) >= 0.5  # its wrong labels are not at the end of the list
    modes.run(config.from_values(flags | {"mode": "clean", "clean_share": 0.2}))
    dropped = {row["path"] for row in rows[:16]}
    lists = {
        name: {row["path"] for row in rows_of(tmp_path / "run" / "cleaned" / f"{name}.csv")}
        for name in ("train", "meta")
    }
    assert lists["train"] | lists["meta"] == {row["path"] for row in rows} - dropped
    assert lists["meta"] == {row["path"] for row in meta} - dropped
    page = (tmp_path / "run" / "labels.html").read_text()
    assert "20 are of the trusted set, which nobody has checked" in page and '"trusted":[]' in page


def written_flags(run):
    return command_line.read_config(["famus_tf", f"--flagfile={run / 'cleaned' / 'cleaned.cfg'}"])


def cifar(folder, flags):
    """Flags of a small CIFAR-10 in the layout of its Python files."""
    rng = np.random.default_rng(0)
    place = folder / "data" / "cifar-10-batches-py"
    place.mkdir(parents=True)
    for name in (*(f"data_batch_{k}" for k in range(1, 6)), "test_batch"):
        batch = {b"data": rng.integers(0, 256, (20, 3072), np.uint8), b"labels": [k % 10 for k in range(20)]}
        (place / name).write_bytes(pickle.dumps(batch))
    (place / "batches.meta").write_bytes(pickle.dumps({b"label_names": [f"{k}th".encode() for k in range(10)]}))
    return flags | {"dataset": "cifar10", "data_dir": str(folder / "data")}


@pytest.mark.parametrize("augment", ["auto", "none", "crop", "crop_flip"])
@pytest.mark.parametrize("name", ["digits", "cifar10"])
def test_the_lists_are_read_and_augmented_as_the_run_was(name, augment, trained, tmp_path, monkeypatch):
    """The same pixels, crops and mirror images; the lists work from any folder."""
    flags = trained | {"meta_per_class": 0, "noise": "none", "noise_rate": 0.0, "augment": augment, "train_limit": 100}
    if name == "cifar10":
        flags = cifar(tmp_path, flags | {"train_limit": 0})
        flags["network"] = small_networks.save_convolutions(tmp_path / "small.keras", input_shape=(32, 32, 3))
    monkeypatch.chdir(tmp_path)
    flags["workdir"] = "run"
    before = config.from_values(flags)
    modes.run(before)
    modes.run(config.from_values(flags | {"mode": "clean", "clean_share": 0.02}))
    monkeypatch.chdir("/")
    after = written_flags(tmp_path / "run")
    assert after.data.meta_per_class == 0
    one, other = (build_data.make_dataset(each.data, 0) for each in (before, after))
    for field in ("image_shape", "flip", "crop_padding", *["padding_mode"] * (augment != "none")):
        assert getattr(one, field) == getattr(other, field), field
    lines = label_report.read_csv(tmp_path / "run" / "labels.csv")
    dropped = {line.index for line in lines[: round(0.02 * len(lines))]}
    kept = np.array([index not in dropped for index in one.train_index])
    np.testing.assert_array_equal(one.train_images[kept], other.train_images)
    assert [one.class_names[k] for k in one.train_labels[kept]] == [other.class_names[k] for k in other.train_labels]
    np.testing.assert_array_equal(one.test_images, other.test_images)


@pytest.mark.parametrize(
    ("names", "said"),
    [
        (["0", "1", "none"], ""),
        (["1.0", "2.0"], ""),
        (["1", "01"], ""),
        ([" lead", "b"], "class ' lead': is 'lead' in"),
    ],
)
def test_names_that_look_like_something_else(names, said, tmp_path):
    """A class keeps its name in the cleaned lists, or they are refused."""
    rng = np.random.default_rng(0)
    for part, count in (("train", 6), ("test", 2)):
        for name in names:
            (tmp_path / "data" / part / name).mkdir(parents=True)
            for k in range(count):
                pixels = rng.integers(0, 256, (16, 16, 3), np.uint8)
                PIL.Image.fromarray(pixels).save(tmp_path / "data" / part / name / f"{k}.png")
    flags = {
        "dataset": "folder",
        "data_dir": str(tmp_path / "data"),
        "network": small_networks.save_convolutions(
            tmp_path / "small.keras", input_shape=(16, 16, 3), num_classes=len(names)
        ),
        "method": "cross_entropy",
        "meta_per_class": 0,
        "epochs": 1,
        "batch_size": 4,
        "workdir": str(tmp_path / "run"),
    }
    modes.run(config.from_values(flags))
    act = config.from_values(flags | {"mode": "clean", "clean_share": 0.1})
    if said:
        with pytest.raises(errors.InputError, match=said):
            modes.run(act)
        return
    modes.run(act)
    after = written_flags(tmp_path / "run")
    assert set(build_data.make_dataset(after.data, 0).class_names) == set(names)
