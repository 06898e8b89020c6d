"""Whole commands on images of other shapes than squares, and training on image files that are not cut at random."""

import itertools
import json

import numpy as np
import PIL.Image
import pytest

from famus_tf import main
from famus_tf.config.data import DataConfig
from famus_tf.data.batches import batch_spec, pipeline
from famus_tf.data.images import image_files
from famus_tf.experiment import build_data
from tests import small_networks


def _write(folder, part, count, height, width):
    """Two classes, dark and light, whose images are told apart at their ends alone."""
    rng = np.random.default_rng(len(part))  # the same image in two sets is not trained on
    for label, name in enumerate("ab"):
        (folder / part / name).mkdir(parents=True, exist_ok=True)
        for number in range(count):
            picture = rng.integers(100, 150, (height, width, 3))
            picture[: height // 4] = rng.integers(0, 60, 3) + 180 * label
            PIL.Image.fromarray(picture.astype(np.uint8)).save(folder / part / name / f"{number}.png")


def _run(folder, shape, *flags):
    network = small_networks.save_convolutions(folder / "a.keras", input_shape=shape, num_classes=2)
    command = ["main.py", "--dataset=folder", f"--data_dir={folder / 'data'}", f"--network={network}"]
    command += [f"--workdir={folder / 'run'}", "--method=cross_entropy", "--meta_per_class=0", "--epochs=6"]
    return main.main([*command, "--batch_size=8", "--base_learning_rate=0.05", *flags])


def test_rectangles_are_trained_evaluated_and_exported(tmp_path, capsys):
    for part in ("train", "test"):
        _write(tmp_path / "data", part, 20, 24, 12)
    assert _run(tmp_path, (24, 12, 3)) == 0
    said = capsys.readouterr().out
    assert "images are read as 24x12 (height x width), the size of all 40 images looked at" in said
    assert "40 training images of 24x12x3" in said
    assert json.loads((tmp_path / "run" / "results.json").read_text())["test_accuracy"]["last"] > 0.9
    assert _run(tmp_path, (24, 12, 3), "--mode=evaluate") == 0


@pytest.mark.parametrize("mode", ["squash", "pad"])
def test_a_mode_that_cuts_nothing_off(mode, tmp_path, capsys):
    """What tells the classes apart is cut off by a crop."""
    for part in ("train", "test"):
        _write(tmp_path / "data", part, 20, 48, 20)
    flags = "--image_size=20", f"--resize_mode={mode}"
    assert _run(tmp_path, (20, 20, 3), *flags) == 0
    assert f"(--resize_mode={mode})" in capsys.readouterr().out
    assert json.loads((tmp_path / "run" / "results.json").read_text())["test_accuracy"]["last"] > 0.9


@pytest.mark.parametrize("flags", [{}, {"image_size": 20, "resize": 24}], ids=["in memory", "streamed"])
def test_no_augmentation(flags, tmp_path):
    for part in ("train", "test"):
        _write(tmp_path, part, 8, 28, 34)
    data = DataConfig(dataset="folder", data_dir=str(tmp_path), meta_per_class=2, augment="none", **flags)
    made = build_data.make_dataset(data, seed=0)
    for images, labels in ((made.train_images, made.train_labels), (made.meta_images, made.meta_labels)):
        spec = batch_spec.BatchSpec("train", 4, seed=0, crop_padding=made.crop_padding, flip=made.flip)
        for batch, _, index in itertools.islice(pipeline.training_batches(images, labels, spec, 0, 5), 5):
            np.testing.assert_array_equal(batch, image_files.as_array(images, index.numpy()))
