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
    found = {}
    for model in ("", "checkpoint", run["network"]):
        capsys.readouterr()
        modes.run(config.from_values(run | {"mode": "evaluate", "model": model}))
        said = capsys.readouterr().out
        found[model] = json.loads((workdir / "evaluation" / "digits_test.json").read_text())
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
