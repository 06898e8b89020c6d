"""Predictions for images without labels."""

import csv
import functools
import os

import keras
import numpy as np
import PIL.Image
import pytest
import tensorflow as tf

from famus_tf import errors
from famus_tf.config import config
from famus_tf.data.images import image_files, in_graph
from famus_tf.evaluation import saved_model
from famus_tf.experiment import modes, predict

NAMES = ["cat", 'a "dog", or so', "cow"]
TRANSFORM = image_files.Transform(12, 10)


@pytest.fixture(scope="module")
def workdir(tmp_path_factory):
    keras.utils.set_random_seed(0)
    images = keras.Input((10, 10, 3))
    logits = keras.layers.Dense(3)(keras.layers.Flatten()(keras.layers.Rescaling(1 / 64)(images)))
    folder = tmp_path_factory.mktemp("run")
    about = {"preprocessing": {"shorter_side": 12, "mode": "crop", "bits": 16}}
    decode = functools.partial(in_graph.load, transform=TRANSFORM)
    network = keras.Model(images, logits)
    saved_model.export(network, folder / "export", (10, 10, 3), NAMES, decode=decode, metadata=about)
    return folder


@pytest.fixture
def pictures(tmp_path):
    rng = np.random.default_rng(0)
    for name in ("b.png", "a/c.jpg", "a/é, 1.webp", "a/.hidden.png", ".d/e.png"):
        path = tmp_path / "pictures" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        PIL.Image.fromarray(rng.integers(0, 256, (30, 40, 3), np.uint8)).save(path)
    (tmp_path / "pictures" / "a" / "broken.png").write_bytes(b"\x89PNG\r\n\x1a\nand no more")
    (tmp_path / "pictures" / "notes.txt").write_text("no image")
    return tmp_path / "pictures"


def run(workdir, **flags):
    modes.run(config.from_values({"mode": "predict", "workdir": str(workdir), "eval_batch_size": 2} | flags))


def rows_of(path):
    with open(path, newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file))


def test_a_folder(workdir, pictures, tmp_path, capsys):
    run(workdir, images=str(pictures), output=str(tmp_path / "out.csv"))
    said = capsys.readouterr().out
    assert "predictions for 3 of 4 images" in said and f"not read: {pictures / 'a' / 'broken.png'}: " in said
    rows = rows_of(tmp_path / "out.csv")
    names = ["b.png", "a/broken.png", "a/c.jpg", "a/é, 1.webp"]
    assert [row["path"] for row in rows] == [str(pictures / name) for name in names]
    signature = tf.saved_model.load(str(workdir / "export")).signatures["serving_default"]
    for row in rows:
        if row["path"].endswith("broken.png"):
            assert row["error"] and row["class_id"] == row["class_1"] == ""
            continue
        image = image_files.load_for_evaluation(tf.constant(row["path"]), TRANSFORM)
        expected = signature(images=image[tf.newaxis])["probabilities"].numpy()[0]
        order = np.argsort(-expected)
        assert row["error"] == "" and int(row["class_id"]) == order[0] and row["class_name"] == NAMES[order[0]]
        assert [row[f"class_{k}"] for k in (1, 2, 3)] == [NAMES[k] for k in order]
        found = [float(row[f"probability_{k}"]) for k in (1, 2, 3)]
        np.testing.assert_allclose(found, expected[order], rtol=1e-4)
        assert float(row["probability"]) == found[0]


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("b.png\na/c.jpg\n", ["b.png", "a/c.jpg"]),
        ("path,label\nb.png,cat\n\na/é, 1.webp,cow\n", ["b.png", "a/é, 1.webp"]),
        ("a/c.jpg 3\nb.png\tcat\n", ["a/c.jpg", "b.png"]),
        ('"a/é, 1.webp",x\n', ["a/é, 1.webp"]),
        ("b.png\ngone.png\n", ["b.png", "gone.png"]),
    ],
)
def test_a_list(pictures, text, found):
    (pictures / "list.txt").write_text(text, encoding="utf-8")
    assert predict.find_images(pictures / "list.txt") == [os.path.join(pictures, name) for name in found]


def test_a_missing_image_is_told(workdir, pictures, tmp_path, capsys):
    (pictures / "list.txt").write_text("gone.png\nb.png\n")
    run(workdir, images=str(pictures / "list.txt"), output=str(tmp_path / "out.csv"))
    assert "not read: " in capsys.readouterr().out
    first, second = rows_of(tmp_path / "out.csv")
    assert "no such file" in first["error"].lower() and second["error"] == ""


@pytest.mark.parametrize(
    ("images", "said"),
    [
        ("", "--mode=predict without --images"),
        ("nowhere", "there is no such folder or list"),
        ("pictures/.d/empty", "no image in it"),
        ("empty.txt", "is empty; expected a path in each line"),
    ],
)
def test_nothing_to_predict(workdir, pictures, monkeypatch, images, said):
    monkeypatch.chdir(pictures.parent)
    (pictures / ".d" / "empty").mkdir()
    (pictures.parent / "empty.txt").touch()
    with pytest.raises(errors.InputError, match=said):
        run(workdir, images=images)


def test_a_model_that_is_not_ours(tmp_path, pictures):
    with pytest.raises(errors.InputError, match=r"export: no SavedModel"):
        run(tmp_path / "nothing", images=str(pictures))
    tf.saved_model.save(tf.Module(), str(tmp_path / "other" / "export"))
    with pytest.raises(errors.InputError, match=r"export: expected a SavedModel with a signature"):
        run(tmp_path / "other", images=str(pictures))


def test_an_export_of_an_earlier_version(workdir, pictures, tmp_path):
    (tmp_path / "old").mkdir()
    os.symlink(workdir / "export", tmp_path / "old" / "export")
    (workdir / "export" / "metadata.json").rename(workdir / "kept.json")
    try:
        with pytest.raises(errors.InputError, match=r"metadata\.json: not there; expected an export of this version"):
            run(workdir, images=str(pictures))
    finally:
        (workdir / "kept.json").rename(workdir / "export" / "metadata.json")


def test_a_name_that_is_no_utf_8(workdir, pictures, tmp_path):
    name = os.path.join(os.fsencode(pictures), b"\xff.png")
    os.replace(pictures / "b.png", name)
    run(workdir, images=str(pictures), output=str(tmp_path / "out.csv"))
    (row,) = [row for row in rows_of(tmp_path / "out.csv") if "xff" in row["path"] or "udcff" in row["path"]]
    assert not row["error"] and row["class_name"] in NAMES


def test_a_link_to_a_folder_of_its_own_is_not_gone_round(pictures):
    before = predict.find_images(pictures)
    (pictures / "a" / "again").symlink_to(pictures)
    assert predict.find_images(pictures) == before


def test_the_list_is_not_written_over(workdir, pictures):
    path = pictures / "list.csv"
    path.write_text("b.png\n")
    with pytest.raises(errors.InputError, match="is the list of --images; expected another file to write"):
        run(workdir, images=str(path), output=str(path))
    assert path.read_text() == "b.png\n"
