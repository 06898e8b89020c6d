"""The network as a Keras file, for LiteRT and for ONNX: each asked about images beside the network itself."""

import importlib.util

import keras
import numpy as np
import pytest

from famus_tf import errors, networks
from famus_tf.evaluation import portable

SHAPE = (16, 16, 3)
# Equal means and unequal ones: the first are kept as one number in a graph.
STATISTICS = {"equal": ([127.5] * 3, [64.0] * 3), "unequal": ([120.0, 110.0, 100.0], [60.0, 61.0, 62.0])}


def images(count=100):
    return np.random.default_rng(0).integers(0, 256, (count, *SHAPE), np.uint8)


def made(name="small_preact", policy="float32", statistics="unequal", head="linear"):
    """A network whose BatchNorm has seen images."""
    keras.utils.set_random_seed(0)
    mean, std = (np.float32(values) for values in STATISTICS[statistics])
    network = networks.build(name, SHAPE, 4, mean, std, policy, head)
    network(images(32).astype(np.float32), training=True)
    return network


def said_by(network):
    return keras.ops.softmax(portable.in_float32(network)(images(), training=False)).numpy()


@pytest.mark.parametrize(
    ("policy", "statistics", "head"),
    [("float32", "equal", "linear"), ("float32", "unequal", "cosine"), ("mixed_bfloat16", "unequal", "linear")],
)
def test_every_format_says_the_same(tmp_path, policy, statistics, head):
    network = made(policy=policy, statistics=statistics, head=head)
    portable.write(network, tmp_path, portable.FILES, SHAPE)
    said = said_by(network)
    assert {path.name for path in tmp_path.iterdir()} == set(portable.FILES.values())
    for name in portable.FILES.values():
        found = portable.agreement(tmp_path / name, images(), said)
        assert found.same_class == found.images == 100, name
        assert found.largest_difference < 1e-5
    # One image as well as many: the first dimension is free.
    for name in portable.FILES.values():
        np.testing.assert_allclose(portable.load(tmp_path / name)(images()[:1]), said[:1], atol=1e-5)


def test_the_float32_copy_is_the_network():
    """Float32 of float32 to the bit, networks in networks included; the copy's variables are its own."""
    inner = made()
    pair = keras.Model(inner.inputs[0], keras.layers.Average()([inner.output, made("resnet32")(inner.inputs[0])]))
    copy = portable.in_float32(pair)
    np.testing.assert_array_equal(copy(images(8), training=False), pair(images(8), training=False))
    copy.set_weights([np.zeros_like(weight) for weight in copy.get_weights()])
    assert any(np.any(weight) for weight in pair.get_weights())
    assert {layer.compute_dtype for layer in portable.in_float32(made(policy="mixed_bfloat16")).layers} == {"float32"}


@pytest.mark.quick
def test_what_says_something_else_is_not_kept(tmp_path):
    keras.utils.set_random_seed(0)
    inputs = keras.Input(SHAPE)
    network = keras.Model(inputs, keras.layers.Dense(4)(keras.layers.GlobalAveragePooling2D()(inputs)))
    portable.write(network, tmp_path, ["keras"], SHAPE)
    said = said_by(network)
    assert portable.agreement(tmp_path / "model.keras", images(), said).images == 100
    with pytest.raises(errors.InputError, match=r"model\.keras: the same class for \d+ of 100 images, .* is not kept"):
        portable.agreement(tmp_path / "model.keras", images(), said[:, ::-1])
    assert not (tmp_path / "model.keras").exists()


@pytest.mark.quick
def test_a_package_that_is_missing(monkeypatch):
    found = importlib.util.find_spec
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None if name == "tf2onnx" else found(name))
    portable.check_packages(["keras", "tflite"])
    with pytest.raises(errors.InputError, match=r"needs tf2onnx: expected .* pip install"):
        portable.check_packages(["onnx"])
