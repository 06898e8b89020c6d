"""Whole steps of every learner and schedule in float64 against nested tapes around whole stages; what is refused."""

import itertools

import keras
import numpy as np
import pytest
import tensorflow as tf

import famus_tf
from famus_tf import errors
from tests import pinned, small_networks
from tests.oracles import nested_tapes
from tests.small_networks import batch

# Exact in float32, which optimizers hold their learning rates in.
ALPHA, BETA, MOMENTUM, DECAY, LAMBDA_G, LAMBDA_R, LAMBDA_COST = 0.25, 8.0, 0.875, 0.0625, 0.5, 0.125, 0.25
CLASSES = 3
GATES = ([1, 1, 1, 1, 1, 1, 1], [0, 0, 1, 0, 0, 1, 0], [0, 0, 0, 0, 0, 1, 0])


# For each a function that makes the learner under test, and one that makes the oracle's from theta. The weights of
# this seed's MW-Net rise from 0.4 to 0.8 between losses of 0 and 4; other seeds' hardly vary.
LEARNERS = {
    "mw_net": (
        lambda: famus_tf.MWNet(hidden=6, seed=15, dtype="float64"),
        lambda theta: nested_tapes.MWNet(theta, BETA),
    ),
    "mw_net_mean": (
        lambda: famus_tf.MWNet(hidden=6, normalize=False, seed=15, dtype="float64"),
        lambda theta: nested_tapes.MWNet(theta, BETA, normalize=False),
    ),
    "l2r": (lambda: famus_tf.L2R(dtype="float64"), lambda theta: nested_tapes.L2R()),
    "mlc": (lambda: famus_tf.MLC(CLASSES, dtype="float64"), lambda theta: nested_tapes.MLC(CLASSES, BETA)),
    "mlc_sum": (
        lambda: famus_tf.MLC(CLASSES, virtual_learning_rate=0.03125, reduction="sum", dtype="float64"),
        lambda theta: nested_tapes.MLC(CLASSES, BETA, tf.reduce_sum),
    ),
}


def make_trainer(learner, schedule, gates, nesterov, lambda_g=LAMBDA_G, objective="paper", **options):
    keras.utils.set_random_seed(7)
    trainer = famus_tf.FaMUS(
        small_networks.residual("float64"),
        meta_learner=LEARNERS[learner][0](),
        selector=pinned.Pinned(gates, learned=True, objective=objective),
        lambda_r=LAMBDA_R,
        lambda_g=lambda_g,
        lambda_cost=LAMBDA_COST,
        weight_decay=DECAY,
        schedule=schedule,
        **options,
    )
    trainer.compile(
        optimizer=keras.optimizers.SGD(ALPHA, momentum=MOMENTUM, nesterov=nesterov),
        meta_optimizer=keras.optimizers.SGD(BETA),
        sampler_optimizer=keras.optimizers.SGD(1.0),
    )
    return trainer


def make_oracle(trainer, learner, schedule, gates, nesterov, **options):
    return nested_tapes.NestedTapes(
        trainer,
        LEARNERS[learner][1](trainer.meta_learner.trainable_variables),
        gates,
        ALPHA,
        MOMENTUM,
        nesterov,
        DECAY,
        virtual_alpha=0.03125 if learner == "mlc_sum" else None,
        schedule=schedule,
        lambda_g=LAMBDA_G,
        lambda_r=LAMBDA_R,
        lambda_cost=LAMBDA_COST,
        **options,
    )


ALL, SOME, TOP = GATES
CASES = [
    *((learner, "three_stage", gates, False) for learner in ("mw_net", "l2r", "mlc") for gates in GATES),
    *(("mw_net", "one_loop", gates, nesterov) for gates in GATES for nesterov in (False, True)),
    ("mw_net_mean", "three_stage", SOME, False),
    ("mw_net_mean", "one_loop", SOME, False),
    ("mlc_sum", "three_stage", SOME, False),
]


@pytest.mark.parametrize(("learner", "schedule", "gates", "nesterov"), CASES)
def test_steps_equal_nested_tapes(learner, schedule, gates, nesterov):
    trainer = make_trainer(learner, schedule, gates, nesterov)
    oracle = make_oracle(trainer, learner, schedule, gates, nesterov)
    start, selector = [v.numpy() for v in trainer.trained_variables], trainer.selector
    for number in range(2):
        data = batch(number, 8), batch(number + 50, 5)
        selector.moved.assign(tf.zeros_like(selector.moved))
        trainer.step(data)
        expected = oracle.step(*data)
        np.testing.assert_allclose(-selector.moved.numpy(), expected.gate_gradient, rtol=1e-5, atol=1e-8)
        for found, pooled in zip(selector.seen[-1], expected.pooled, strict=True):
            np.testing.assert_allclose(found, pooled, rtol=1e-5, atol=1e-7)
    for found, expected, before in zip(trainer.trained_variables, oracle.w, start, strict=True):
        np.testing.assert_allclose(found.numpy(), expected, rtol=1e-9, atol=1e-11)
        assert np.abs(found.numpy() - before).max() > 1e-3
    for found, expected in zip(trainer.meta_learner.trainable_variables, oracle.learner.theta, strict=True):
        np.testing.assert_allclose(found.numpy(), expected, rtol=1e-9, atol=1e-11)


def _follow(trainer, oracle, gates_of_steps):
    """A step of both with each of some gates; what the gates learn in it is the same."""
    for number, gates in enumerate(gates_of_steps):
        trainer.selector.gates = oracle.selection = gates
        trainer.selector.moved.assign(tf.zeros_like(trainer.selector.moved))
        data = batch(number, 8), batch(number + 50, 5)
        trainer.step(data)
        expected = oracle.step(*data)
        np.testing.assert_allclose(-trainer.selector.moved.numpy(), expected.gate_gradient, rtol=1e-5, atol=1e-7)


@pytest.mark.parametrize(
    ("learner", "schedule"), [("mw_net", "three_stage"), ("mw_net", "one_loop"), ("l2r", "three_stage")]
)
def test_scale_free_gates(learner, schedule):
    """Their gradient in three steps, in which the gates are others each time; what trains w and theta is the same."""
    trainer = make_trainer(learner, schedule, SOME, False, objective="scale_free")
    oracle = make_oracle(trainer, learner, schedule, SOME, False, scale_free=True)
    _follow(trainer, oracle, (SOME, TOP, ALL))
    for found, expected in zip(trainer.trained_variables, oracle.w, strict=True):
        np.testing.assert_allclose(found.numpy(), expected, rtol=1e-9, atol=1e-11)


@pytest.mark.parametrize(
    ("learner", "schedule"), [("mw_net", "three_stage"), ("mw_net", "one_loop"), ("l2r", "three_stage")]
)
def test_the_validation_gradient_is_steadied(learner, schedule):
    """Layers that are not reached for a step begin anew; what follows for theta and the gates."""
    trainer = make_trainer(learner, schedule, SOME, False, validation_momentum=0.75)
    oracle = make_oracle(trainer, learner, schedule, SOME, False, validation_momentum=0.75)
    _follow(trainer, oracle, (SOME, ALL, TOP, SOME, SOME))
    for found, expected in zip(trainer.trained_variables, oracle.w, strict=True):
        np.testing.assert_allclose(found.numpy(), expected, rtol=1e-9, atol=1e-11)
    for found, expected in zip(trainer.meta_learner.trainable_variables, oracle.learner.theta, strict=True):
        np.testing.assert_allclose(found.numpy(), expected, rtol=1e-9, atol=1e-11)
    assert {len(seen) for seen in oracle.seen_u} == {0, 2, 5}, "some are not reached, some begin anew, some do not"


@pytest.mark.parametrize(
    ("learner", "schedule"),
    [("mw_net", "three_stage"), ("l2r", "three_stage"), ("mlc", "three_stage"), ("mw_net", "one_loop")],
)
def test_the_gates_matter(learner, schedule):
    """The comparison above would mean little if all gates gave the same weights."""
    ends = []
    for gates in GATES:
        trainer = make_trainer(learner, schedule, gates, nesterov=False)
        for number in range(2):
            trainer.step((batch(number, 8), batch(number + 50, 5)))
        ends.append(np.concatenate([v.numpy().ravel() for v in trainer.network.trainable_variables]))
    for a, b in ((0, 1), (1, 2), (0, 2)):
        assert np.abs(ends[a] - ends[b]).max() > 1e-7


def test_l2r_takes_no_virtual_step_and_moves_no_statistics_twice():
    trainer = make_trainer("l2r", "three_stage", GATES[0], nesterov=False, lambda_g=0.0)
    layer = trainer.network.get_layer("a_bn")
    images = batch(0, 8)[0]
    mean = trainer.network.get_layer("conv1")(images).numpy().mean((0, 1, 2))
    momentum = layer.momentum
    trainer.step((batch(0, 8), batch(50, 5)))
    np.testing.assert_allclose(layer.moving_mean, (1 - momentum) * mean, rtol=1e-9)


def test_between_meta_steps_theta_weighs_and_stays():
    """meta_every=2: the second step is a weighted step with the theta of the first, whatever the meta batch."""
    keras.utils.set_random_seed(7)
    network = small_networks.residual("float64", batch_norm=False)
    trainer = famus_tf.FaMUS(network, famus_tf.MWNet(hidden=6, dtype="float64"), famus_tf.AllLayers(), meta_every=2)
    trainer.compile(keras.optimizers.SGD(ALPHA), meta_optimizer=keras.optimizers.SGD(BETA))
    assert [trainer.is_meta_step(step) for step in range(5)] == [True, False, True, False, True]
    trainer.step((batch(0, 8), batch(50, 5)))
    theta = [v.numpy() for v in trainer.meta_learner.trainable_variables]
    w = [tf.constant(v.numpy()) for v in network.trainable_variables]
    images, labels = batch(1, 8)
    records = trainer.step((images, labels), with_meta=False)
    with tf.GradientTape() as tape:
        tape.watch(w)
        losses = -tf.gather(tf.nn.log_softmax(network.stateless_call(w, [], images)[0]), labels, batch_dims=1)
        x = np.maximum(losses.numpy()[:, None] @ theta[0] + theta[1], 0) @ theta[2] + theta[3]
        v = 1 / (1 + np.exp(-x[:, 0]))
        loss = tf.reduce_sum(v * losses) / v.sum()
    for variable, before, gradient in zip(network.trainable_variables, w, tape.gradient(loss, w), strict=True):
        np.testing.assert_allclose(variable.numpy(), before - ALPHA * gradient, rtol=1e-9, atol=1e-12)
    np.testing.assert_allclose(records["example_weight"], 8 * v / v.sum(), rtol=1e-6)
    assert set(records) == {"index", "example_weight", "loss", "margin", "probability"}
    for variable, before in zip(trainer.meta_learner.trainable_variables, theta, strict=True):
        np.testing.assert_array_equal(variable.numpy(), before)


@pytest.mark.parametrize("replicas", [1, 2])
def test_fit_takes_a_meta_step_every_so_many_steps(replicas, two_replicas):
    strategy = two_replicas if replicas == 2 else tf.distribute.OneDeviceStrategy("CPU:0")
    with strategy.scope():
        keras.utils.set_random_seed(7)
        trainer = famus_tf.FaMUS(small_networks.residual("float32"), meta_every=3, schedule="one_loop")
        trainer.compile(keras.optimizers.SGD(ALPHA), meta_optimizer=keras.optimizers.SGD(BETA))
    data = tf.data.Dataset.zip(*(tf.data.Dataset.from_tensor_slices(batch(s, 4 * 8)).batch(8) for s in (0, 50)))
    thetas = [[v.numpy() for v in trainer.meta_learner.trainable_variables]]

    class Watch(keras.callbacks.Callback):
        def on_train_batch_end(self, batch, logs=None):
            thetas.append([v.numpy() for v in trainer.meta_learner.trainable_variables])

    for _ in range(2):  # the count goes on from one call to the next
        trainer.fit(data, callbacks=[Watch()], verbose=0)
    moved = [
        any(not np.array_equal(a, b) for a, b in zip(old, new, strict=True)) for old, new in itertools.pairwise(thetas)
    ]
    assert moved == [True, False, False, True, False, False, True, False]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"schedule": "two_loop"}, "schedule='two_loop': expected one of three_stage, one_loop"),
        ({"meta_every": 0}, "meta_every=0: expected a positive whole number"),
        ({"meta_every": 2.0}, "meta_every=2.0: expected a positive whole number"),
        ({"meta_learner": "l2r", "schedule": "one_loop"}, "schedule=one_loop with L2R, whose theta belongs to one"),
        (
            {"meta_learner": "mlc", "meta_every": 4},
            "meta_every=4 with MLC, whose theta belongs to one step: expec",
        ),
    ],
)
def test_what_a_learner_does_not_allow_is_refused(arguments, message):
    if "meta_learner" in arguments:
        arguments = arguments | {"meta_learner": LEARNERS[arguments["meta_learner"]][0]()}
    with pytest.raises(errors.InputError) as raised:
        famus_tf.FaMUS(small_networks.residual(), **arguments)
    assert message in str(raised.value)


def test_one_loop_needs_an_optimizer_whose_step_is_linear():
    trainer = famus_tf.FaMUS(small_networks.residual(), schedule="one_loop")
    with pytest.raises(errors.InputError, match=r"with optimizer Adam: expected keras\.optimizers\.SGD"):
        trainer.compile(keras.optimizers.Adam())


def test_meta_every_and_steps_per_execution_exclude_each_other():
    trainer = famus_tf.FaMUS(small_networks.residual(), meta_every=2)
    with pytest.raises(errors.InputError, match="meta_every=2, meta_from=0 with steps_per_execution=4: expected 1"):
        trainer.compile(steps_per_execution=4)


@pytest.mark.parametrize("learner", ["mw_net", "l2r"])
def test_before_the_first_meta_step_every_example_weighs_the_same(learner):
    """meta_from=2: two steps of plain SGD on the mean cross-entropy, whatever theta is; then the first meta step."""
    keras.utils.set_random_seed(7)
    network = small_networks.residual("float64", batch_norm=False)
    chosen = famus_tf.MWNet(hidden=6, dtype="float64") if learner == "mw_net" else famus_tf.L2R(dtype="float64")
    trainer = famus_tf.FaMUS(network, chosen, famus_tf.AllLayers(), meta_from=2, lambda_g=0.0)
    trainer.compile(keras.optimizers.SGD(ALPHA), meta_optimizer=keras.optimizers.SGD(BETA))
    assert [trainer.is_meta_step(step) for step in range(5)] == [False, False, True, True, True]
    theta = [v.numpy() for v in chosen.trainable_variables]
    for seed in range(2):
        images, labels = batch(seed, 8)
        w = [tf.constant(v.numpy()) for v in network.trainable_variables]
        with tf.GradientTape() as tape:
            tape.watch(w)
            losses = -tf.gather(tf.nn.log_softmax(network.stateless_call(w, [], images)[0]), labels, batch_dims=1)
            loss = tf.reduce_mean(losses)
        records = trainer.step((images, labels), with_meta=False)
        np.testing.assert_allclose(records["loss"], loss, rtol=1e-9)
        np.testing.assert_array_equal(records["example_weight"], np.ones(8))
        for variable, before, gradient in zip(network.trainable_variables, w, tape.gradient(loss, w), strict=True):
            np.testing.assert_allclose(variable.numpy(), before - ALPHA * gradient, rtol=1e-9, atol=1e-12)
    for variable, before in zip(chosen.trainable_variables, theta, strict=True):
        np.testing.assert_array_equal(variable.numpy(), before)
    records = trainer.step((batch(3, 8), batch(50, 5)))
    assert np.ptp(records["example_weight"]) > 0 and "gates" in records


def test_fit_begins_with_plain_steps():
    keras.utils.set_random_seed(7)
    trainer = famus_tf.FaMUS(small_networks.residual("float32"), meta_from=2)
    trainer.compile(keras.optimizers.SGD(ALPHA))
    data = tf.data.Dataset.zip(*(tf.data.Dataset.from_tensor_slices(batch(s, 3 * 8)).batch(8) for s in (0, 50)))
    start = [v.numpy() for v in trainer.meta_learner.trainable_variables]
    moved = []

    class Watch(keras.callbacks.Callback):
        def on_train_batch_end(self, batch, logs=None):
            pairs = zip(trainer.meta_learner.trainable_variables, start, strict=True)
            moved.append(any(not np.array_equal(v.numpy(), before) for v, before in pairs))

    trainer.fit(data, callbacks=[Watch()], verbose=0)
    assert moved == [False, False, True]


@pytest.mark.parametrize("found", [-1, 1.5, True])
def test_meta_from_is_a_number_of_steps(found):
    with pytest.raises(errors.InputError, match=r"meta_from=.*: expected a whole number, 0 or more"):
        famus_tf.FaMUS(small_networks.residual(), meta_from=found)
