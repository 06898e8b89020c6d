"""One step of `FaMUS` against Algorithm 1 written out with nested tapes; replicas; what it reduces to; `fit`."""

import keras
import numpy as np
import pytest
import tensorflow as tf

import famus_tf
from famus_tf.meta import gumbel
from tests import small_networks

ALPHA, BETA, DELTA = 0.2, 0.5, 0.3


def batch(seed, n=6, classes=3):
    """Float images [n, 6, 6, 2] and class ids [n]."""
    rng = np.random.default_rng(seed)
    return tf.constant(rng.normal(size=(n, 6, 6, 2)), tf.float32), tf.constant(rng.integers(0, classes, n), tf.int32)


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


class NestedTapes:
    """Algorithm 1 with nested tapes around whole stages: no segments, no tangent, no shared forward pass."""

    def __init__(self, trainer, lambda_r=0.0, lambda_g=0.0, lambda_cost=0.0, weight_decay=0.0):
        self.network = keras.models.clone_model(trainer.network)
        self.network.set_weights(trainer.network.get_weights())
        self.trainer = trainer
        self.theta = [tf.constant(v.numpy()) for v in trainer.meta_learner.trainable_variables]
        self.eta = [tf.Variable(v.numpy()) for v in trainer.selector.trainable_variables]
        self.lambda_r, self.lambda_g, self.lambda_cost = lambda_r, lambda_g, lambda_cost
        self.weight_decay = weight_decay

    def psi(self, losses, theta):
        hidden = tf.nn.relu(losses[:, None] @ theta[0] + theta[1])
        return tf.sigmoid(hidden @ theta[2] + theta[3])[:, 0]

    def training_loss(self, weights, images, labels, theta):
        states = [v.value for v in self.network.non_trainable_variables]
        logits, states = self.network.stateless_call(weights, states, images, training=True)
        losses = tf.nn.sparse_softmax_cross_entropy_with_logits(labels, logits)
        v = self.psi(tf.stop_gradient(losses), theta)
        return tf.reduce_sum(v * losses) / tf.reduce_sum(v), states

    def gates(self, pooled, step):
        """The trainer's own samplers with this oracle's eta, layer by layer."""
        stacks, samplers, start, rows = [], self.trainer.selector.samplers, 0, {}
        for group in samplers._groups:
            stacks.append((group, self.eta[start : start + 5]))
            start += 5
        for group, (fc1, bias1, slope, fc2, bias2) in stacks:
            for k, layer in enumerate(group):
                x = pooled[layer]
                x = (x - tf.reduce_mean(x)) / (tf.math.reduce_std(x) + 1e-9)
                x = x[None] @ fc1[k] + bias1[k]
                x = tf.where(x > 0, x, slope[k] * x)
                rows[layer] = (x @ fc2[k] + bias2[k])[0]
        logits = tf.stack([rows[layer] for layer in range(len(rows))])
        noise = gumbel.sample_gumbel(logits.shape, tf.constant([samplers.seed, step], tf.int64))
        soft = tf.nn.softmax((logits + noise) / samplers.temperature)
        hard = tf.cast(logits + noise >= tf.reduce_max(logits + noise, 1, keepdims=True), tf.float32)
        return (soft + tf.stop_gradient(hard - soft))[:, 1]

    def step(self, training, meta, step, theta_of_actual="new"):
        """Updates w, theta and eta; returns the gates."""
        variables = self.network.trainable_variables
        by_path = {
            v.path.split("/", 1)[-1] if v.path.startswith("residual") else v.path: k for k, v in enumerate(variables)
        }
        layers_ = self.trainer.gated_layers
        flat = [v for segment in self.trainer.segments for v in segment.variables]
        of_layer = [[by_path[flat[p].path] for p in layer.positions] for layer in layers_]
        weights = [tf.convert_to_tensor(v.value) for v in variables]
        with tf.GradientTape(persistent=True) as outer:
            outer.watch(self.theta)
            with tf.GradientTape() as inner:
                inner.watch(weights)
                loss, states = self.training_loss(weights, *training, self.theta)
            g = inner.gradient(loss, weights)
            pooled = [
                tf.concat(
                    [tf.reshape(tf.reduce_mean(g[k], list(range(len(g[k].shape) - 1))), [-1]) for k in members], 0
                )
                for members in of_layer
            ]
            r = self.gates([tf.stop_gradient(x) for x in pooled], step) if self.eta else tf.ones([len(layers_)])
            gate = {k: r[number] for number, members in enumerate(of_layer) for k in members}
            w_hat = [w - ALPHA * tf.where(gate[k] > 0.5, g[k], tf.stop_gradient(g[k])) for k, w in enumerate(weights)]
            # Its value is w_hat; its derivative with respect to r_l is that of w - alpha r_l g_l.
            w_hat = [
                w - ALPHA * tf.stop_gradient(g[k]) * (gate[k] - tf.stop_gradient(gate[k])) for k, w in enumerate(w_hat)
            ]
            states_now = [v.value for v in self.network.non_trainable_variables]
            with tf.GradientTape() as validation:
                validation.watch(w_hat)
                logits, _ = self.network.stateless_call(w_hat, states_now, meta[0], training=True)
                objective = tf.reduce_mean(tf.nn.sparse_softmax_cross_entropy_with_logits(meta[1], logits))
            u = validation.gradient(objective, w_hat)
            last = tf.concat(
                [tf.reshape(tf.reduce_mean(u[k], list(range(len(u[k].shape) - 1))), [-1]) for k in of_layer[-1]], 0
            )
            objective += self.lambda_g * tf.reduce_sum((pooled[-1] - tf.stop_gradient(last)) ** 2)
            objective += self.lambda_r * (tf.reduce_sum(r) - 2.0) ** 2
            objective += self.lambda_cost * tf.reduce_sum(r * tf.constant([layer.cost for layer in layers_]))
        theta_new = [t - BETA * d for t, d in zip(self.theta, outer.gradient(objective, self.theta), strict=True)]
        if self.eta:
            self.check_reach(r)
            for variable, gradient in zip(self.eta, outer.gradient(objective, self.eta), strict=True):
                variable.assign_sub(DELTA * gradient)
        theta_actual = theta_new if theta_of_actual == "new" else self.theta
        with tf.GradientTape() as tape:
            tape.watch(weights)
            loss, _ = self.training_loss(weights, *training, theta_actual)
        for v, w, gradient in zip(variables, weights, tape.gradient(loss, weights), strict=True):
            v.assign(w - ALPHA * (gradient + self.weight_decay * w))
        for v, state in zip(self.network.non_trainable_variables, states, strict=True):
            v.assign(state)
        self.theta = theta_new
        return r

    def check_reach(self, gates):
        """With a gate on in the bottom segment every layer's derivative is available, as it is with one tape."""
        bottom = [k for k, layer in enumerate(self.trainer.gated_layers) if layer.segment == 0]
        assert max(float(gates[k]) for k in bottom) == 1.0, "choose a seed whose gates reach the bottom"


def assert_all_close(found, expected, atol=2e-6):
    for one, other in zip(found, expected, strict=True):
        np.testing.assert_allclose(one, other, rtol=1e-4, atol=atol)


def by_name(network):
    return [v.numpy() for v in sorted(network.variables, key=lambda v: v.path.rsplit("residual/", 1)[-1])]


def bottom_seed(training, meta, lambdas):
    """The first seed of the sampler whose first gates reach the bottom segment."""
    for seed in range(50):
        trainer = make_trainer(selector=famus_tf.GradientSampler(2, seed=seed), **lambdas)
        records = trainer.step((training, meta))
        on = records["gates"].numpy()
        reached = any(on[k] for k, layer in enumerate(trainer.gated_layers) if layer.segment == 0)
        if reached and on.min() == 0:
            return seed
    raise AssertionError("no such seed")


def test_one_step_is_algorithm_1_with_nested_tapes():
    training, meta = batch(1), batch(2)
    lambdas = {"lambda_r": 0.2, "lambda_g": 0.4, "lambda_cost": 0.3, "weight_decay": 0.01}
    seed = bottom_seed(training, meta, lambdas)
    trainer = make_trainer(selector=famus_tf.GradientSampler(2, seed=seed), **lambdas)
    oracle = NestedTapes(trainer, **lambdas)
    before = values(trainer.selector.trainable_variables), values(trainer.meta_learner.trainable_variables)
    records = trainer.step((training, meta))
    gates = oracle.step(training, meta, 0)
    np.testing.assert_array_equal(records["gates"], gates)
    assert_all_close(by_name(trainer.network), by_name(oracle.network))
    assert_all_close(values(trainer.meta_learner.trainable_variables), [t.numpy() for t in oracle.theta])
    assert_all_close(values(trainer.selector.trainable_variables), [v.numpy() for v in oracle.eta])
    after = values(trainer.selector.trainable_variables), values(trainer.meta_learner.trainable_variables)
    for old, new in zip(before, after, strict=True):
        assert max(np.abs(a - b).max() for a, b in zip(old, new, strict=True)) > 1e-4


def test_actual_train_uses_the_new_theta():
    training, meta = batch(1), batch(2)
    trainer = make_trainer(selector=famus_tf.AllLayers())
    assert trainer.lambda_g == 0.0, "the meta-learner's own gradient, without FaMUS's L_g"
    assert make_trainer().lambda_g == make_trainer(selector=famus_tf.FixedBlock(-1)).lambda_g == 0.1
    new, old = NestedTapes(trainer), NestedTapes(trainer)
    # A large step of theta, so that the two orders are far apart.
    global BETA
    trainer.meta_learner.optimizer.learning_rate = 50.0
    saved, BETA = BETA, 50.0
    try:
        trainer.step((training, meta))
        new.step(training, meta, 0)
        old.step(training, meta, 0, theta_of_actual="old")
    finally:
        BETA = saved
    found = by_name(trainer.network)
    assert_all_close(found, by_name(new.network))
    assert max(np.abs(a - b).max() for a, b in zip(found, by_name(old.network), strict=True)) > 1e-4


def test_all_gates_on_and_no_auxiliary_losses_is_mw_net():
    trainer = make_trainer(selector=famus_tf.AllLayers(), lambda_r=0.0, lambda_g=0.0, lambda_cost=0.0)
    oracle = NestedTapes(trainer)
    step = tf.function(trainer.train_step, autograph=False)
    for number in range(4):
        data = batch(10 + number), batch(20 + number)
        step(data)
        oracle.step(*data, number)
    assert_all_close(by_name(trainer.network), by_name(oracle.network), atol=1e-5)
    assert_all_close(values(trainer.meta_learner.trainable_variables), [t.numpy() for t in oracle.theta], atol=1e-5)


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
            images = keras.Input((6, 6, 2))
            x = keras.layers.Conv2D(4, 3, name="conv1")(images)
            x = keras.layers.BatchNormalization(synchronized=True, name="bn")(x)
            x = keras.layers.Conv2D(5, 3, activation="relu", name="conv2")(x)
            x = keras.layers.GlobalAveragePooling2D()(x)
            network = keras.Model(images, keras.layers.Dense(3, name="classifier")(x))
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
