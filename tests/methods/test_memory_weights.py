"""`MemoryWeightNet`: weights by NumPy, scores by gradients of single examples, the step of theta by differences."""

import keras
import numpy as np
import pytest
import tensorflow as tf

import famus_tf
from famus_tf import errors
from famus_tf.meta import batches
from tests import small_networks

ALPHA, N, COUNT = 0.2, 6, 20
PROBES = {"rule": "probes", "num_probes": 5, "num_classes": 3}


def make_method(learner=None, **options):
    keras.utils.set_random_seed(0)
    network = small_networks.residual("float32", batch_norm=False)
    learner = learner or famus_tf.MemoryWeightNet(COUNT, **options)
    method = famus_tf.FaMUS(network, meta_learner=learner, selector=famus_tf.AllLayers())
    method.compile(keras.optimizers.SGD(ALPHA), meta_optimizer=keras.optimizers.SGD(1.0))
    return method


def data(seed=0, index=range(N)):
    """A training batch with its index, and a meta batch."""
    images, labels = small_networks.batch(seed, N, "float32")
    return (images, labels, tf.constant(list(index), tf.int64)), small_networks.batch(seed + 50, 4, "float32")


def fill(learner, seed=3, groups=(0,) * COUNT):
    """Some visits of all examples, of these groups; returns the means that the table must hold then, [N, F]."""
    values = np.random.default_rng(seed).standard_normal((3, COUNT, len(learner.inputs))).astype(np.float32)
    for visit in values:
        learner.memory.observe_in_groups(
            tf.range(COUNT), tf.constant(visit), tf.ones(visit.shape, tf.bool), tf.constant(groups, tf.int32)
        )
    return np.average(values, axis=0, weights=0.8 ** np.array([2, 1, 0]))


def weights_of(means, coefficients, inputs, sharpness=2.5):
    """V [N], by the definition."""
    z = (means - means.mean(0)) / means.std(0)
    z = z * [-1 if name == "loss" else 1 for name in inputs]
    total = z @ coefficients
    return 1 / (1 + np.exp(-sharpness * total / total.std()))


@pytest.mark.parametrize("inputs", [("probability",), ("score", "probability"), ("loss", "agreement", "score")])
def test_weights_by_the_definition(inputs):
    learner = famus_tf.MemoryWeightNet(COUNT, inputs, rule="meta_gradient")
    learner.create_variables()
    means = fill(learner)
    coefficients = np.arange(1, len(inputs) + 1) / 2
    learner.trainable_variables[0].assign(coefficients)
    index = [3, 19, 0, 7]
    theta = learner.parameters(batches.Batch(None, None, tf.constant(index, tf.int64)))
    expected = weights_of(means, coefficients, inputs)[index]
    np.testing.assert_allclose(learner.weigh(theta), expected, rtol=1e-4)
    logits, labels = np.random.default_rng(0).standard_normal((4, 3)).astype(np.float32), np.array([0, 2, 1, 1])
    losses = np.log(np.exp(logits).sum(1)) - logits[np.arange(4), labels]
    np.testing.assert_allclose(
        learner.loss(tf.constant(logits), tf.constant(labels), theta), np.average(losses, weights=expected), rtol=1e-4
    )
    np.testing.assert_allclose(learner.example_weights(None, None, theta), 4 * expected / expected.sum(), rtol=1e-4)
    found = learner.beliefs(theta)
    np.testing.assert_allclose([found[name] for name in inputs], coefficients / coefficients.sum(), rtol=1e-6)


@pytest.mark.parametrize("options", [{"num_classes": 3}, PROBES])
def test_means_are_standardised_within_the_classes_of_probes_and_others_alike(options):
    """Each class's mean is drawn to that of all as if ten more examples had it; then the variance is 1."""
    learner = famus_tf.MemoryWeightNet(COUNT, ("loss", "score"), **options)
    learner.create_variables()
    classes = np.random.default_rng(0).integers(0, 3, COUNT)
    groups = classes + 3 * (np.arange(COUNT) >= COUNT - learner.num_probes)
    means = fill(learner, groups=groups)
    centre = np.array(
        [(means[classes == k].sum(0) + 10 * means.mean(0)) / ((classes == k).sum() + 10) for k in classes]
    )
    expected = (means - centre) / np.sqrt(((means - centre) ** 2).mean(0)) * [-1, 1]
    _, rows, correlations = learner.parameters(batches.Batch(None, None, tf.range(COUNT, dtype=tf.int64)))
    np.testing.assert_allclose(rows, expected, rtol=1e-4, atol=1e-5)
    np.testing.assert_allclose(correlations, expected.T @ expected / COUNT, rtol=1e-5)


def test_an_input_that_is_the_same_for_all_says_nothing():
    learner = famus_tf.MemoryWeightNet(COUNT, ("probability", "loss"))
    learner.create_variables()
    values = np.stack([np.full(COUNT, 0.3), np.arange(COUNT)], 1).astype(np.float32)
    for _ in range(3):
        learner.memory.observe(tf.range(COUNT), tf.constant(values), tf.ones(values.shape, tf.bool))
    rows = learner.parameters(batches.Batch(None, None, tf.range(COUNT, dtype=tf.int64)))[1].numpy()
    np.testing.assert_array_equal(rows[:, 0], np.zeros(COUNT))
    np.testing.assert_allclose(rows[:, 1].std(), 1.0, rtol=1e-5)


def test_examples_hardly_visited_or_without_a_position_are_in_the_middle():
    learner = famus_tf.MemoryWeightNet(COUNT)
    learner.create_variables()
    index = tf.constant([0, 5, -1, COUNT], tf.int64)
    theta = learner.parameters(batches.Batch(None, None, index))
    np.testing.assert_array_equal(learner.weigh(theta), [0.5] * 4)
    fill(learner)
    weights = learner.weigh(learner.parameters(batches.Batch(None, None, index))).numpy()
    assert weights[0] != 0.5 and weights[1] != 0.5
    np.testing.assert_array_equal(weights[2:], [0.5, 0.5])


def test_while_some_inputs_are_not_known_nothing_is_flatter_or_sharper():
    """z has the standard deviation 1 over those examples of which all is known, the others are in the middle."""
    learner = famus_tf.MemoryWeightNet(400)
    learner.create_variables()
    values = tf.constant(np.random.default_rng(0).standard_normal((400, 2)), tf.float32)
    known = np.arange(400)[:, np.newaxis] < [100, 400]
    for _ in range(2):
        learner.memory.observe(tf.range(400), values, tf.constant(known))
    weights = learner.weigh(learner.parameters(batches.Batch(None, None, tf.range(400)))).numpy()
    z = np.log(weights / (1 - weights)) / 2.5
    np.testing.assert_allclose(z[:100].std(), 1.0, rtol=0.03)
    np.testing.assert_array_equal(weights[100:], 0.5)


@pytest.mark.parametrize(
    ("make", "sentence"),
    [
        (lambda: famus_tf.MemoryWeightNet(10), "for num_examples=10: expected 20, the training examples"),
        (lambda: famus_tf.SoftLabels(10, 3), "for num_examples=10: expected 20, the training examples"),
        (lambda: famus_tf.SoftLabels(20, 4), "for 4 classes with a network of 3 outputs: expected 3"),
        (lambda: famus_tf.CMWNet([5, 6]), "for 2 classes with a network of 3 outputs: expected 3"),
        (lambda: famus_tf.MemoryWeightNet(20, **PROBES | {"num_classes": 2}), "for 2 classes with a network of 3 outp"),
    ],
)
def test_a_learner_for_other_data_or_another_network_is_refused(make, sentence):
    images, labels = small_networks.batch(0, COUNT, "float32")
    with pytest.raises(errors.InputError, match=sentence):
        make_method(make()).fit(images.numpy(), labels.numpy(), meta_data=data()[1], verbose=0)


@pytest.mark.parametrize("make", [lambda: famus_tf.MemoryWeightNet(COUNT), lambda: famus_tf.SoftLabels(COUNT, 3)])
def test_batches_without_an_index_are_refused(make):
    (images, labels, _), meta = data()
    with pytest.raises(errors.InputError, match=r"remembers each example: expected \(images, labels, index\)"):
        make_method(make()).step(((images, labels), meta))


@pytest.mark.parametrize("make", [lambda: famus_tf.MemoryWeightNet(COUNT), lambda: famus_tf.SoftLabels(COUNT, 3)])
@pytest.mark.parametrize("first", [-N, COUNT])
def test_an_epoch_of_examples_that_are_not_remembered_is_refused(make, first):
    (images, labels, index), meta = data(index=range(first, first + N))
    batches_of = tf.data.Dataset.from_tensors(((images, labels, index), meta))
    with pytest.raises(errors.InputError, match=r"epoch 1: no batch had an example of index 0 to 19, which is all"):
        make_method(make()).fit(batches_of, shuffle=False, verbose=0)
    kept = tf.data.Dataset.from_tensors(((images, labels, [*index[:-1], 0]), meta))
    make_method(make()).fit(kept, shuffle=False, verbose=0)  # one that is known is enough


def test_a_step_remembers_its_examples():
    """Probability, loss and agreement of the forward pass at w; the score by gradients of single examples."""
    method = make_method(inputs=("score", "probability", "loss", "agreement"), rule="fixed")
    network, (images, labels, index), (meta_images, meta_labels) = method.network, *data(index=[4, 9, 0, 1, 17, 2])
    logits = network(images).numpy().astype(np.float64)
    losses = np.log(np.exp(logits).sum(1)) - logits[np.arange(N), labels]
    w = [variable.numpy() for variable in method.trained_variables]
    gradients = []
    for number in range(N):
        with tf.GradientTape() as tape:
            loss = tf.keras.losses.sparse_categorical_crossentropy(
                labels[number : number + 1], network(images[number : number + 1]), from_logits=True
            )
        gradients.append([g.numpy() for g in tape.gradient(loss, [v.value for v in method.trained_variables])])
    mean = [np.mean(parts, axis=0) for parts in zip(*gradients, strict=True)]  # all weights are alike at first
    for variable, value, gradient in zip(method.trained_variables, w, mean, strict=True):
        variable.assign(value - ALPHA * gradient)
    with tf.GradientTape() as tape:
        loss = tf.reduce_mean(
            tf.keras.losses.sparse_categorical_crossentropy(meta_labels, network(meta_images), from_logits=True)
        )
    u = tape.gradient(loss, [v.value for v in method.trained_variables])
    for variable, value in zip(method.trained_variables, w, strict=True):
        variable.assign(value)
    scores = np.array([sum((g * part.numpy()).sum() for g, part in zip(row, u, strict=True)) for row in gradients])

    method.step(((images, labels, index), (meta_images, meta_labels)))
    means, visits = (part.numpy() for part in method.meta_learner.memory.means())
    rows = means[index.numpy()]
    np.testing.assert_allclose(rows[:, 0], (scores - scores.mean()) / scores.std(), rtol=1e-2, atol=1e-3)
    np.testing.assert_allclose(rows[:, 1], np.exp(-losses), rtol=1e-4)
    np.testing.assert_allclose(rows[:, 2], losses, rtol=1e-4)
    np.testing.assert_allclose(rows[:, 3], logits.argmax(1) == labels.numpy(), rtol=1e-5)
    assert visits.sum() == 4 * N and (visits[index.numpy()] == 1).all()


def test_without_a_meta_step_the_score_is_not_visited():
    method = make_method()
    training, meta = data()
    method.step((training, meta), with_meta=False)
    visits = method.meta_learner.memory.means()[1].numpy()
    np.testing.assert_array_equal(visits[:N], [[0, 1]] * N)
    method.step((training, meta))
    np.testing.assert_array_equal(method.meta_learner.memory.means()[1].numpy()[:N], [[1, 2]] * N)


def test_theta_goes_where_the_validation_loss_falls():
    """The step of a against finite differences of L_c at w_hat(a), in float32 with a step that its noise allows."""
    method = make_method(rule="meta_gradient")
    learner, (training, meta) = method.meta_learner, data()
    fill(learner)
    (theta,) = learner.trainable_variables
    w = [variable.numpy() for variable in method.trained_variables]

    def validation_loss(coefficients):
        theta.assign(coefficients)
        parameters = learner.parameters(batches.Batch(*training))
        with tf.GradientTape() as tape:
            loss = learner.loss(method.network(training[0]), training[1], parameters)
        gradients = tape.gradient(loss, [v.value for v in method.trained_variables])
        for variable, value, gradient in zip(method.trained_variables, w, gradients, strict=True):
            variable.assign(value - ALPHA * gradient)
        logits = method.network(meta[0]).numpy().astype(np.float64)
        for variable, value in zip(method.trained_variables, w, strict=True):
            variable.assign(value)
        return np.mean(np.log(np.exp(logits).sum(1)) - logits[np.arange(4), meta[1]])

    start, h = np.array([1.0, 1.0]), 0.1
    expected = []
    for unit in np.eye(2):
        expected.append((validation_loss(start + h * unit) - validation_loss(start - h * unit)) / (2 * h))
    theta.assign(start)
    method.step((training, meta))
    found = start - theta.numpy()  # a learning rate of 1
    np.testing.assert_allclose(found, expected, rtol=0.03, atol=2e-6)
    assert np.abs(found).max() > 1e-5


def test_with_an_emphasis_weights_are_products_and_its_theta_alone_is_learnt():
    """The step of MW-Net's theta is that of MW-Net beside weights that are given."""
    keras.utils.set_random_seed(3)
    learner = famus_tf.MemoryWeightNet(COUNT, **PROBES, emphasis=famus_tf.MWNet(hidden=5, weight_decay=0.01))
    method = make_method(learner)
    fill(learner)
    (images, labels, index), meta = data()
    theta = learner.parameters(batches.Batch(images, labels, index))
    assert len(theta) == 4 + 3 and len(learner.trainable_variables) == 4
    logits = method.network(images)
    trust, psi = learner.weigh(theta), learner.emphasis.weigh_examples(logits, labels, theta[:4])
    np.testing.assert_allclose(learner.weigh_examples(logits, labels, theta), trust * psi, rtol=1e-5)
    assert np.ptp(trust) > 0.1 and 0 < psi.numpy().min() < psi.numpy().max() < 1

    class Given(famus_tf.MWNet):
        def weigh_examples(self, logits, labels, theta, step=None):
            return trust * super().weigh_examples(logits, labels, theta, step)

    other = make_method(Given(hidden=5, weight_decay=0.01))
    for one, same in zip(other.meta_learner.trainable_variables, learner.trainable_variables, strict=True):
        one.assign(same)
    before = [variable.numpy() for variable in learner.trainable_variables]
    method.step(((images, labels, index), meta))
    other.step(((images, labels, index), meta))
    for new, expected, old in zip(
        learner.trainable_variables, other.meta_learner.trainable_variables, before, strict=True
    ):
        np.testing.assert_allclose(new, expected, rtol=1e-4, atol=1e-7)
        assert np.abs(new - old).max() > 0
    for new, expected in zip(method.trained_variables, other.trained_variables, strict=True):
        np.testing.assert_allclose(new, expected, rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize(
    ("options", "learnt"),
    [
        ({"rule": "fixed"}, 0),
        ({"rule": "meta_gradient"}, 2),
        (PROBES, 0),
        (PROBES | {"emphasis": famus_tf.MWNet(hidden=5)}, 16),
    ],
)
def test_the_recorded_gradient_is_that_of_what_is_learnt(options, learnt):
    method = make_method(**options)
    method.record_meta_gradient = True
    assert method.step(data())["meta_gradient"].shape == (learnt,)


def test_it_is_pulled_to_its_start_and_stays_above_zero():
    learner = famus_tf.MemoryWeightNet(COUNT, rule="meta_gradient", pull=0.5)
    learner.create_variables()
    learner.compile(keras.optimizers.SGD(1.0))
    learner.trainable_variables[0].assign([3.0, 0.5])
    rest = [tf.zeros([1, 2]), tf.eye(2)]
    theta = [tf.constant([3.0, 0.5]), *rest]
    found = learner.update(theta, [tf.constant([0.0, 4.0])])
    np.testing.assert_allclose(found[0], [2.0, 0.0])


def test_fixed_coefficients_have_no_variable_and_the_probability_alone_no_meta_step():
    fixed, alone = (
        famus_tf.MemoryWeightNet(COUNT, inputs, rule="fixed") for inputs in (("score", "probability"), ("probability",))
    )
    for learner in (fixed, alone):
        learner.create_variables()
        assert not learner.trainable_variables
    assert fixed.has_meta_step and not alone.has_meta_step
    alone = famus_tf.MemoryWeightNet(COUNT, ("probability",), rule="fixed")
    method = make_method(alone)
    records = method.step(data()[0])
    assert "gates" not in records
    np.testing.assert_array_equal(alone.memory.means()[1].numpy()[:N, 0], np.ones(N))


@pytest.mark.parametrize(
    "options",
    [
        {"rule": "meta_gradient"},
        PROBES,
        PROBES | {"emphasis": famus_tf.MWNet(hidden=4)},
        {"inputs": ("loss",), "rule": "fixed", "momentum": 0.5, "sharpness": 1.0},
    ],
)
def test_saved_and_loaded_it_is_the_same(options, tmp_path):
    method = make_method(**options)
    training, meta = data()
    batch = (training, meta) if method.needs_meta_batches else training
    method.fit(tf.data.Dataset.from_tensors(batch).repeat(3), verbose=0)
    method.save(tmp_path / "method.keras")
    loaded = keras.models.load_model(tmp_path / "method.keras")
    assert loaded.meta_learner.get_config() == method.meta_learner.get_config()
    for found, expected in zip(loaded.meta_learner.variables, method.meta_learner.variables, strict=True):
        np.testing.assert_array_equal(found, expected)
    assert any(variable.numpy().any() for variable in loaded.meta_learner.memory.variables)


@pytest.mark.parametrize(("inputs", "expected"), [(("score", "loss"), 0.0), (("loss",), 0.1)])
def test_scores_are_those_of_the_validation_loss_alone(inputs, expected):
    """With the gradients' distance L_g in the meta step they would be of another loss."""
    for given, found in ((None, expected), (0.3, 0.3)):
        learner = famus_tf.MemoryWeightNet(COUNT, inputs, emphasis=famus_tf.MWNet())
        network, selector = small_networks.residual("float32"), famus_tf.FixedBlock(-1)
        assert famus_tf.FaMUS(network, learner, selector, lambda_g=given).lambda_g == found


@pytest.mark.parametrize(
    "options",
    [
        {"inputs": ()},
        {"inputs": ("entropy",)},
        {"inputs": ("loss", "loss")},
        {"sharpness": 0.0},
        {"momentum": 1.0},
        {"rule": "no"},
        {"rule": "probes"},
        {"rule": "probes", "num_probes": COUNT, "num_classes": 3},
        {"num_probes": 3},
        {"num_probes": "3"},
        {"inputs": "score"},
        {"inputs": None},
        {"sharpness": "2"},
        {"sharpness": 1e39},
        {"least_visits": 0},
        {"shrinkage": float("nan")},
        {"pull": -1.0},
        {"rule": "meta_gradient", "emphasis": famus_tf.MWNet()},
        {"emphasis": famus_tf.L2R()},
        {"emphasis": famus_tf.SoftLabels(COUNT, 3)},
        {"emphasis": famus_tf.CMWNet([5, 6, 7])},
    ],
)
def test_settings_that_there_are_not_are_refused(options):
    with pytest.raises(errors.InputError, match="expected"):
        famus_tf.MemoryWeightNet(COUNT, **options)
