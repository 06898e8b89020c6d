"""The recipes of docs/data.md: their own lines are run, on small trees in the layouts that they name."""

import os
import pathlib
import shutil
import subprocess

import numpy as np
import PIL.Image
import pytest

from famus_tf import main
from famus_tf.config import command_line
from famus_tf.experiment import build_data
from tests import small_networks

ROOT = pathlib.Path(__file__).resolve().parents[2]


def _recipe(name):
    """The indented lines below a set's name, as a script."""
    text = (ROOT / "docs" / "data.md").read_text().partition("## Further data sets, by list or folder\n")[2]
    text = text.partition("\n## ")[0].partition(f"**{name}**")[2].partition("\n**")[0]
    return "\n".join(line for line in text.splitlines() if line.startswith("    "))


def _run(name, folder):
    """Runs a recipe in `folder`; the dataset of each of its commands."""
    stub = folder / "stub" / "python"
    stub.parent.mkdir()
    stub.write_text('#!/bin/sh\nprintf "%s\\n" "$@" END >> "$CALLS"\n')
    stub.chmod(0o755)
    shutil.copytree(ROOT / "flags", folder / "flags")
    environment = {"PATH": f"{stub.parent}:{os.environ['PATH']}", "CALLS": str(folder / "calls")}
    script = _recipe(name)
    assert "python -m famus_tf.main" in script
    subprocess.run(["bash", "-euc", script], cwd=folder, env=environment, check=True)
    calls = [call.split("\n") for call in (folder / "calls").read_text().split("\nEND\n") if call]
    assert all(call[:2] == ["-m", "famus_tf.main"] for call in calls)
    # Trained as it is printed, shrunk; without the meta steps, whose tracing takes the longest.
    small = "--batch_size=2", "--meta_batch_size=2", "--batches_per_epoch=1", "--resize=18", "--image_size=16"
    for number, call in enumerate(calls):
        classes = _dataset(call).num_classes
        network = small_networks.save_convolutions(folder / f"{number}.keras", True, (16, 16, 3), classes)
        places = f"--network={network}", f"--workdir={folder / f'run{number}'}", "--method=cross_entropy"
        assert main.main([*call[1:], "--flagfile=flags/debug.cfg", *small, *places]) == 0
    # To be looked at, so that images stay files, whose names are compared.
    return [_dataset(call) for call in calls]


def _dataset(call):
    settings = command_line.read_config([*call[1:], "--mode=inspect"])
    return build_data.make_dataset(settings.data, settings.run.seed, decode=False)


@pytest.fixture
def data(tmp_path, monkeypatch):
    """The folder `data`, in the working directory."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "data").mkdir()
    return tmp_path / "data"


def _write(path, size=(20, 24)):
    path.parent.mkdir(parents=True, exist_ok=True)
    # Each file is another image: what is in two sets is not trained on.
    PIL.Image.fromarray(np.full((*size, 3), 90, np.uint8)).save(path, format="JPEG", comment=str(path))


def _lines(path, lines):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("".join(f"{line}\n" for line in lines))


def _labels(images, labels, place="data"):
    return {path.decode().removeprefix(f"{place}/"): label for path, label in zip(images.paths, labels, strict=True)}


def test_food_101n(data):
    release, test = data / "Food-101N_release", data / "food-101"
    keys = [f"{name}/{name[0]}{k}.jpg" for name in ("waffles", "apple_pie", "tacos") for k in range(4)]
    for key in keys:
        _write(release / "images" / key)
    _lines(release / "meta" / "classes.txt", ["class_name", "apple_pie", "tacos", "waffles"])
    _lines(release / "meta" / "imagelist.tsv", ["class_name/key", *keys])
    # The last is in the list under another class, as one is in the set.
    verified = {"waffles/w1.jpg": 1, "waffles/w2.jpg": 0, "apple_pie/a0.jpg": 1, "tacos/t3.jpg": 1, "waffles/t0.jpg": 1}
    _lines(
        release / "meta" / "verified_train.tsv",
        ["class_name/key\tverification_label", *map("%s\t%d".__mod__, verified.items())],
    )
    tested = ["apple_pie/1011328", "waffles/7", "tacos/12", "tacos/9"]
    _lines(test / "meta" / "test.txt", tested)
    for key in tested:
        _write(test / "images" / f"{key}.jpg")
    (made,) = _run("Food-101N", data.parent)
    assert made.class_names == ("apple_pie", "tacos", "waffles")
    ids = {"apple_pie": 0, "tacos": 1, "waffles": 2}
    images, right = "Food-101N_release/images", {"waffles/w1.jpg", "apple_pie/a0.jpg", "tacos/t3.jpg"}
    expected = {f"{images}/{key}": ids[key.partition("/")[0]] for key in keys}
    assert _labels(made.meta_images, made.meta_labels) == {
        k: v for k, v in expected.items() if k[len(images) + 1 :] in right
    }
    assert _labels(made.train_images, made.train_labels) == {
        k: v for k, v in expected.items() if k[len(images) + 1 :] not in right
    }
    assert _labels(made.test_images, made.test_labels) == {
        f"food-101/images/{key}.jpg": ids[key.partition("/")[0]] for key in tested
    }


def test_animal_10n(data):
    expected = {"training": {}, "testing": {}}
    for part, count in (("training", 12), ("testing", 2)):
        for label in range(10):
            for k in range(count):
                _write(data / "animal10n" / part / f"{label}_{k}.jpg", size=(64, 64))
                expected[part][f"{part}/{label}_{k}.jpg"] = label
    (made,) = _run("ANIMAL-10N", data.parent)
    assert made.class_names == tuple("0123456789") and made.image_shape == (64, 64, 3)
    place = "data/animal10n"
    found = _labels(made.train_images, made.train_labels, place) | _labels(made.meta_images, made.meta_labels, place)
    assert found == expected["training"] and np.bincount(made.meta_labels).tolist() == [10] * 10
    assert _labels(made.test_images, made.test_labels, place) == expected["testing"]


def test_webfg_496(data):
    expected = {"train": {}, "val": {}}
    for split, count in (("train", 11), ("val", 2)):
        for label, name in enumerate(("001.Black_footed_Albatross", "002.Laysan_Albatross")):
            for k in range(count):
                _write(data / "web-bird" / split / name / f"{k}, web.jpg")
                expected[split][f"{split}/{name}/{k}, web.jpg"] = label
        _lines(data / "web-bird" / f"{split}-list.txt", (f"{path}:{label}" for path, label in expected[split].items()))
    by_folder, by_list = _run("WebFG-496", data.parent)
    assert by_folder.class_names == ("001.Black_footed_Albatross", "002.Laysan_Albatross")
    assert by_list.class_names == ("0", "1")
    for made in (by_folder, by_list):
        found = _labels(made.train_images, made.train_labels, "data/web-bird")
        found |= _labels(made.meta_images, made.meta_labels, "data/web-bird")
        assert found == expected["train"]
        assert _labels(made.test_images, made.test_labels, "data/web-bird") == expected["val"]
        assert (made.train_images.transform.resize, made.train_images.transform.size) == (512, 448)


def test_imagenet_lt(data):
    wnids, lists = ("n01440764", "n01443537", "n01484850"), {"train": {}, "val": {}, "test": {}}
    for label, wnid in enumerate(wnids):
        counts = (9, 4, 2)[label]
        names = [f"train/{wnid}/{wnid}_{k}.JPEG" for k in range(counts + 20)]
        lists["train"] |= dict.fromkeys(names[:counts], label)
        lists["val"] |= dict.fromkeys(names[counts:], label)
        lists["test"] |= {f"val/ILSVRC2012_val_{3 * k + label:08d}.JPEG": label for k in range(2)}
    for name, labels in lists.items():
        _lines(data / "imagenet" / f"ImageNet_LT_{name}.txt", (f"{path} {label}" for path, label in labels.items()))
        for path in labels:
            _write(data / "imagenet" / path)
    (made,) = _run("ImageNet-LT", data.parent)
    assert made.class_names == ("0", "1", "2")
    place = "data/imagenet"
    assert _labels(made.train_images, made.train_labels, place) == lists["train"]
    assert np.bincount(made.train_labels).tolist() == [9, 4, 2]
    assert _labels(made.test_images, made.test_labels, place) == lists["test"]
    halves = [
        _labels(images, labels, place)
        for images, labels in ((made.meta_images, made.meta_labels), (made.validation.images, made.validation.labels))
    ]
    assert halves[0] | halves[1] == lists["val"] and not halves[0].keys() & halves[1].keys()
    assert [sorted(half.values()) for half in halves] == [[0] * 10 + [1] * 10 + [2] * 10] * 2
