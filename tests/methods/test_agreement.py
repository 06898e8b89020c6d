"""Layers chosen by how far their scores repeat: when they are measured, depth, replicas, `fit`, what is saved."""

import itertools

import keras
import numpy as np
import pytest
import tensorflow as tf

import famus_tf
from famus_tf import errors
from famus_tf.meta import scores
from famus_tf.training import step as steps
from tests import small_networks
from tests.small_networks import batch

KINDS = {
    "three_stage": {},
    "one_loop": {"schedule": "one_loop"},
    "one_loop every 2": {"schedule": "one_loop", "meta_every": 2},
    "l2r": {"meta_learner": famus_tf.L2R},
    "mlc": {"meta_learner": lambda: famus_tf.MLC(3)},
}


def make(batch_norm=False, every=3, metrics=None, **options):
    """A compiled FaMUS of float32 on the small network, 4 gated layers of it or with BatchNorm 7."""
    keras.utils.set_random_seed(0)
    network = small_networks.residual("float32", batch_norm)
    options = {name: value() if name == "meta_learner" else value for name, value in options.items()}
    options.setdefault("selector", famus_tf.AgreementSelector(every, price=0.05))
    method = famus_tf.FaMUS(network, **options)
    method.compile(keras.optimizers.SGD(0.2), meta_optimizer=keras.optimizers.SGD(0.5), metrics=metrics)
    return method


def pair(number, n=8, m=6):
    return batch(number, n, "float32"), batch(number + 50, m, "float32")


def train(method, count=7, strategy=None, share=lambda data: data, variants=True):
    """Takes steps as a run does; returns their records, and how often the step was traced."""
    step = steps.compile_step(strategy or tf.distribute.get_strategy(), method)
    records = []
    for number in range(count):
        training, meta = share(pair(number))
        if method.is_meta_step(number):
            variant = method.variant_of(number) if variants else None
            records.append(steps.gather(step(training, meta, variant)[0]))
        else:
            records.append(steps.gather(step(training, None)[0]))
    return records, step.experimental_get_tracing_count()


def test_the_depth_of_a_step_is_that_of_the_weights_that_are_loaded(tmp_path):
    method = make(every=100)
    train(method, 2)
    highest = method.gated_layers[-1].segment
    for chosen, segment in ((-1, highest), (0, method.gated_layers[0].segment)):
        method.selector.gates.assign(np.eye(len(method.gated_layers))[chosen])
        method.save_weights(tmp_path / f"{segment}.weights.h5")
    loads = (method.load_weights, lambda file: keras.saving.load_weights(method, file))
    for step, (load, segment) in enumerate(itertools.product(loads, (highest, 0, highest)), 2):
        load(tmp_path / f"{segment}.weights.h5")
        assert method.variant_of(step) == segment
    method.load_weights(tmp_path / "0.weights.h5")
    weights = method.get_weights()
    method.load_weights(tmp_path / f"{highest}.weights.h5")
    assert method.variant_of(20) == highest
    method.set_weights(weights)
    assert method.variant_of(21) == 0
    file = tf.train.Checkpoint(method=method).write(str(tmp_path / "checkpoint"))
    method.selector.gates.assign(np.eye(len(method.gated_layers))[-1])
    assert method.variant_of(21) == highest
    tf.train.Checkpoint(method=method).read(file)
    assert method.variant_of(21) == 0


def test_a_measurement_that_is_no_number_is_passed_over():
    method = make()
    train(method, 3)
    selector = method.selector
    before = [variable.numpy() for variable in selector.variables]
    first = tf.random.stateless_normal([8, 4], [0, 1])
    broken = tf.tensor_scatter_nd_update(first, [[2, 1]], [np.inf])
    costs = tf.constant([layer.cost for layer in method.gated_layers])
    selector.observe(broken, first, tf.one_hot([0, 1, 2, 0, 1, 2, 0, 1], 3), costs)
    selector.observe(first, tf.zeros_like(first), tf.one_hot([0, 1, 2, 0, 1, 2, 0, 1], 3), costs)
    for variable, expected in zip(selector.variables, before, strict=True):
        np.testing.assert_array_equal(variable, expected)
    rho = selector.observe(first, first + 0.1, tf.one_hot([0, 1, 2, 0, 1, 2, 0, 1], 3), costs)
    assert np.isfinite(rho).all()


def numbers(method):
    owners = method.network, method.meta_learner, method.selector
    return [variable.numpy() for owner in owners for variable in owner.variables]


@pytest.mark.parametrize(
    ("every", "options", "measured"),
    [
        (5, {}, [0, 5, 10, 15]),
        (1, {}, list(range(16))),
        (5, {"meta_from": 2}, [2, 7, 12]),
        (5, {"meta_every": 2}, [0, 6, 10]),
        (2, {"meta_every": 4, "meta_from": 3}, [3, 7, 11, 15]),
    ],
)
def test_the_first_meta_step_in_so_many_steps_measures(every, options, measured):
    method = make(every=every, **options)
    found = [step for step in range(16) if method.is_meta_step(step) and method.variant_of(step) == "measuring"]
    assert found == measured


def test_the_depth_that_is_asked_for_outside_of_a_graph_is_that_of_the_graph():
    method = make()
    selector = method.selector
    method.variant_of(0)
    for gates in itertools.product((0.0, 1.0), repeat=len(method.gated_layers)):
        selector.gates.assign(gates)
        assert method.variant_of(1) == int(selector.lowest_segment(tf.constant(gates)))


@pytest.mark.parametrize("kind", KINDS)
def test_it_measures_chooses_and_goes_to_the_depth_of_its_set(kind):
    method = make(**KINDS[kind])
    start = method.selector.gates.numpy()
    np.testing.assert_array_equal(start, [0, 0, 1, 1])  # the last block and the classifier
    records, traced = train(method)
    measured = [number for number, one in enumerate(records) if "repeatability" in one]
    assert measured == ([0, 4, 6] if "every 2" in kind else [0, 3, 6])
    assert traced <= 1 + len(method.segments) + ("every 2" in kind)
    for one in records:
        assert np.isfinite(one["loss"])
        if "repeatability" in one:
            assert one["repeatability"].shape == (4,) and np.abs(one["repeatability"]).max() <= 1 + 1e-6
    last = next(one for one in reversed(records) if "gates" in one)
    np.testing.assert_array_equal(last["gates"], method.selector.gates.numpy())
    lowest = method.gated_layers[int(last["lowest_layer"]) - 1].segment
    assert method.variant_of(7 + 1) in (lowest, "measuring")


@pytest.mark.parametrize("kind", ["three_stage", "one_loop every 2", "l2r"])
def test_the_depth_known_when_traced_gives_the_numbers_of_the_depth_known_in_the_graph(kind):
    """In steps that do not measure; the set is one that a measurement has chosen."""
    found = []
    for variants in (True, False):
        method = make(**KINDS[kind], batch_norm=True)
        method.selector.gates.assign([0, 0, 0, 1, 0, 1, 1])
        method.variant_of = lambda step, there=variants: 2 if there else None
        train(method, 3)
        found.append(numbers(method))
    for one, other in zip(*found, strict=True):
        np.testing.assert_allclose(one, other, rtol=1e-6, atol=1e-7)


def test_one_replica_is_two(two_replicas):
    """Halves are by place in the global batch: with 3 meta images on each replica they are not the replicas'."""
    results = []
    for strategy in (tf.distribute.OneDeviceStrategy("CPU:0"), two_replicas):
        count = strategy.num_replicas_in_sync

        def share(data, strategy=strategy, count=count):
            def of(context):
                place = context.replica_id_in_sync_group
                return tf.nest.map_structure(
                    lambda rows: rows[place * len(rows) // count :][: len(rows) // count], data
                )

            return strategy.experimental_distribute_values_from_function(of)

        with strategy.scope():
            method = make(selector=famus_tf.AgreementSelector(2, price=0.05, per_class=True))
        step = steps.compile_step(strategy, method)
        records = []
        for number in range(6):
            training, meta = (share(side) for side in pair(number))
            records.append(steps.gather(step(training, meta, method.variant_of(number))[0]))
        results.append((records, numbers(method)))
    (one_records, one), (two_records, two) = results
    for a, b in zip(one_records, two_records, strict=True):
        np.testing.assert_array_equal(a["gates"], b["gates"])
        if "repeatability" in a:
            np.testing.assert_allclose(a["repeatability"], b["repeatability"], rtol=0, atol=1e-3)
    for a, b in zip(one, two, strict=True):
        np.testing.assert_allclose(a, b, rtol=0, atol=2e-5)


def test_a_measurement_moves_no_statistics():
    moved = []
    for selector in (famus_tf.AgreementSelector(1), famus_tf.AllLayers()):
        method = make(batch_norm=True, selector=selector)
        train(method, 1)
        moved.append([variable.numpy() for variable in method.network.non_trainable_variables])
    assert len(moved[0]) == 6
    for one, other in zip(*moved, strict=True):
        np.testing.assert_allclose(one, other, rtol=1e-6)


def test_what_it_compares_are_the_scores_of_two_halves():
    """rho after the first step, from the scores by the pieces, in NumPy."""
    method = make(every=1)
    (training, meta) = pair(0)
    halves = scores.half_gradients(method.segments, meta[0], lambda z: method.validation_loss(meta[1], z))
    arguments = method.segments, method.gated_layers, training[0], lambda z: method.meta_learner.losses(z, training[1])
    first, second = (one.numpy() - one.numpy().mean(0) for one in scores.layer_scores(*arguments, halves))
    expected = 2 * (first * second).sum(0) / (first**2 + second**2).sum(0)
    records, _ = train(method, 1)
    np.testing.assert_allclose(records[0]["repeatability"], expected, rtol=1e-3)


def data(count=5):
    sides = ([pair(number)[side] for number in range(count)] for side in (0, 1))
    parts = (tuple(map(tf.stack, zip(*side, strict=True))) for side in sides)
    return tf.data.Dataset.zip(*map(tf.data.Dataset.from_tensor_slices, parts))


@pytest.mark.parametrize("options", [{}, {"schedule": "one_loop", "meta_every": 2, "meta_from": 1}])
def test_fit_takes_the_steps_of_the_training_loop(options):
    fitted, looped = make(**options), make(**options)
    fitted.fit(data(), verbose=0)
    train(looped, 5)
    for one, other in zip(numbers(fitted), numbers(looped), strict=True):
        np.testing.assert_allclose(one, other, rtol=1e-4, atol=2e-6)
    assert fitted.variant is None and looped.variant is None


def test_several_steps_an_execution_are_refused():
    method = make()
    with pytest.raises(famus_tf.InputError, match="selector=AgreementSelector with steps_per_execution=4: expected 1"):
        method.compile(steps_per_execution=4)


@pytest.mark.parametrize("options", [{"every": 0}, {"every": 2.0}, {"price": -1.0}, {"momentum": 1.0}])
def test_arguments_out_of_range(options):
    with pytest.raises(famus_tf.InputError, match="expected"):
        famus_tf.AgreementSelector(**options)


def test_a_saved_method_comes_back_and_goes_on(tmp_path):
    method = make(metrics=["accuracy"])
    method.fit(data(4), verbose=0)
    method.save(tmp_path / "method.keras")
    loaded = keras.models.load_model(tmp_path / "method.keras")
    assert loaded.selector.get_config() == method.selector.get_config() and loaded.lambda_g == 0.0
    for one in (method, loaded):
        one.fit(data(4), verbose=0)
    for found, expected in zip(numbers(loaded), numbers(method), strict=True):
        np.testing.assert_array_equal(found, expected)


def test_the_set_is_asked_for_again_after_a_measurement_and_after_other_steps():
    method = make()
    assert method.variant_of(1) == method.variant_of(2) == 2
    method.selector.gates.assign([1, 0, 0, 0])
    assert method.variant_of(3) == "measuring" and method.variant_of(4) == 0
    method.selector.gates.assign([0, 0, 0, 1])
    assert method.variant_of(4) == 4
    assert method.variant_of(10) == method.gated_layers[-1].segment == 4


def test_a_mixed_policy_takes_a_measuring_step():
    keras.utils.set_random_seed(0)
    network = small_networks.residual("mixed_bfloat16")
    method = famus_tf.FaMUS(network, selector=famus_tf.AgreementSelector(1))
    method.compile(keras.optimizers.SGD(0.1))
    records = method.step(pair(0))
    assert np.isfinite(records["repeatability"]).all() and np.isfinite(records["loss"])


def test_a_meta_batch_of_one_has_no_halves():
    method = make()
    images, labels = small_networks.batch(0, 6, "float32")
    with pytest.raises(errors.InputError, match="a meta batch of 1 with AgreementSelector"):
        method.step(((images, labels), (images[:1], labels[:1])))


def test_a_meta_batch_of_two_has_them_on_two_replicas(two_replicas):
    """One image on each is one for each half."""
    with two_replicas.scope():
        method = make(every=1)
    images, labels = small_networks.batch(0, 6, "float32")

    def of(context):
        place = context.replica_id_in_sync_group
        return ((images[3 * place :][:3], labels[3 * place :][:3]), (images[place:][:1], labels[place:][:1]))

    step = steps.compile_step(two_replicas, method)
    training, meta = two_replicas.experimental_distribute_values_from_function(of)
    records = steps.gather(step(training, meta, method.variant_of(0))[0])
    assert np.isfinite(records["repeatability"]).all() and records["repeatability"].any()


def test_a_last_meta_batch_of_one_is_no_measurement():
    method = make(every=1)
    images, labels = small_networks.batch(0, 7, "float32")
    meta = tf.data.Dataset.from_tensor_slices((images, labels)).batch(6)
    training = tf.data.Dataset.from_tensor_slices((images[:6], labels[:6])).batch(3)
    method.fit(tf.data.Dataset.zip(training, meta), verbose=0)
    within = method.selector.variables[1].numpy()
    np.testing.assert_allclose(np.trace(within), 1 - method.selector.momentum, rtol=1e-5)
