"""Networks that cannot be cut, subclassed models and one giant block: trained as exactly as any, with a warning."""

import warnings

import keras
import numpy as np
import pytest
import tensorflow as tf

import famus_tf
from tests import small_networks
from tests.small_networks import batch


class _Whole(keras.Model):
    """The layers of a functional network, called in order; Keras sees no graph."""

    def __init__(self, inside, **kwargs):
        super().__init__(**kwargs)
        self.inside = inside

    def call(self, images, training=False):
        names = {layer.name: layer for layer in self.inside.layers}
        x = names["conv1"](images)
        y = names["conv2"](names["a_relu"](names["a_bn"](x, training=training)))
        x = names["conv3"](names["b_relu"](names["b_bn"](names["add"]([x, y]), training=training)))
        return names["classifier"](names["pool"](names["c_relu"](names["c_bn"](x, training=training))))


@pytest.mark.parametrize("schedule", ["three_stage", "one_loop"])
def test_a_subclassed_model_is_trained_as_the_functional_one(schedule):
    made = []
    for whole in (False, True):
        keras.utils.set_random_seed(7)
        network = small_networks.residual("float64")
        if whole:
            network = _Whole(network, dtype="float64", name="mine")
            network.build((None, 6, 6, 2))
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            trainer = famus_tf.FaMUS(
                network, famus_tf.MWNet(hidden=6, dtype="float64"), famus_tf.AllLayers(), schedule=schedule
            )
        said = [str(one.message) for one in caught if "meta gradient" in str(one.message)]
        assert len(said) == whole and all("network 'mine' is a _Whole, whose graph" in text for text in said)
        trainer.compile(keras.optimizers.SGD(0.3), meta_optimizer=keras.optimizers.SGD(0.5))
        for seed in range(3):
            trainer.step((batch(seed, 8), batch(50 + seed, 5)))
        made.append(trainer)
    assert len(made[1].segments) == 1 and len(made[1].gated_layers) == len(made[0].gated_layers)
    functional, whole = (
        {v.path.split("/", 0)[-1].rsplit("/", 2)[-2] + v.name: v for v in one.network.variables} for one in made
    )
    assert functional.keys() == whole.keys()
    for name, variable in functional.items():
        np.testing.assert_allclose(whole[name].numpy(), variable.numpy(), rtol=1e-9, atol=1e-12, err_msg=name)
    for a, b in zip(*(one.meta_learner.trainable_variables for one in made), strict=True):
        np.testing.assert_allclose(a.numpy(), b.numpy(), rtol=1e-9)


def test_a_subclassed_model_under_the_sampler_and_fit():
    keras.utils.set_random_seed(7)
    network = _Whole(small_networks.residual("float32"), name="mine")
    network.build((None, 6, 6, 2))
    with pytest.warns(UserWarning, match="costs the same whatever is selected"):
        trainer = famus_tf.FaMUS(network, selector=famus_tf.GradientSampler(2))
    trainer.compile(keras.optimizers.SGD(0.1))
    data = tf.data.Dataset.zip(*(tf.data.Dataset.from_tensor_slices(batch(s, 16)).batch(8) for s in (0, 50)))
    before = [variable.numpy() for variable in network.trainable_variables]
    trainer.fit(data, epochs=2, verbose=0)
    assert all(
        np.isfinite(v).all() and np.abs(v - old).max() > 0
        for v, old in zip(network.trainable_variables, before, strict=True)
    )


def test_one_giant_block():
    images = keras.Input((6, 6, 2))
    x, parts = images, []
    for number in range(4):  # each layer sees all before it, so that no place is one tensor wide
        parts.append(keras.layers.Conv2D(4, 3, padding="same", name=f"conv{number}")(x))
        x = keras.layers.Concatenate()([images, *parts])
    network = keras.Model(images, keras.layers.Dense(3)(keras.layers.Flatten()(x)), name="dense")
    with pytest.warns(UserWarning, match=r"network 'dense' has 9\d% of its cost between two places"):
        famus_tf.FaMUS(network)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        famus_tf.FaMUS(small_networks.residual("float32"))


def test_a_model_that_is_not_built():
    with pytest.raises(famus_tf.InputError, match=r"without a graph of layers: expected .* by network\.build\(\(None"):
        famus_tf.FaMUS(_Whole(small_networks.residual("float32")))
