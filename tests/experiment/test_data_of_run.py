"""Data that change between a run and its resume, export or evaluation: refused, or told, never taken for the same."""

import json
import pathlib
import shutil

import keras
import numpy as np
import PIL.Image
import pytest
from sklearn.datasets import load_digits

from famus_tf import main
from famus_tf.evaluation import saved_model
from tests import co_divide_runs, small_networks

FLAGS = (
    "--dataset=folder",
    "--method=cross_entropy",
    "--meta_per_class=0",
    "--batch_size=16",
    "--base_learning_rate=0.1",
    "--checkpoint_every=100",
)


def write(path, image):
    path.parent.mkdir(parents=True, exist_ok=True)
    PIL.Image.fromarray(image).save(path)


def make_images(folder):
    """Three classes, 16 training and 8 test images of each."""
    digits = load_digits()
    pixels = np.round(digits.images * 255 / 16).astype(np.uint8)
    for label, name in enumerate(("cat", "dog", "owl")):
        for number, image in enumerate(pixels[digits.target == label][:24]):
            write(folder / ("test" if number < 8 else "train") / name / f"{number:02d}.png", image)
    return folder


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    """A folder with images and a finished run on them, for copies; the accuracy that it came to."""
    place = tmp_path_factory.mktemp("finished")
    make_images(place / "images")
    keras.utils.set_random_seed(0)
    network = small_networks.save_convolutions(place / "small.keras", batch_norm=False, num_classes=3)
    flags = (*FLAGS, f"--network={network}", "--epochs=10")
    with pytest.MonkeyPatch.context() as patch:
        export = saved_model.export
        co_divide_runs.without_pictures(patch)
        patch.setattr(saved_model, "export", export)
        assert call(place, flags) == 0
    accuracy = json.loads((place / "run" / "results.json").read_text())["test_accuracy"]["last"]
    assert accuracy > 0.5
    return place, flags, accuracy


@pytest.fixture
def copy(finished, tmp_path, monkeypatch):
    """A copy of it, which a test may change, and a function of flags that gives the exit status."""
    co_divide_runs.without_pictures(monkeypatch)
    place, flags, _ = finished
    for name in ("images", "run"):
        shutil.copytree(place / name, tmp_path / name)
    return tmp_path, lambda *more, images="images": call(tmp_path, (*flags, *more), images)


def call(place, flags, images="images"):
    return main.main(["famus_tf", *flags, f"--data_dir={place / images}", f"--workdir={place / 'run'}"])


def rename(images, old, new):
    for part in ("train", "test"):
        (images / part / old).rename(images / part / new)


def add_class(images, *parts):
    for part in parts:
        shutil.copytree(images / part / "owl", images / part / "ant")


def swap(images):
    """Two files change their classes, so that names, numbers and pixels are there as before."""
    one, other = images / "train" / "cat" / "10.png", images / "train" / "dog" / "11.png"
    one.rename(images / "train" / "dog" / "10b.png")
    other.rename(images / "train" / "cat" / "11b.png")


CHANGES = {
    "renamed class": (lambda images: rename(images, "owl", "aardvark"), "class 'owl' is gone and class 'aardvark' is"),
    "new class": (lambda images: add_class(images, "train", "test"), "class 'ant' is new (4 classes, 3 then)"),
    "one image more": (
        lambda images: shutil.copy(images / "train" / "cat" / "10.png", images / "train" / "cat" / "00.png"),
        "training set: 'train/cat/00.png' is new (49 images, 48 then)",
    ),
    "one image less": (
        lambda images: (images / "train" / "cat" / "10.png").unlink(),
        "training set: 'train/cat/10.png' is gone (47 images, 48 then)",
    ),
    "other labels": (swap, "training set: 'train/cat/10.png' is gone and 'train/cat/11b.png' is new"),
    "another photograph": (
        lambda images: write(images / "train" / "cat" / "10.png", np.full((8, 8), 9, np.uint8)),
        "training set: 'train/cat/10.png' has other pixels",
    ),
}


@pytest.mark.parametrize("name", CHANGES)
def test_training_on_and_export_are_refused(copy, capsys, name):
    place, run = copy
    change, said = CHANGES[name]
    before = {path: path.read_bytes() for path in (place / "run").rglob("*") if path.is_file()}
    change(place / "images")
    for mode in ("train", "export"):
        assert run(f"--mode={mode}") == 2
        error = capsys.readouterr().err
        assert f"famus_tf: error: {place / 'run'}: made with other data; {said}" in error and error.count("\n") == 1
    assert {path: path.read_bytes() for path in (place / "run").rglob("*") if path.is_file()} == before


def test_a_test_image_more_is_refused_in_training_and_told_in_evaluation(copy, capsys):
    place, run = copy
    # The same pixels in other bytes: of a file of the same bytes the training image would be taken out.
    with PIL.Image.open(place / "images" / "train" / "cat" / "10.png") as image:
        image.save(place / "images" / "test" / "cat" / "99.png", compress_level=0)
    said = f"{place / 'run'}: made with other data; test set: 'test/cat/99.png' is new (25 images, 24 then)"
    assert run() == 2
    assert said in capsys.readouterr().err
    assert run("--mode=export") == 0
    assert run("--mode=evaluate") == 0
    shown = capsys.readouterr().out
    assert said in shown
    assert f"{place / 'run'}: 1 of the images that are evaluated were trained on, such as test/cat/99.png\n" in shown


def accuracy_of(shown):
    return float(shown.split("test accuracy ")[1].split(",")[0])


def test_evaluation_goes_by_the_names_of_classes(copy, finished, capsys):
    """A class folder more, which comes first, shifts all ids; its images are in no set that is evaluated."""
    place, run = copy
    add_class(place / "images", "train")
    assert run("--mode=evaluate") == 0
    shown = capsys.readouterr().out
    assert accuracy_of(shown) == pytest.approx(finished[2], abs=5e-5)
    assert (
        "made with other classes; class 'ant' is new (4 classes, 3 then); classes are compared by their names" in shown
    )


@pytest.mark.parametrize("change", ["renamed", "more"])
def test_a_class_that_the_network_does_not_know_is_not_evaluated(copy, capsys, change):
    place, run = copy
    if change == "more":
        add_class(place / "images", "train", "test")
    else:
        rename(place / "images", "owl", "ant")
    assert run("--mode=evaluate") == 2
    assert capsys.readouterr().err == (
        f"famus_tf: error: {place / 'run' / 'export'}: class 'ant' of the test set is none of the 3 classes that the "
        "network knows, cat, dog, owl; expected one of these\n"
    )


def test_an_export_of_other_classes_than_its_list(copy, capsys):
    place, run = copy
    (place / "run" / "export" / "class_names.json").write_text('["cat", "dog"]')
    assert run("--mode=evaluate") == 2
    assert "class 'owl' of the test set is none of the 2 classes" in capsys.readouterr().err
    (place / "run" / "export" / "class_names.json").write_text("{")
    assert run("--mode=evaluate") == 2
    assert "class_names.json: not readable" in capsys.readouterr().err


def test_a_run_of_an_earlier_version_goes_on_with_a_line(copy, capsys):
    place, run = copy
    workdir = place / "run"
    written = (workdir / "data.json").read_text()
    assert (workdir / "export" / "data.json").read_text() == written
    for name in ("data.json", "data.tsv.gz"):
        (workdir / name).unlink()
    assert run() == 0
    assert (
        f"{workdir}: an earlier version began it, and did not keep what data it was made with"
        in capsys.readouterr().out
    )
    assert (workdir / "data.json").read_text() == written  # from now on it does


def test_a_run_of_an_earlier_version_whose_test_set_was_drawn_is_refused(copy, capsys):
    place, run = copy
    (place / "run" / "data.json").unlink()
    shutil.rmtree(place / "images" / "test")
    for folder in (place / "images" / "train").iterdir():
        folder.rename(place / "images" / folder.name)
    (place / "images" / "train").rmdir()
    assert run() == 2
    assert "an earlier version began it, and drew another test set out of the" in capsys.readouterr().err


def test_a_run_of_an_earlier_version_still_sees_other_classes_and_numbers(copy, capsys):
    place, run = copy
    (place / "run" / "data.json").unlink()
    cat = place / "images" / "train" / "cat"
    shutil.copy(cat / "10.png", cat / "00.png")
    assert run() == 2
    assert "ckpt-30: made with 48 training images, there are 49; expected the data" in capsys.readouterr().err
    rename(place / "images", "owl", "aardvark")
    assert run() == 2
    assert "made with other data; class 'owl' is gone and class 'aardvark' is new" in capsys.readouterr().err


def test_moved_data_are_the_same(copy):
    place, run = copy
    (place / "images").rename(place / "elsewhere")
    assert run(images="elsewhere") == 0


def test_a_file_name_that_is_no_utf8(copy, capsys):
    place, run = copy
    cat = place / "images" / "train" / "cat"
    shutil.copy(cat / "10.png", pathlib.Path(f"{cat}/caf\udce9.png"))
    assert run() == 2
    assert r"training set: 'train/cat/caf\\xe9.png' is new (49 images, 48 then)" in capsys.readouterr().err
