"""Networks from `.keras` files: the same numbers, and a sentence for every file that will not do."""

import keras
import numpy as np
import pytest

from famus_tf import errors, networks
from tests import small_networks


def build(path, shape=(6, 6, 2), classes=3):
    return networks.build(str(path), shape, classes, [0.0] * shape[-1], [1.0] * shape[-1])


def test_a_saved_network_comes_back(tmp_path):
    network = small_networks.residual("float32")
    network.compile("sgd", "mse")
    network.save(tmp_path / "mine.keras")
    images = np.random.default_rng(0).normal(size=(4, 6, 6, 2)).astype("float32")
    loaded = build(tmp_path / "mine.keras")
    np.testing.assert_array_equal(loaded(images), network(images))
    assert [v.path for v in loaded.trainable_variables] == [v.path for v in network.trainable_variables]


def test_any_image_size_and_a_sequential_will_do(tmp_path):
    layers = [keras.layers.Conv2D(4, 3), keras.layers.GlobalAveragePooling2D(), keras.layers.Dense(3)]
    keras.Sequential([keras.Input((None, None, 2)), *layers]).save(tmp_path / "any.keras")
    assert build(tmp_path / "any.keras", (8, 9, 2))(np.zeros((1, 8, 9, 2))).shape == (1, 3)


def test_logits_are_float32_under_a_saved_mixed_policy(tmp_path):
    network = small_networks.residual("mixed_bfloat16")
    network.save(tmp_path / "mixed.keras")
    loaded = build(tmp_path / "mixed.keras")
    assert loaded.get_layer("conv1").compute_dtype == "bfloat16"
    logits = loaded(np.ones((2, 6, 6, 2), "float32"))
    assert logits.dtype == "float32"
    np.testing.assert_array_equal(logits, keras.ops.cast(network(np.ones((2, 6, 6, 2), "float32")), "float32"))


class _Subclassed(keras.Model):
    """No graph of layers; saved with its class not registered."""

    def __init__(self, **kwargs):
        super().__init__(**kwargs)
        self.dense = keras.layers.Dense(3)

    def call(self, images):
        return self.dense(images)


@keras.saving.register_keras_serializable("famus_tf_tests")
class _Registered(_Subclassed):
    pass


def _called(model):
    model(np.zeros((1, 6, 6, 2)))
    return model


def wrong_networks():
    """Name -> (network, what the error says)."""
    images = keras.Input((6, 6, 2))
    flat = keras.layers.Flatten()(images)
    other = keras.Input((3,))
    logits = keras.layers.Dense(3)(flat)
    return {
        "inputs": (keras.Model([images, other], keras.layers.Add()([logits, other])), "has 2 inputs and 1 outputs"),
        "outputs": (keras.Model(images, [logits, flat]), "has 1 inputs and 2 outputs"),
        "classes": (
            keras.Model(images, keras.layers.Dense(4)(flat)),
            r"gives outputs of shape \(4,\); expected \(3,\)",
        ),
        "maps": (keras.Model(images, keras.layers.Dense(3)(images)), r"gives outputs of shape \(6, 6, 3\)"),
        "size": (small_networks.residual("float32", size=8), r"takes images of shape \(8, 8, 2\); .* has \(6, 6, 2\)"),
        "softmax": (keras.Model(images, keras.layers.Dense(3, "softmax", name="top")(flat)), "'top', which gives prob"),
        "softmax_layer": (keras.Model(images, keras.layers.Softmax(name="top")(logits)), "'top', which gives prob"),
        "unregistered": (_called(_Subclassed()), "Keras cannot load it"),
        "subclassed": (_called(_Registered()), "holds a _Registered without a graph of layers; expected a functional"),
    }


@pytest.mark.parametrize(
    "name",
    ["inputs", "outputs", "classes", "maps", "size", "softmax", "softmax_layer", "unregistered", "subclassed"],
)
def test_a_wrong_network_is_one_sentence(tmp_path, name):
    network, said = wrong_networks()[name]
    path = tmp_path / "wrong.keras"
    network.save(path)
    with pytest.raises(errors.InputError, match=said) as caught:
        build(path)
    assert str(caught.value).startswith(f"option `network`={path}: ")
    assert "\n" not in str(caught.value)


def test_no_such_file_and_not_a_keras_file(tmp_path):
    with pytest.raises(errors.InputError, match="no such file"):
        build(tmp_path / "none.keras")
    (tmp_path / "text.keras").write_text("no network")
    with pytest.raises(errors.InputError, match="not a Keras file"):
        build(tmp_path / "text.keras")
