"""The stages of a step: what they compute, that they leave the trainer alone, and the arithmetic of the prefixes."""

import time

import keras
import numpy as np
import pytest
import tensorflow as tf

import famus_tf
from famus_tf.profiling import stage_times
from tests import small_networks

ALPHA = 0.1


def make(meta_learner=None, selector=None, **options):
    network = small_networks.residual("float32")
    trainer = famus_tf.FaMUS(network, meta_learner or famus_tf.MWNet(), selector or famus_tf.AllLayers(), **options)
    trainer.compile(keras.optimizers.SGD(ALPHA, momentum=0.9))
    return trainer


@pytest.fixture
def data():
    return tuple(small_networks.batch(seed, n, "float32") for seed, n in ((0, 6), (1, 4)))


def gradients(network, images, loss):
    with tf.GradientTape() as tape:
        value = loss(network(images, training=True))
    return tape.gradient(value, [v.value for v in network.trainable_variables])


def test_the_stages_compute_the_step(data):
    trainer, strategy = make(), tf.distribute.get_strategy()
    network, learner = trainer.network, trainer.meta_learner
    (images, labels), (meta_images, meta_labels) = data
    names = stage_times.names_of_stages(trainer, strategy, data)
    assert names == [name for name in stage_times.STAGES if name in names]
    with stage_times.unchanged(trainer):
        found = {name: stage_times.compile_prefix(trainer, strategy, name, data)(data) for name in names[:4]}

    g = gradients(network, images, lambda z: learner.loss(z, labels, learner.parameters(None)))
    for ours, theirs in zip(found["Virtual-Train backward"], g, strict=True):
        np.testing.assert_allclose(ours, theirs, atol=1e-6)
    for variable, gradient in zip(network.trainable_variables, g, strict=True):
        variable.assign_sub(ALPHA * gradient)
    cross_entropy = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    u = gradients(network, meta_images, lambda z: cross_entropy(meta_labels, z))
    for ours, theirs in zip(found["Meta-Train backward"], u, strict=True):
        np.testing.assert_allclose(ours, theirs, atol=1e-6)


@pytest.mark.slow
def test_two_replicas_keep_their_own_state(two_replicas, data):
    """What stands in the variables of each replica is there again, and the step can still be traced."""
    with two_replicas.scope():
        trainer = make(selector=famus_tf.GradientSampler())
    shares = tuple(
        tuple(
            two_replicas.experimental_distribute_values_from_function(
                lambda context, part=part: tf.split(part, 2)[context.replica_id_in_sync_group]
            )
            for part in side
        )
        for side in data
    )
    step = tf.function(lambda shares: two_replicas.run(trainer.step, args=(shares,)), autograph=False)
    step(shares)
    variables = trainer.variables + trainer.optimizer.variables

    def state():
        return [copy.numpy() for v in variables for copy in two_replicas.experimental_local_results(v.value)]

    before = state()
    assert set(stage_times.measure(trainer, shares, rounds=1, strategy=two_replicas)) >= {"Meta-Train tangent"}
    for old, new in zip(before, state(), strict=True):
        np.testing.assert_array_equal(old, new)
    step(shares)
    assert any((old != new).any() for old, new in zip(before, state(), strict=True))


@pytest.mark.slow
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
    assert set(stage_times.STAGES) - found.keys() == missing | {stage_times.UPDATES, stage_times.LABEL_GUESSING}
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
