"""Pretrained weights from a file with the preprocessing that they were trained with; what cannot be had."""

import keras
import numpy as np
import pytest

from famus_tf import errors, networks
from famus_tf.networks import applications

_IMAGES = np.random.default_rng(0).integers(0, 256, (2, 80, 80, 3), np.uint8)
_KERAS = {"resnet50": keras.applications.resnet50, "inception_resnet_v2": keras.applications.inception_resnet_v2}


@pytest.mark.parametrize("name", ["resnet50", "inception_resnet_v2"])
def test_weights_of_a_file_and_their_preprocessing(name, tmp_path):
    body = applications.APPLICATIONS[name].make(include_top=False, weights=None, input_shape=(80, 80, 3), pooling="avg")
    path = tmp_path / "body.weights.h5"
    body.save_weights(path)
    network = networks.build(name, (80, 80, 3), 5, [1.0] * 3, [2.0] * 3, pretrained=str(path))
    features = keras.Model(network.inputs, network.get_layer("classifier").input)
    expected = body(_KERAS[name].preprocess_input(_IMAGES.astype(np.float32)))
    np.testing.assert_allclose(features(_IMAGES), expected, rtol=1e-4, atol=1e-5)
    moved = [layer.momentum for layer in network.layers if isinstance(layer, keras.layers.BatchNormalization)]
    assert set(moved) == {0.9}
    if name == "resnet50":
        network.save(tmp_path / "whole.keras")
        again = networks.build(str(tmp_path / "whole.keras"), (80, 80, 3), 5, [0.0] * 3, [1.0] * 3)
        np.testing.assert_allclose(again(_IMAGES), network(_IMAGES), rtol=1e-5, atol=1e-6)


def _build(**changes):
    arguments = {"name": "resnet50", "input_shape": (32, 32, 3), "num_classes": 5, "mean": [0.0] * 3, "std": [1.0] * 3}
    return networks.build(**(arguments | changes))


def test_what_cannot_be_had(tmp_path, monkeypatch):
    for changes, message in (
        ({"pretrained": str(tmp_path / "no.h5")}, r"no\.h5: no such file; expected none, imagenet or the path"),
        ({"input_shape": (32, 32, 1), "pretrained": "imagenet"}, "for images of 3 channels, found 1"),
    ):
        with pytest.raises(errors.InputError, match=message):
            _build(**changes)
    (tmp_path / "text.weights.h5").write_text("no weights")
    with pytest.raises(
        errors.InputError, match=r"not the weights of keras\.applications' resnet50 without its last"
    ) as raised:
        _build(pretrained=str(tmp_path / "text.weights.h5"))
    assert "\n" not in str(raised.value)

    def no_network(*arguments, **options):
        raise OSError("URL fetch failure")

    monkeypatch.setattr("keras.src.applications.resnet.file_utils.get_file", no_network)
    with pytest.raises(errors.InputError, match=r"could not fetch the weights of resnet50 \(URL fetch failure\)"):
        _build(pretrained="imagenet")
