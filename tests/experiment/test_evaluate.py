"""An export, a Keras file and a checkpoint on a data set."""

import json
import pathlib

import keras
import numpy as np
import PIL.Image
import pytest

from famus_tf import errors
from famus_tf.config import config
from famus_tf.experiment import modes
from tests import small_networks


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    folder = tmp_path_factory.mktemp("evaluated")
    flags = {
        "dataset": "digits",
        "network": small_networks.save_convolutions(folder / "small.keras", count=2),
        "method": "cross_entropy",
        "train_limit": 200,
        "epochs": 1,
        "batch_size": 50,
        "workdir": str(folder / "run"),
        "label_report": False,
    }
    modes.run(config.from_values(flags))
    return flags


def test_an_export_a_checkpoint_and_a_keras_file(run, capsys):
    workdir = pathlib.Path(run["workdir"])
    found, files = {}, set()  # none is written over another
    for model in ("", "checkpoint", run["network"]):
        capsys.readouterr()
        modes.run(config.from_values(run | {"mode": "evaluate", "model": model}))
        said = capsys.readouterr().out
        (path,) = [path for path in workdir.glob("evaluation/*.json") if path not in files]
        files.add(path)
        found[model] = json.loads(path.read_text())
        assert f"test accuracy {found[model]['accuracy']:.4f}" in said and "macro F1" in said
    assert found[""]["confusion"] == found["checkpoint"]["confusion"] != found[run["network"]]["confusion"]
    trained = json.loads((workdir / "results.json").read_text())
    assert found[""]["accuracy"] == pytest.approx(trained["test_accuracy"]["last"])
    assert np.sum(found[""]["confusion"]) == found[""]["examples"] == 400
    for kind in ("confusion", "calibration"):
        picture = PIL.Image.open(workdir / "evaluation" / f"digits_test_{kind}.png")
        assert np.ptp(np.asarray(picture.convert("L"))) > 100


@pytest.mark.parametrize("content", [None, b"no zip"])
def test_a_model_that_is_none_is_one_line(run, tmp_path, content):
    path = tmp_path / "other.keras"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(errors.InputError, match=r"other\.keras: .*expected a Keras file with a network"):
        modes.run(config.from_values(run | {"mode": "evaluate", "model": str(path)}))
    with pytest.raises(errors.InputError, match="no SavedModel to evaluate"):
        modes.run(config.from_values(run | {"mode": "evaluate", "model": str(tmp_path)}))


def test_a_network_of_more_classes_is_refused(run, tmp_path):
    images = keras.Input((8, 8, 1))
    bias = keras.initializers.Constant([0.0] * 11 + [9.0])
    logits = keras.layers.Dense(12, kernel_initializer="zeros", bias_initializer=bias)(keras.layers.Flatten()(images))
    keras.Model(images, logits).save(tmp_path / "other.keras")
    with pytest.raises(errors.InputError, match=r"other\.keras: has more classes than the 10 of digits"):
        modes.run(config.from_values(run | {"mode": "evaluate", "model": str(tmp_path / "other.keras")}))


def colours(folder, names, count=3):
    """A folder data set of images of noise."""
    rng = np.random.default_rng(0)
    for part in ("train", "test"):
        for name in names:
            (folder / part / name).mkdir(parents=True)
            for i in range(count):
                image = PIL.Image.fromarray(rng.integers(0, 256, (12, 12, 3), np.uint8))
                image.save(folder / part / name / f"{i}.png")
    return str(folder)


def always(path, k, classes, bias=1.0):
    """A Keras file of a network that always says class k."""
    images = keras.Input((12, 12, 3))
    biases = keras.initializers.Constant([bias if i == k else 0.0 for i in range(classes)])
    dense = keras.layers.Dense(classes, kernel_initializer="zeros", bias_initializer=biases)
    path.parent.mkdir(parents=True, exist_ok=True)
    keras.Model(images, dense(keras.layers.Flatten()(images))).save(path)
    return str(path)


def evaluate(folder, data, model):
    flags = {"dataset": "folder", "data_dir": data, "mode": "evaluate", "model": model, "workdir": str(folder / "run")}
    modes.run(config.from_values(flags | {"method": "cross_entropy", "meta_per_class": 0}))
    (path,) = (folder / "run" / "evaluation").glob("*.json")
    return {one["name"]: one["accuracy"] for one in json.loads(path.read_text())["classes"]}


def test_classes_of_a_keras_file_of_an_export_are_those_of_its_names(tmp_path):
    model = always(tmp_path / "export" / "model.keras", 0, 3)
    (tmp_path / "export" / "class_names.json").write_text('["c", "a", "b"]')
    found = evaluate(tmp_path, colours(tmp_path / "data", ("a", "b", "c")), model)
    assert found == {"c": 1.0, "a": 0.0, "b": 0.0}


def test_ids_of_a_keras_file_without_names_are_said_to_be_taken_as_they_are(tmp_path, capsys):
    model = always(tmp_path / "model.keras", 0, 3)
    assert evaluate(tmp_path, colours(tmp_path / "data", ("a", "b", "c")), model)["a"] == 1.0
    assert "model.keras: does not say which classes it has; class ids are taken as they are" in capsys.readouterr().out


def test_a_broken_image_is_no_fault_of_the_network(tmp_path):
    data = colours(tmp_path / "data", ("a", "b"))
    (tmp_path / "data" / "test" / "a" / "broken.png").write_bytes(b"none")
    with pytest.raises(errors.InputError, match=r"broken\.png: "):
        evaluate(tmp_path, data, always(tmp_path / "model.keras", 0, 2))


def test_a_network_that_gives_no_numbers_is_told(tmp_path):
    model = always(tmp_path / "model.keras", 0, 2, bias=float("nan"))
    with pytest.raises(errors.InputError, match=r"model\.keras: gives no numbers for 6 of 6 test images \(NaN\)"):
        evaluate(tmp_path, colours(tmp_path / "data", ("a", "b")), model)
