"""The look at the data before a run."""

import csv
import dataclasses
import json

import matplotlib.axes
import numpy as np
import PIL.Image
import pytest

from famus_tf import errors, main
from famus_tf.config import config
from famus_tf.data import dataset
from famus_tf.experiment import build_data
from famus_tf.reports import inspection


def _dataset(**changes):
    labels = np.array([0, 0, 0, 1, 1, 2], np.int32)
    made = dataset.Dataset(
        name="toy",
        train_images=np.arange(6 * 4 * 4, dtype=np.uint8).reshape(6, 4, 4, 1),
        train_labels=labels,
        train_true_labels=np.array([0, 0, 1, 1, 1, 2], np.int32),
        train_index=np.arange(6),
        meta_images=np.zeros((3, 4, 4, 1), np.uint8),
        meta_labels=np.arange(3, dtype=np.int32),
        meta_index=np.arange(3),
        test_images=np.zeros((2, 4, 4, 1), np.uint8),
        test_labels=np.array([0, 2], np.int32),
        class_names=("cat", "dog", "whale"),
        mean=(1.0,),
        std=(1.0,),
        crop_padding=0,
        flip=False,
    )
    return dataclasses.replace(made, **changes)


def test_text():
    lines = inspection.describe(_dataset()).splitlines()
    assert lines[0].startswith("toy: 6 training images of 4x4x1 in 3 classes of 1 to 3, 16.67% of the labels wrong")
    assert lines[1:3] == [
        "largest class over smallest, by the given labels: 3.00",
        "largest class over smallest, by the true labels: 3.00",
    ]
    assert [line.split() for line in lines[4:]] == [
        ["0", "cat", "3", "1", "1", "0.0%"],
        ["1", "dog", "2", "1", "0", "33.3%", "cat", "(1)"],
        ["2", "whale", "1", "1", "1", "0.0%"],
    ]


def test_truth_that_nobody_knows():
    text = inspection.describe(_dataset(train_true_labels=None))
    assert "true labels not known" in text and "wrong" not in text


def test_wrong_labels_whose_true_class_is_unknown(tmp_path):
    made = _dataset(train_true_labels=np.array([0, -1, -1, 1, 1, -1], np.int32))
    lines = inspection.describe(made).splitlines()
    assert "50.00% of the labels wrong" in lines[0] and len(lines) == 6
    assert lines[2].endswith("wrong  (of those with this given label)")
    assert [line.split() for line in lines[3:]] == [
        ["0", "cat", "3", "1", "1", "66.7%"],
        ["1", "dog", "2", "1", "0", "0.0%"],
        ["2", "whale", "1", "1", "1", "100.0%"],
    ]
    titles = []
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(matplotlib.axes.Axes, "set_title", lambda self, text, **how: titles.append((text, how["color"])))
        inspection.write(tmp_path, made, 0)
    right, wrong = "tab:green", "tab:red"
    assert sorted(titles[:3]) == [("cat", right), ("cat\n(wrong)", wrong), ("cat\n(wrong)", wrong)]
    assert titles[3:] == [("dog", right), ("dog", right), ("whale\n(wrong)", wrong)]
    found = json.loads((tmp_path / "inspection.json").read_text())
    assert found["wrong"] == pytest.approx([2 / 3, 0, 1]) and found["wrong_by"] == "given class"


def test_class_without_an_example():
    labels = np.array([0, 0, 0, 1, 1, 1], np.int32)
    text = inspection.describe(_dataset(train_labels=labels))
    assert "by the given labels: infinite: a class has none" in text


def test_many_classes():
    names = tuple(f"c{number}" for number in range(60))
    text = inspection.describe(_dataset(class_names=names))
    assert "... and 20 classes more" in text and "c39" in text and "c40" not in text


def test_examples_are_of_all_classes():
    labels = np.repeat([0, 1, 2], [100, 50, 3])
    chosen = inspection._choose(labels, 12, np.random.default_rng(0))
    assert sorted(np.bincount(labels[chosen])) == [3, 4, 5] and np.all(np.diff(labels[chosen]) >= 0)
    assert len(set(chosen.tolist())) == 12
    assert len(inspection._choose(labels[:4], 12, np.random.default_rng(0))) == 4


@pytest.mark.parametrize("channels", [1, 3])
def test_files(channels, tmp_path):
    images = np.zeros((6, 4, 4, channels), np.uint8)
    path = inspection.write(tmp_path / "run", _dataset(train_images=images), 0)
    assert path.read_bytes().startswith(b"\x89PNG")
    found = json.loads((tmp_path / "run" / "inspection.json").read_text())
    assert found["training"] == [3, 2, 1] and found["wrong"] == [0, pytest.approx(1 / 3), 0]
    assert found["actual_noise_rate"] == pytest.approx(1 / 6)


def test_place_that_cannot_be_written(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(errors.InputError, match="cannot write there"):
        inspection.write(tmp_path / "file" / "run", _dataset(), 0)


def test_mode(tmp_path, capsys):
    flags = ["--dataset=digits", "--noise=symmetric", "--noise_rate=0.4", "--epochs=1", f"--workdir={tmp_path / 'run'}"]
    assert main.main(["main.py", "--mode=inspect", *flags]) == 0
    said = capsys.readouterr().out
    values = {"mode": "inspect", "noise": "symmetric", "noise_rate": 0.4, "epochs": 1}
    settings = config.from_values(values)
    assert build_data.make_dataset(settings.data, settings.run.seed).describe() in said
    assert str(tmp_path / "run" / "examples.png") in said
    assert sorted(path.name for path in (tmp_path / "run").iterdir()) == ["examples.png", "inspection.json"]
    # The same directory can be trained in afterwards.
    assert main.main(["main.py", *flags, "--train_limit=64", "--batch_size=64", "--method=cross_entropy"]) == 0


def test_what_is_read_of_class_folders(tmp_path, capsys):
    for number, name in enumerate(("train/2", "train/10", "train/10/more", "test/2", "valid/10", "__MACOSX")):
        (tmp_path / "data" / name).mkdir(parents=True)
        PIL.Image.new("RGB", (8, 8), (number, 0, 0)).save(tmp_path / "data" / name / "1.png")
    (tmp_path / "data" / "train" / "2" / "notes.txt").touch()
    flags = ["--dataset=folder", f"--data_dir={tmp_path / 'data'}", f"--workdir={tmp_path / 'run'}", "--epochs=1"]
    flags += ["--method=cross_entropy", "--meta_per_class=0"]
    assert main.main(["main.py", "--mode=inspect", *flags]) == 0
    said = capsys.readouterr().out
    for sentence in (
        "valid/ is read as the validation set",
        "files that are no images are not read: 1 *.txt",
        "what systems and programs leave behind is not read: 1 __MACOSX/",
        "images in folders inside class folders have the class of the outer folder: 1, in",
        "class folders that are numbers are names, not class ids: class 0 is '2', class 1 is '10'",
        "no validation images of 1 of 2 classes: 2",
        "no test images of 1 of 2 classes: 10",
    ):
        assert sentence in said
    rows = [line.split() for line in said.splitlines()]
    assert ["0", "2", "1", "0", "0", "1"] in rows and ["1", "10", "2", "0", "1", "0"] in rows
    found = json.loads((tmp_path / "run" / "inspection.json").read_text())
    assert found["class_names"] == ["2", "10"] and len(found["notes"]) == 5
    assert [(part["what"], part["files"]) for part in found["not_read"]] == [("__MACOSX/", 1), ("*.txt", 1)]


def test_the_same_image_in_two_places(tmp_path, capsys):
    rng = np.random.default_rng(0)
    pictures = [PIL.Image.fromarray(rng.integers(0, 256, (8, 8, 3), np.uint8)) for _ in range(8)]
    places = {"train/a": (0, 1, 2), "train/b": (2, 3, 4, 5), "test/a": (0, 7), "test/b": (6,)}
    for name, numbers in places.items():
        (tmp_path / "data" / name).mkdir(parents=True)
        for number in numbers:
            pictures[number].save(tmp_path / "data" / name / f"{number}.png")
    pictures[4].resize((16, 16), PIL.Image.Resampling.NEAREST).save(tmp_path / "data" / "test" / "b" / "4.png")
    flags = ["--dataset=folder", f"--data_dir={tmp_path / 'data'}", f"--workdir={tmp_path / 'run'}", "--epochs=1"]
    flags += ["--method=cross_entropy", "--meta_per_class=0", "--mode=inspect", "--near_duplicates"]
    assert main.main(["main.py", *flags]) == 0
    said = capsys.readouterr().out
    assert "1 of the 7 training images are in the test set as well, such as " in said
    assert "6 training images of 8x8x3 in 2 classes of 2 to 4, " in said
    with open(tmp_path / "run" / "conflicting_labels.csv", newline="", encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    assert [(row["image"], row["set"], row["label"]) for row in rows] == [
        ("0", "training", "a"),
        ("0", "training", "b"),
    ]
    assert [row["path"] for row in rows] == [str(tmp_path / "data" / "train" / name / "2.png") for name in "ab"]
    with open(tmp_path / "run" / "look_alike.csv", newline="", encoding="utf-8") as file:
        pairs = {(pair["path"][-7:], pair["other_path"][-7:]) for pair in csv.DictReader(file)}
    assert pairs == {("a/2.png", "b/2.png"), ("b/4.png", "b/4.png")}
    assert "1 in training and training" in said and "1 in training and test" in said
    found = json.loads((tmp_path / "run" / "inspection.json").read_text())
    assert any("different labels" in note for note in found["notes"])


def test_a_name_of_many_letters_does_not_fill_the_screen():
    text = inspection.describe(_dataset(class_names=("a", "b" * 160_000, "c")))
    assert max(map(len, text.splitlines())) < 200 and "characters ...]" in text
