"""One step of `FaMUS` against Algorithm 1 written out with nested tapes; replicas; what it reduces to; `fit`."""

import keras
import numpy as np
import pytest
import tensorflow as tf

import famus_tf
from tests import small_networks
from tests.oracles import nested_tapes

ALPHA, BETA, DELTA = 0.2, 0.5, 0.3


def batch(seed, n=6):
    return small_networks.batch(seed, n, "float32")


def make_trainer(*, batch_norm=True, momentum=0.0, metrics=None, seed=0, **kwargs):
    """A compiled FaMUS on the small network; the same seed gives the same start."""
    keras.utils.set_random_seed(seed)
    network = small_networks.residual("float32", batch_norm)
    trainer = famus_tf.FaMUS(network, **kwargs)
    trainer.compile(
        optimizer=keras.optimizers.SGD(ALPHA, momentum=momentum),
        meta_optimizer=keras.optimizers.SGD(BETA),
        sampler_optimizer=keras.optimizers.SGD(DELTA, momentum=momentum),
        metrics=metrics,
    )
    return trainer


def values(variables):
    return [variable.numpy().astype(np.float64) for variable in variables]


def make_oracle(trainer, selection=None, beta=BETA, **options):
    """The oracle of a trainer on MW-Net; all gates are on unless `selection` says otherwise."""
    learner = nested_tapes.MWNet(trainer.meta_learner.trainable_variables, beta)
    selection = np.ones(len(trainer.gated_layers)) if selection is None else selection
    return nested_tapes.NestedTapes(trainer, learner, selection, ALPHA, **options)


def assert_equals_oracle(trainer, oracle, atol=2e-6):
    """w with BatchNorm's statistics, and theta."""
    assert_all_close(values(trainer.trained_variables), oracle.w, atol)
    assert_all_close(values(trainer.network.non_trainable_variables), oracle.states, atol)
    assert_all_close(values(trainer.meta_learner.trainable_variables), oracle.learner.theta, atol)


def assert_all_close(found, expected, atol=2e-6):
    for one, other in zip(found, expected, strict=True):
        np.testing.assert_allclose(one, other, rtol=1e-4, atol=atol)


def by_name(network):
    return [v.numpy() for v in sorted(network.variables, key=lambda v: v.path.rsplit("residual/", 1)[-1])]


@pytest.mark.parametrize(
    ("seed", "lowest", "objective"), [(0, 1, "paper"), (6, 5, "paper"), (0, 1, "scale_free"), (1, 6, "scale_free")]
)
def test_one_step_is_algorithm_1_with_nested_tapes(seed, lowest, objective):
    """In float32, with samplers; the bottom layer is among those that the first seed selects."""
    training, meta = batch(1), batch(2)
    lambdas = {"lambda_r": 0.2, "lambda_g": 0.4, "lambda_cost": 0.3, "weight_decay": 0.01}
    trainer = make_trainer(selector=famus_tf.GradientSampler(2, seed=seed, objective=objective), **lambdas)
    eta = trainer.selector.trainable_variables
    scale_free = objective == "scale_free"
    samplers = nested_tapes.Samplers(trainer.gated_layers, eta, DELTA, seed, length=4 * scale_free)
    oracle = make_oracle(trainer, samplers, scale_free=scale_free, **lambdas)
    before = values(eta), values(trainer.meta_learner.trainable_variables)
    records = trainer.step((training, meta))
    found = oracle.step(training, meta)
    assert records["lowest_layer"] == lowest and min(records["gates"]) == 0, "choose another seed"
    np.testing.assert_array_equal(records["gates"], found.gates)
    assert_equals_oracle(trainer, oracle)
    assert_all_close(values(eta), list(samplers.eta.values()))
    after = values(eta), values(trainer.meta_learner.trainable_variables)
    for old, new in zip(before, after, strict=True):
        assert max(np.abs(a - b).max() for a, b in zip(old, new, strict=True)) > 1e-4


def test_actual_train_uses_the_new_theta():
    training, meta = batch(1), batch(2)
    trainer = make_trainer(selector=famus_tf.AllLayers())
    assert trainer.lambda_g == 0.0, "the meta-learner's own gradient, without FaMUS's L_g"
    assert make_trainer().lambda_g == make_trainer(selector=famus_tf.FixedBlock(-1)).lambda_g == 0.1
    # A large step of theta, so that the two orders are far apart; in one loop Actual-Train has the old theta.
    trainer.meta_learner.optimizer.learning_rate = 50.0
    new, old = (make_oracle(trainer, beta=50.0, schedule=schedule) for schedule in ("three_stage", "one_loop"))
    trainer.step((training, meta))
    new.step(training, meta)
    old.step(training, meta)
    assert_equals_oracle(trainer, new)
    found = values(trainer.trained_variables)
    assert max(np.abs(a - b).max() for a, b in zip(found, old.w, strict=True)) > 1e-4


def test_all_gates_on_and_no_auxiliary_losses_is_mw_net():
    trainer = make_trainer(selector=famus_tf.AllLayers(), lambda_r=0.0, lambda_g=0.0, lambda_cost=0.0)
    oracle = make_oracle(trainer)
    step = tf.function(trainer.train_step, autograph=False)
    for number in range(4):
        data = batch(10 + number), batch(20 + number)
        step(data)
        oracle.step(*data)
    assert_equals_oracle(trainer, oracle, atol=1e-5)


def test_cross_entropy_is_plain_keras_training():
    images, labels = batch(1, 24)
    data = tf.data.Dataset.from_tensor_slices((images, labels)).batch(6)
    trainer = make_trainer(meta_learner=famus_tf.CrossEntropy(), momentum=0.9)
    plain = keras.models.clone_model(trainer.network)
    plain.set_weights(trainer.network.get_weights())
    plain.compile(
        keras.optimizers.SGD(ALPHA, momentum=0.9), keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    )
    trainer.fit(data, epochs=2, verbose=0)
    plain.fit(data, epochs=2, verbose=0)
    assert_all_close(by_name(trainer.network), by_name(plain))
    assert not trainer.meta_learner.variables


def test_graph_is_eager():
    results = []
    for wrap in (lambda f: f, lambda f: tf.function(f, autograph=False)):
        trainer = make_trainer(momentum=0.9, lambda_g=0.0)
        step, lowest = wrap(trainer.step), []
        for number in range(5):
            lowest.append(int(step((batch(number), batch(number + 50)))["lowest_layer"]))
        results.append((lowest, by_name(trainer.network)))
    assert results[0][0] == results[1][0]
    assert len(set(results[0][0])) > 1, "the lowest layer should change from step to step"
    assert_all_close(results[0][1], results[1][1], atol=1e-5)


def test_regularisers_of_the_users_layers_join_actual_train():
    training, meta = batch(1), batch(2)
    results = []
    for regularizer, decay in ((keras.regularizers.L2(0.05), 0.0), (None, 0.1)):
        keras.utils.set_random_seed(0)
        network = small_networks.residual("float32", regularizer=regularizer)
        trainer = famus_tf.FaMUS(network, selector=famus_tf.AllLayers(), weight_decay=decay)
        trainer.compile(keras.optimizers.SGD(ALPHA))
        trainer.step((training, meta))
        results.append({v.path: v.numpy() for v in network.trainable_variables})
    for path in results[0]:
        if "conv" in path:  # L2(0.05) is 0.05 w^2, whose gradient is 0.1 w
            np.testing.assert_allclose(results[0][path], results[1][path], rtol=1e-5, atol=1e-6)


ONE_AND_TWO = {
    "three_stage": {},
    "one_loop": {"schedule": "one_loop"},
    "one_loop_every_2": {"schedule": "one_loop", "meta_every": 2},
    "mean": {"meta_learner": lambda: famus_tf.MWNet(normalize=False)},
    "l2r": {"meta_learner": lambda: famus_tf.L2R()},
    "mlc": {"meta_learner": lambda: famus_tf.MLC(3)},
    "random": {"selector": lambda: famus_tf.RandomLayers(2, seed=1)},
    "block": {"selector": lambda: famus_tf.FixedBlock(2)},
    "exact": {"selector": lambda: famus_tf.AllLayers()},
    "validation_mean": {"validation_momentum": 0.75},
    "cross_entropy": {"meta_learner": lambda: famus_tf.CrossEntropy()},
}


@pytest.mark.parametrize("name", ONE_AND_TWO)
def test_one_replica_is_two_replicas(two_replicas, name):
    def run(strategy):
        with strategy.scope():
            options = {key: value() if callable(value) else value for key, value in ONE_AND_TWO[name].items()}
            trainer = make_trainer(batch_norm=False, momentum=0.9, lambda_cost=0.5, weight_decay=0.01, **options)
        count = strategy.num_replicas_in_sync

        @tf.function(autograph=False)
        def step(data, with_meta):
            return strategy.run(trainer.step, args=(data, with_meta))

        lowest, weights = [], []
        for number in range(6):
            data = batch(number, 8), batch(number + 50, 4)
            shares = strategy.experimental_distribute_values_from_function(
                lambda context, data=data: tuple(
                    tuple(
                        part[context.replica_id_in_sync_group * len(part) // count :][: len(part) // count]
                        for part in side
                    )
                    for side in data
                )
            )
            records = {
                key: strategy.experimental_local_results(value)
                for key, value in step(shares, trainer.is_meta_step(number)).items()
            }
            weights.append(np.concatenate(records["example_weight"]))
            if "lowest_layer" in records:
                lowest.append(int(records["lowest_layer"][0]))
        owners = trainer.network, trainer.meta_learner, trainer.selector
        return lowest, weights, [v.numpy() for owner in owners for v in owner.trainable_variables]

    one_lowest, one_weights, one = run(tf.distribute.OneDeviceStrategy("CPU:0"))
    two_lowest, two_weights, two = run(two_replicas)
    assert one_lowest == two_lowest
    assert len(one_lowest) == {"one_loop_every_2": 3, "cross_entropy": 0}.get(name, 6)
    if name in ("three_stage", "one_loop", "random"):
        assert len(set(one_lowest)) > 1, "the lowest layer should change from step to step"
    for a, b in zip(one + one_weights, two + two_weights, strict=True):
        np.testing.assert_allclose(a, b, rtol=0, atol=5e-6)


def test_synchronised_batch_norm_makes_two_replicas_one(two_replicas):
    """Its sums over replicas stand in the segments: the full depth is traversed, and the gates mask."""

    def run(strategy):
        with strategy.scope():
            keras.utils.set_random_seed(0)
            network = small_networks.convolutions(True, (6, 6, 2), 3, synchronized=True, dropout=0)
            trainer = famus_tf.FaMUS(network, selector=famus_tf.GradientSampler(1, seed=4), lambda_cost=0.5)
            trainer.compile(
                keras.optimizers.SGD(ALPHA),
                meta_optimizer=keras.optimizers.SGD(BETA),
                sampler_optimizer=keras.optimizers.SGD(DELTA),
            )
        step = tf.function(lambda *data: strategy.run(trainer.step, args=(data,)), autograph=False)
        lowest = []
        for number in range(6):
            sides = [tf.data.Dataset.from_tensors(batch(seed, 8)).unbatch().batch(8) for seed in (number, number + 50)]
            shares = (next(iter(strategy.experimental_distribute_dataset(side))) for side in sides)
            lowest.append(int(strategy.experimental_local_results(step(*shares)["lowest_layer"])[0]))
        owners = trainer.network, trainer.meta_learner, trainer.selector
        return lowest, [v.numpy() for owner in owners for v in owner.trainable_variables]

    one_lowest, one = run(tf.distribute.OneDeviceStrategy("CPU:0"))
    with pytest.warns(UserWarning, match="synchronised BatchNorm"):
        two_lowest, two = run(two_replicas)
    assert one_lowest == two_lowest and len(set(one_lowest)) > 1
    for a, b in zip(one, two, strict=True):
        np.testing.assert_allclose(a, b, rtol=0, atol=5e-6)


def pairs(with_index, distributions, n=6):
    def side(seed):
        images, labels = batch(seed, 4 * n)
        labels = tf.one_hot(labels, 3) if distributions else labels
        parts = (images, labels, tf.range(4 * n, dtype=tf.int64)) if with_index else (images, labels)
        return tf.data.Dataset.from_tensor_slices(parts).batch(n, drop_remainder=True)

    return tf.data.Dataset.zip(side(1), side(2))


def test_fit_takes_ids_or_distributions_with_or_without_index():
    results = []
    for with_index in (False, True):
        for distributions in (False, True):
            trainer = make_trainer(metrics=["accuracy"])
            validation = pairs(False, distributions).map(lambda training, meta: meta)
            history = trainer.fit(
                pairs(with_index, distributions), validation_data=validation, epochs=2, verbose=0
            ).history
            assert {"loss", "meta_loss", "accuracy", "val_accuracy", "val_loss", "lowest_layer"} <= set(history)
            results.append((history["accuracy"], by_name(trainer.network)))
    for accuracy, weights in results[1:]:
        np.testing.assert_allclose(accuracy, results[0][0], atol=1e-6)
        assert_all_close(weights, results[0][1])


def test_fit_under_two_replicas(two_replicas):
    with two_replicas.scope():
        trainer = make_trainer(batch_norm=False, metrics=[keras.metrics.SparseCategoricalAccuracy(name="accuracy")])
    history = trainer.fit(pairs(True, False), epochs=2, verbose=0).history
    alone = make_trainer(batch_norm=False, metrics=["accuracy"])
    expected = alone.fit(pairs(True, False), epochs=2, verbose=0).history
    assert_all_close(by_name(trainer.network), by_name(alone.network))
    np.testing.assert_allclose(history["accuracy"], expected["accuracy"], atol=1e-6)


def test_plain_batches_are_refused_where_a_meta_set_is_needed():
    data = pairs(False, False).map(lambda training, meta: training)
    with pytest.raises(famus_tf.InputError, match="meta_images"):
        make_trainer().fit(data, verbose=0)


def test_network_is_trained_in_place_and_saves(tmp_path):
    trainer = make_trainer()
    before = by_name(trainer.network)
    trainer.fit(pairs(False, False), verbose=0)
    assert max(np.abs(a - b).max() for a, b in zip(before, by_name(trainer.network), strict=True)) > 1e-3
    trainer.network.save(tmp_path / "network.keras")
    images, _ = batch(3)
    loaded = keras.models.load_model(tmp_path / "network.keras")
    np.testing.assert_array_equal(loaded(images), trainer.network(images))


def test_names_of_metrics_are_refused_under_two_replicas(two_replicas):
    with two_replicas.scope(), pytest.raises(famus_tf.InputError, match="expected objects"):
        make_trainer(metrics=["accuracy"])


def test_a_mixed_policy_takes_a_step():
    keras.utils.set_random_seed(0)
    network = small_networks.residual("mixed_bfloat16")
    trainer = famus_tf.FaMUS(network, selector=famus_tf.GradientSampler(2))
    trainer.compile(keras.optimizers.SGD(0.1), meta_optimizer=keras.optimizers.SGD(0.5))
    exact = make_trainer(selector=famus_tf.GradientSampler(2))
    for number in range(2):
        data = batch(number), batch(number + 50)
        records, expected = trainer.step(data), exact.step(data)
        assert abs(float(records["loss"]) - float(expected["loss"])) < 0.1
