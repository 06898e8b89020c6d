"""Cuts: composition, coverage, where a network must not be cut, and refusals."""

import keras
import numpy as np
import pytest
import tensorflow as tf

from famus_tf import errors, networks
from famus_tf.meta import layers, segments
from tests import small_networks


def compose(parts, images):
    for part in parts:
        images = part.model(images, training=False)
    return images


def builds():
    """A network of each shape that the cuts must cope with."""
    statistics = ((8, 8, 1), 10, [80.0], [90.0])
    sequential = keras.Sequential(
        [keras.Input((6, 6, 2)), keras.layers.Conv2D(4, 3), keras.layers.Flatten(), keras.layers.Dense(3)]
    )
    return {
        "residual": small_networks.residual("float32"),
        "small_preact": networks.build("small_preact", *statistics),
        "preact_resnet18": networks.build("preact_resnet18", (16, 16, 3), 10, [80.0] * 3, [90.0] * 3),
        "sequential": sequential,
    }


@pytest.mark.parametrize("name", ["residual", "small_preact", "preact_resnet18", "sequential"])
def test_segments_compose_to_the_network_and_share_its_variables(name):
    network = builds()[name]
    parts = segments.find_segments(network)
    images = np.random.default_rng(0).normal(size=(2, *network.input_shape[1:])).astype("float32")
    np.testing.assert_array_equal(compose(parts, images), network(images, training=False))
    found = [id(variable) for part in parts for variable in part.variables]
    assert sorted(found) == sorted(id(variable) for variable in network.trainable_variables)
    assert sum(part.cost for part in parts) == pytest.approx(1.0)
    assert 2 <= len(parts) <= segments.MAX_SEGMENTS + 1


def test_preact_resnet18_is_cut_into_many_parts_of_like_cost():
    parts = segments.find_segments(networks.build("preact_resnet18", (32, 32, 3), 10, [80.0] * 3, [90.0] * 3))
    assert 8 <= len(parts) <= 17
    assert max(part.cost for part in parts) < 3 / segments.MAX_SEGMENTS
    assert [v.path.split("/")[0] for v in parts[-1].variables] == ["classifier"] * 2


def test_no_cut_inside_a_block_where_two_tensors_live():
    network = small_networks.residual("float32")
    for part in segments.find_segments(network, max_segments=100):
        assert part.model.layers[-1].name not in ("conv2", "a_bn", "a_relu")


def test_a_layer_used_twice_is_not_cut_apart():
    shared = keras.layers.Dense(4, name="shared")
    x = images = keras.Input((4,))
    for _ in range(3):
        x = keras.layers.ReLU()(shared(x))
    network = keras.Model(images, keras.layers.Dense(2)(x))
    owners = [part for part in segments.find_segments(network, 100) if any("shared" in v.path for v in part.variables)]
    assert len(owners) == 1
    assert sum(layer.name == "shared" for layer in owners[0].model.layers) == 1
    values = np.ones((1, 4), "float32")
    np.testing.assert_array_equal(compose(segments.find_segments(network, 100), values), network(values))


def test_input_used_late_forbids_the_cuts_before():
    images = keras.Input((4,))
    x = keras.layers.Dense(4, name="one")(keras.layers.Dense(4, name="zero")(images))
    x = keras.layers.Concatenate(name="join")([x, images])
    parts = segments.find_segments(keras.Model(images, keras.layers.Dense(2, name="two")(x)), 100)
    assert [part.model.layers[-1].name for part in parts] == ["join", "two"]


class _Subclassed(keras.Model):
    def call(self, images):
        return images


def test_refusals():
    one, other = keras.Input((4,)), keras.Input((4,))
    dense = keras.layers.Dense(2)
    for network, said in (
        (_Subclassed(), "functional"),
        (keras.Model([one, other], dense(keras.layers.Add()([one, other]))), "2 inputs"),
        (keras.Model(one, [dense(one), dense(one)]), "2 outputs"),
    ):
        with pytest.raises(errors.InputError, match=said):
            segments.find_segments(network)
    frozen = keras.Model(one, keras.layers.ReLU()(one))
    with pytest.raises(errors.InputError, match="nothing to train"):
        layers.find_gated_layers(segments.find_segments(frozen))


def test_frozen_lower_layers_are_left_alone():
    import famus_tf

    network = small_networks.residual("float32")
    for layer in network.layers:
        layer.trainable = layer.name in ("conv3", "classifier")
    before = network.get_layer("conv1").kernel.numpy()
    trainer = famus_tf.FaMUS(network, selector=famus_tf.GradientSampler(1))
    trainer.compile(keras.optimizers.SGD(0.1))
    images, labels = tf.random.stateless_normal([4, 6, 6, 2], [1, 2]), tf.constant([0, 1, 2, 0])
    trainer.step(((images, labels), (images, labels)))
    assert {layer.name.split("/")[-1] for layer in trainer.gated_layers} == {"conv3", "classifier"}
    np.testing.assert_array_equal(network.get_layer("conv1").kernel, before)
