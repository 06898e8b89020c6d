"""The stages of a step: what they compute, that they leave the trainer alone, and the arithmetic of the prefixes."""

import time

import keras
import numpy as np
import pytest
import tensorflow as tf

import famus_tf
from famus_tf import stage_times
from tests import small_networks

ALPHA = 0.1


def make(meta_learner=None, selector=None, **options):
    network = small_networks.residual("float32")
    trainer = famus_tf.FaMUS(network, meta_learner or famus_tf.MWNet(), selector or famus_tf.AllLayers(), **options)
    trainer.compile(keras.optimizers.SGD(ALPHA, momentum=0.9))
    return trainer


@pytest.fixture
def data():
    rng = np.random.default_rng(0)
    return tuple(
        (tf.constant(rng.normal(size=(n, 6, 6, 2)), tf.float32), tf.constant(rng.integers(0, 3, n))) for n in (6, 4)
    )


def gradients(network, images, loss):
    with tf.GradientTape() as tape:
        value = loss(network(images, training=True))
    return tape.gradient(value, [v.value for v in network.trainable_variables])


def test_the_stages_compute_the_step(data):
    trainer = make()
    network, learner = trainer.network, trainer.meta_learner
    (images, labels), (meta_images, meta_labels) = data
    found = dict(stage_times.stages(trainer, data))
    assert list(found) == [name for name in stage_times.STAGES if name in found]

    g = gradients(network, images, lambda z: learner.loss(z, labels, learner.parameters(None)))
    for ours, theirs in zip(found["Virtual-Train backward"], g, strict=True):
        np.testing.assert_allclose(ours, theirs, atol=1e-6)
    for variable, gradient in zip(network.trainable_variables, g, strict=True):
        variable.assign_sub(ALPHA * gradient)
    cross_entropy = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    u = gradients(network, meta_images, lambda z: cross_entropy(meta_labels, z))
    for ours, theirs in zip(found["Meta-Train backward"], u, strict=True):
        np.testing.assert_allclose(ours, theirs, atol=1e-6)


@pytest.mark.parametrize(
    ("options", "missing"),
    [
        ({"selector": famus_tf.GradientSampler}, {"Actual-Train forward"}),
        ({"schedule": "one_loop"}, {"Virtual-Train forward", "Virtual-Train backward"}),
        ({"meta_learner": famus_tf.L2R}, {"Actual-Train forward", "Virtual-Train backward"}),
    ],
)
def test_nothing_changes(data, options, missing):
    trainer = make(**{name: value() if callable(value) else value for name, value in options.items()})
    trainer.step(data)  # so that every variable exists and is away from its start
    before = [v.numpy() for v in trainer.variables + trainer.optimizer.variables]
    found = stage_times.measure(trainer, data, rounds=1)
    assert set(stage_times.STAGES) - found.keys() == missing | {stage_times.UPDATES}
    for old, variable in zip(before, trainer.variables + trainer.optimizer.variables, strict=True):
        np.testing.assert_array_equal(old, variable.numpy(), err_msg=variable.path)


def test_stages_add_up_to_the_whole_step(data):
    found = stage_times.measure(make(schedule="one_loop"), data, rounds=3, whole_step=lambda: time.sleep(0.5))
    assert list(found)[-1] == stage_times.UPDATES
    assert found["Actual-Train forward"] > 0
    assert sum(found.values()) == pytest.approx(0.5, abs=0.15)


def test_plain_training_has_no_stages(data):
    with pytest.raises(famus_tf.InputError, match="CrossEntropy has no meta step"):
        stage_times.measure(make(famus_tf.CrossEntropy()), data)
