"""`--export_format`: what lies beside the SavedModel after training and after `--mode=export`, and what is refused."""

import importlib.util
import types

import numpy as np
import pytest

from famus_tf import errors, main
from famus_tf.evaluation import portable, saved_model
from famus_tf.experiment import export
from tests import small_networks
from tests.experiment import test_experiment


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    """The run directory, its flags, and what training said."""
    folder = tmp_path_factory.mktemp("formats")
    network = small_networks.save_convolutions(folder / "small.keras")
    flags = [*test_experiment.FLAGS, f"--network={network}", f"--workdir={folder / 'run'}"]
    assert main.main(["famus_tf", *flags, "--export_format=tflite,onnx,saved_model"]) == 0
    return folder / "run", flags


def test_after_training(trained):
    folder = trained[0] / "export"
    assert {path.name for path in folder.glob("model.*")} == {"model.tflite", "model.onnx"}
    images = np.random.default_rng(0).integers(0, 256, (5, 8, 8, 1), np.uint8)
    classify, _ = saved_model.load_classifier(folder)
    for name in ("model.tflite", "model.onnx"):
        np.testing.assert_allclose(portable.load(folder / name)(images), classify(images), atol=1e-5)


def test_later(trained, capsys):
    workdir, flags = trained
    assert main.main(["famus_tf", *flags, "--mode=export", "--export_format=keras"]) == 0
    assert {path.name for path in (workdir / "export").glob("model.*")} == {"model.keras"}
    assert f"{workdir / 'export' / 'model.keras'}: the same class for 100 of 100 images" in capsys.readouterr().out
    assert main.main(["famus_tf", *flags, "--mode=export"]) == 0
    assert not list((workdir / "export").glob("model.*"))
    assert "model." not in capsys.readouterr().out


@pytest.mark.quick
def test_what_is_refused_before_training(tmp_path, capsys, monkeypatch):
    flags = [*test_experiment.FLAGS, f"--workdir={tmp_path / 'run'}"]
    assert main.main(["famus_tf", *flags, "--export_format=savedmodel"]) == 2
    expected = "--export_format=savedmodel: expected names of saved_model, keras, tflite, onnx joined by commas"
    assert expected in capsys.readouterr().err
    found = importlib.util.find_spec
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None if name == "onnxruntime" else found(name))
    assert main.main(["famus_tf", *flags, "--export_format=onnx"]) == 2
    assert "--export_format=onnx needs onnxruntime: expected" in capsys.readouterr().err
    assert not (tmp_path / "run").exists()


def test_a_format_that_says_something_else_costs_nothing_but_itself(tmp_path, capsys, monkeypatch):
    """Results and the report are written all the same; the command fails with one line."""
    network = small_networks.save_convolutions(tmp_path / "small.keras")
    flags = [*test_experiment.FLAGS, f"--network={network}", f"--workdir={tmp_path / 'run'}"]

    def failing(path, *_):
        raise errors.InputError(f"{path}: says something else")

    monkeypatch.setattr(portable, "agreement", failing)
    assert main.main(["famus_tf", *flags, "--export_format=keras"]) == 2
    assert "model.keras: says something else" in capsys.readouterr().err
    assert all((tmp_path / "run" / name).exists() for name in ("results.json", "labels.csv", "labels.html"))


@pytest.mark.quick
def test_the_figures_of_the_weights_that_are_exported():
    """Within an epoch there are none; with a validation set the best epoch's; of one of two networks its own."""
    first, second = ({"epoch": k, "step": 10 * k, "test_accuracy": k / 10} for k in (1, 2))
    better = [{**epoch, "test_accuracy": 0.9 + epoch["epoch"] / 100} for epoch in (first, second)]

    def found(epochs, step, network="one", of_networks=()):
        histories = [types.SimpleNamespace(history=history) for history in of_networks]
        history = types.SimpleNamespace(epochs=epochs, step=step, of_networks=histories)
        return export._epoch_of(types.SimpleNamespace(history=history, networks=["one", "two"]), network)

    assert found([], 3) == {}
    assert found([first, second], 20) == second
    assert found([first, second], 23) == {}
    judged = [first | {"validation_accuracy": 0.7}, second | {"validation_accuracy": 0.6}]
    assert found(judged, 23) == judged[0]
    assert found([first, second], 20, "two", [[first, second], better]) == better[1]
    assert found([first, second], 20, "the mean", [better, better]) == second
    assert found(judged, 23, "two", [judged, better]) == better[0]
