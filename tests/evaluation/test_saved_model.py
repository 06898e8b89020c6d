"""The exported SavedModel, loaded where nothing but TensorFlow is."""

import functools
import io
import json
import pathlib
import subprocess
import sys

import keras
import numpy as np
import PIL.Image
import pytest
import tensorflow as tf

from famus_tf.data.images import image_files, in_graph
from famus_tf.evaluation import saved_model

NAMES = ["cat", "dog", "é", "bird\nor so", "fish", "cow"]
TRANSFORM = image_files.Transform(20, 16)
# No import of this package, nor of Keras.
PROGRAM = """
import pathlib, sys
import numpy as np
import tensorflow as tf
assert "famus_tf" not in sys.modules
signatures = tf.saved_model.load("export").signatures
encoded = [path.read_bytes() for path in sorted(pathlib.Path("files").iterdir())]
images = np.load("images.npy")
said = {
    "encoded_images": signatures["encoded_images"](encoded=tf.constant(encoded)),
    "serving_default": signatures["serving_default"](images=tf.constant(images)),
    "float_images": signatures["float_images"](images=tf.constant(images, tf.float32)),
}
np.savez("said.npz", **{f"{name}/{key}": value.numpy() for name, found in said.items() for key, value in found.items()})
"""


@pytest.fixture(scope="module")
def network():
    keras.utils.set_random_seed(0)
    images = keras.Input((16, 16, 3))
    x = keras.layers.Conv2D(8, 3, strides=2, activation="relu")(keras.layers.Rescaling(1 / 255)(images))
    return keras.Model(images, keras.layers.Dense(len(NAMES), kernel_initializer="normal")(keras.layers.Flatten()(x)))


@pytest.fixture(scope="module")
def exported(network, tmp_path_factory):
    folder = tmp_path_factory.mktemp("exported")
    decode = functools.partial(in_graph.load, transform=TRANSFORM)
    saved_model.export(
        network, folder / "export", (16, 16, 3), NAMES, {"a": 1}, decode=decode, metadata={"dataset": "made up"}
    )
    return folder


def write_files(folder, count):
    """Photographs of many sizes and ways up; returns what evaluation sees of them."""
    rng = np.random.default_rng(0)
    folder.mkdir()
    for k in range(count):
        size = rng.integers(10, 90, 2)
        pixels = rng.integers(0, 256, (6, 6, 3), np.uint8)
        image = PIL.Image.fromarray(pixels).resize([int(side) for side in size], PIL.Image.Resampling.BICUBIC)
        notes = PIL.Image.Exif()
        notes[0x0112] = int(rng.integers(1, 9))
        kind = ("JPEG", "PNG")[k % 2]
        image.save(folder / f"{k:03d}.{kind.lower()}", kind, exif=notes)
    paths = [str(path) for path in sorted(folder.iterdir())]
    return np.stack([image_files.load_for_evaluation(tf.constant(path), TRANSFORM).numpy() for path in paths])


def test_all_signatures_say_of_a_hundred_files_what_evaluation_says_to_the_last_bit(exported, network):
    images = write_files(exported / "files", 100)
    np.save(exported / "images.npy", images)
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM], cwd=exported, env={"TF_CPP_MIN_LOG_LEVEL": "3"}, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr[-2000:]
    said = np.load(exported / "said.npz", allow_pickle=True)
    expected = network(images, training=False).numpy()
    for name in ("serving_default", "float_images", "encoded_images"):
        found = {key.partition("/")[2]: said[key] for key in said.files if key.startswith(name + "/")}
        np.testing.assert_array_equal(found["logits"], said["serving_default/logits"])
        np.testing.assert_allclose(found["logits"], expected, rtol=1e-5, atol=1e-5)
        np.testing.assert_array_equal(found["class_id"], found["logits"].argmax(1))
        names = np.array([text.encode() for text in NAMES], object)
        np.testing.assert_array_equal(found["class_name"], names[found["class_id"]])
        order = np.argsort(-found["probabilities"], axis=1)[:, :5]
        np.testing.assert_array_equal(found["top_class_ids"], order)
        np.testing.assert_array_equal(found["top_class_names"], names[order])
        np.testing.assert_array_equal(found["top_probabilities"], np.take_along_axis(found["probabilities"], order, 1))


def test_what_stands_beside_the_model(exported):
    folder = exported / "export"
    about = json.loads((folder / "metadata.json").read_text())
    assert about["classes"] == NAMES and about["dataset"] == "made up"
    assert about["input"] == {"height": 16, "width": 16, "channels": 3, "values": "0 to 255"}
    assert about["signatures"] == ["serving_default", "float_images", "encoded_images"]
    lines = (folder / "labels.txt").read_text(encoding="utf-8").splitlines()
    assert len(lines) == len(NAMES) and lines[:3] == NAMES[:3]
    assert saved_model.class_names_of(pathlib.Path(folder)) == NAMES


@pytest.mark.parametrize(
    ("images", "said"),
    [
        (np.zeros((1, 9, 16, 3), np.uint8), r"found images of shape.*1 9 16 3.*expected \(n, 16, 16, 3\)"),
        (np.zeros((1, 16, 16, 1), np.uint8), r"1 16 16 1.*expected \(n, 16, 16, 3\)"),
        (np.zeros((1, 16, 16, 3), np.int32), "int32"),
    ],
)
def test_images_of_another_kind_are_refused(exported, images, said):
    loaded = tf.saved_model.load(str(exported / "export"))
    with pytest.raises((ValueError, TypeError, tf.errors.InvalidArgumentError), match=said):
        loaded.signatures["serving_default"](images=tf.constant(images))


def test_a_truncated_file_is_named_for_what_it_is(exported):
    loaded = tf.saved_model.load(str(exported / "export"))
    buffer = io.BytesIO()
    PIL.Image.new("RGB", (40, 40)).save(buffer, "JPEG")
    for content, said in ((buffer.getvalue()[:300], "(?i)jpeg"), (b"GIF89a", "found no JPEG or PNG")):
        with pytest.raises(tf.errors.InvalidArgumentError, match=said):
            loaded.signatures["encoded_images"](encoded=tf.constant([content]))


def test_one_image_or_none(exported):
    loaded = tf.saved_model.load(str(exported / "export"))
    assert loaded.signatures["encoded_images"](encoded=tf.constant([], tf.string))["class_id"].shape == (0,)
    assert loaded.signatures["serving_default"](images=tf.zeros((1, 16, 16, 3), tf.uint8))["class_id"].shape == (1,)
