"""Networks under a mixed policy: what stays in float32, and that the policy ends with the network."""

import keras
import numpy as np
import pytest

from famus_tf import errors, networks


@pytest.mark.parametrize("name", ["small_preact", "wrn40_2", "resnet50"])
def test_variables_ends_and_logits_are_float32(name):
    network = networks.build(name, (32, 32, 3), 4, [100.0] * 3, [50.0] * 3, "mixed_bfloat16")
    assert {v.dtype for v in network.variables} == {"float32"}
    convolutions = [layer for layer in network.layers if isinstance(layer, keras.layers.Conv2D)]
    assert {layer.compute_dtype for layer in convolutions} == {"bfloat16"}
    images = np.random.default_rng(0).integers(0, 256, (2, 32, 32, 3), np.uint8)
    assert network.get_layer("normalise")(images).dtype == "float32"
    assert network(images).dtype == "float32"
    assert keras.config.dtype_policy().name == "float32"
    assert keras.layers.Dense(1).compute_dtype == "float32"


def test_the_policy_of_the_caller_comes_back():
    keras.config.set_dtype_policy("mixed_bfloat16")
    try:
        network = networks.build("small_preact", (8, 8, 1), 4, [100.0], [50.0])
        assert {layer.compute_dtype for layer in network.layers} == {"float32"}
        with pytest.raises(errors.InputError):
            networks.build("resnet50", (8, 8, 1), 4, [100.0], [50.0])
        assert keras.config.dtype_policy().name == "mixed_bfloat16"
    finally:
        keras.config.set_dtype_policy("float32")
