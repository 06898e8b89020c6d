"""Forward correction, Gold Loss Correction, Decoupling, INCV and BBN: their steps against NumPy, and their stages."""

import keras
import numpy as np
import pytest
import tensorflow as tf

from famus_tf import errors
from famus_tf.meta import batches
from famus_tf.methods import cross_validation, noise_estimates, two_streams
from famus_tf.methods.baselines import bbn, decoupling, forward, gold_loss, incv
from tests import baseline_oracles, small_networks

N = 12
_RNG = np.random.default_rng(0)
_IMAGES = _RNG.normal(size=(N, 4))
_LABELS = _RNG.integers(0, 3, N).astype(np.int32)
_ONE_HOT = np.eye(3)[_LABELS]
_T = np.array([[0.7, 0.2, 0.1], [0.0, 0.9, 0.1], [0.3, 0.3, 0.4]])


def _batch(images=_IMAGES, labels=_LABELS):
    return batches.Batch(tf.constant(images), tf.constant(labels), tf.range(len(labels), dtype=tf.int64))


class _Look:
    """Says of all examples, and of trusted ones, what it is given."""

    def __init__(self, *rows, labels=_LABELS, trusted=None):
        self._rows, self.labels, self._trusted = list(rows), labels, trusted

    def rows(self, network, positions=None):
        return np.asarray(self._rows.pop(0), np.float32)

    def trusted(self, network):
        return self._trusted


@pytest.mark.parametrize("correction", ["forward", "backward"])
def test_a_given_matrix_corrects_from_the_start(correction):
    method = baseline_oracles.made(forward.Forward, small_networks.dense("float64"), _T, correction=correction)
    z = method.network(_IMAGES).numpy()
    by_hand = {
        "forward": -np.log((baseline_oracles.softmax(z) @ _T)[np.arange(N), _LABELS]),
        "backward": -((_ONE_HOT @ np.linalg.inv(_T)) * np.log(baseline_oracles.softmax(z))).sum(-1),
    }
    outcome = method.objective(_batch())
    assert float(outcome.loss) == pytest.approx(by_hand[correction].mean(), rel=1e-5)
    assert float(outcome.means["noise"]) == pytest.approx(1 - np.trace(_T) / 3, rel=1e-5)


def test_the_identity_corrects_nothing():
    method = baseline_oracles.made(forward.Forward, small_networks.dense("float64"), np.eye(3))
    assert float(method.objective(_batch()).loss) == pytest.approx(
        baseline_oracles.cross_entropies(_ONE_HOT, method.network(_IMAGES)).mean()
    )


def test_forward_estimates_and_begins_anew():
    method = baseline_oracles.made(forward.Forward, small_networks.dense("float32"), estimate_epoch=1, percentile=100.0)
    start = [variable.numpy() for variable in method.network.variables]
    images = _IMAGES.astype("float32")
    look = _Look(np.log(np.concatenate([_T, np.full((9, 3), 1 / 3)]) + 1e-30))
    method.begin_epoch(0, look)
    method.step((images, _LABELS))
    assert any(not np.array_equal(one, v.numpy()) for one, v in zip(start, method.network.variables, strict=True))
    method.begin_epoch(1, look)
    np.testing.assert_allclose(method._matrix.numpy(), _T, rtol=1e-5, atol=1e-20)
    for one, variable in zip(start, method.network.variables, strict=True):
        np.testing.assert_array_equal(one, variable.numpy())
    z = method.network(images).numpy()
    expected = -np.log((baseline_oracles.softmax(z) @ _T)[np.arange(N), _LABELS]).mean()
    assert float(method.objective(_batch(images)).loss) == pytest.approx(expected, rel=1e-5)


def test_backward_correction_refuses_what_has_no_inverse():
    with pytest.raises(errors.InputError, match="no inverse"):
        forward.Forward(small_networks.dense(), np.full((3, 3), 1 / 3), correction="backward")


def test_gold_loss_learns_from_corrected_and_trusted_labels():
    method = baseline_oracles.made(gold_loss.GoldLoss, small_networks.dense("float64"), 1, 2)
    assert [method.is_meta_step(step) for step in range(4)] == [False, False, True, True]
    said, labels = np.log(np.repeat(_T, 4, axis=0) + 1e-30).astype("float32"), np.repeat([0, 1, 2], 4)
    method.begin_epoch(1, _Look(trusted=(said, labels)))
    np.testing.assert_allclose(method._matrix.numpy(), _T, rtol=1e-5, atol=1e-20)
    images, true = _RNG.normal(size=(5, 4)), _RNG.integers(0, 3, 5)
    outcome = method.objective((_batch(), _batch(images, true)))
    z, trusted = method.network(_IMAGES).numpy(), method.network(images).numpy()
    total = (
        -np.log((baseline_oracles.softmax(z) @ _T)[np.arange(N), _LABELS]).sum()
        + baseline_oracles.cross_entropies(np.eye(3)[true], trusted).sum()
    )
    assert float(outcome.loss) == pytest.approx(total / (N + 5), rel=1e-5)


def _networks(dtype="float64", alike=False):
    made = []
    for seed in (0, 0 if alike else 1):
        keras.utils.set_random_seed(seed)
        made.append(small_networks.dense(dtype))
    return made


def test_decoupling_learns_where_the_networks_disagree():
    method = baseline_oracles.made(decoupling.Decoupling, _networks())
    z = [network(_IMAGES).numpy() for network in method.pair]
    apart = z[0].argmax(-1) != z[1].argmax(-1)
    assert 0 < apart.sum() < N
    losses = baseline_oracles.cross_entropies(_ONE_HOT, z[0]) + baseline_oracles.cross_entropies(_ONE_HOT, z[1])
    loss, weights = method.objective(_LABELS, *map(tf.constant, z), None)
    assert float(loss) == pytest.approx((apart * losses).sum() / max(0.1 * N, apart.sum()), rel=1e-9)
    np.testing.assert_allclose(weights, apart * N / max(0.1 * N, apart.sum()))
    assert float(method.kept_share(weights, None)) == pytest.approx(apart.mean())
    early = baseline_oracles.made(decoupling.Decoupling, _networks(), first_step=3)
    assert float(early.objective(_LABELS, *map(tf.constant, z), None)[0]) == pytest.approx(losses.mean(), rel=1e-9)


def test_decoupled_networks_that_are_alike_stay_as_they_are():
    method = baseline_oracles.made(decoupling.Decoupling, _networks(alike=True))
    before = [variable.numpy() for variable in method.trained_variables]
    for _ in range(3):
        method.step((_IMAGES, _LABELS))
    for one, variable in zip(before, method.trained_variables, strict=True):
        np.testing.assert_array_equal(one, variable.numpy())


def _incv(**options):
    return baseline_oracles.made(
        incv.INCV, _networks("float32"), N, **{"rounds": 1, "round_epochs": 1, "batch_size": 4, "seed": 3} | options
    )


def test_incv_goes_through_its_rounds():
    method = _incv(candidate_epochs=1)
    method.begin_epoch(0, _Look())
    assert method.trust() is None
    first, second = method.draws(0, _LABELS)
    assert sorted([*first.positions, *second.positions]) == list(range(N)) and len(first.positions) == 6
    assert method.variant_of(0) == "folds" and method.variant_of(1) is None
    right = np.eye(3)[_LABELS] * 5
    right[[0, 5]] = np.eye(3)[(_LABELS[[0, 5]] + 1) % 3] * 5  # two labels that nobody predicts
    method.begin_epoch(1, _Look(right, right))
    sets = method._sets.numpy()
    assert (sets[[i for i in range(N) if i not in (0, 5)]] == cross_validation.SELECTED).all()
    assert set(sets[[0, 5]]) <= {cross_validation.CANDIDATE, cross_validation.REMOVED}
    training, joining = method.draws(1, _LABELS)
    assert len(training.positions) == 10 and joining is None
    assert set(method.trust()[[0, 5]]) <= {0.0, 0.5} and (method.trust() == 1).sum() == 10
    noise = cross_validation.noise_rate(10 / 12, 3)
    assert float(method._noise.numpy()) == pytest.approx(noise)
    method.optimizer.iterations.assign(6)  # epoch 5 of co-teaching
    assert float(method._rate()) == pytest.approx(0.5 * noise**2 / (noise**2 + 2 * (1 - noise) ** 2), rel=1e-6)


def test_incv_candidates_join_without_more_being_kept():
    method = _incv(candidate_epochs=0, symmetric=False)
    method._sets.fill(np.where(np.arange(N) < 6, cross_validation.SELECTED, cross_validation.CANDIDATE))
    training, joining = method.draws(1, _LABELS)
    assert len(training.positions) == 6 and joining.size == 2 and list(joining.positions) == list(range(6, 12))
    images = _IMAGES.astype("float32")
    weights = method.step(((images[:4], _LABELS[:4]), (images[6:8], _LABELS[6:8])))["example_weight"].numpy()
    # Each network keeps four of six, which share the weight of six.
    assert weights.shape == (6,) and weights.sum() == pytest.approx(6) and (weights <= 1.5).all()


def test_incv_in_a_round_gives_each_network_its_own_part():
    method = _incv()
    images = _IMAGES.astype("float32")
    before = [network(images).numpy() for network in method.pair]
    method.variant = "folds"
    records = method.step(((images[:6], _LABELS[:6]), (images[6:], _LABELS[6:])))
    expected = (
        baseline_oracles.cross_entropies(_ONE_HOT[:6], before[0][:6]).mean()
        + baseline_oracles.cross_entropies(_ONE_HOT[6:], before[1][6:]).mean()
    )
    assert float(records["loss"]) == pytest.approx(expected, rel=1e-5)


def _branches(dtype="float64"):
    keras.utils.set_random_seed(0)
    network = small_networks.residual(dtype, batch_norm=False)
    return network, two_streams.two_branches(network)


def _bbn_images(seed, n=6):
    return np.random.default_rng(seed).normal(size=(n, 6, 6, 2))


def test_bbn_doubles_the_last_block():
    network, doubled = _branches()
    names = {layer.name for layer in doubled.layers}
    assert {two_streams.TRUNK, *two_streams.BRANCHES, two_streams.CLASSIFIER} <= names
    first, second = (doubled.get_layer(name) for name in two_streams.BRANCHES)
    assert [v.shape for v in first.trainable_variables] == [v.shape for v in second.trainable_variables]
    assert not np.array_equal(first.trainable_variables[0].numpy(), second.trainable_variables[0].numpy())
    of_network = {id(variable) for variable in network.trainable_variables}
    assert {id(variable) for variable in first.trainable_variables} <= of_network
    shared = {id(variable) for variable in doubled.get_layer(two_streams.TRUNK).trainable_variables}
    assert shared and shared <= of_network and not shared & {id(v) for v in second.trainable_variables}


def test_bbn_weighs_both_streams_by_the_course_of_the_run():
    _, doubled = _branches()
    method = baseline_oracles.made(bbn.BBN, doubled, epochs=10, steps_per_epoch=2)
    method.optimizer.iterations.assign(9)  # epoch 4
    a = 1 - 0.4**2
    labels = np.array([0, 1, 2, 2, 1, 0]), np.array([2, 2, 1, 0, 1, 2])
    pair = [_batch(_bbn_images(seed), one) for seed, one in enumerate(labels)]
    outcome = method.objective(method.prepare(*pair))
    trunk = doubled.get_layer(two_streams.TRUNK)
    f = [
        doubled.get_layer(name)(trunk(batch.images)).numpy()
        for name, batch in zip(two_streams.BRANCHES, pair, strict=True)
    ]
    w, b = (v.numpy() for v in doubled.get_layer(two_streams.CLASSIFIER).variables)
    z = 2 * np.concatenate([a * f[0], (1 - a) * f[1]], -1) @ w + b
    expected = a * baseline_oracles.cross_entropies(np.eye(3)[labels[0]], z) + (
        1 - a
    ) * baseline_oracles.cross_entropies(np.eye(3)[labels[1]], z)
    assert float(outcome.loss) == pytest.approx(expected.mean(), rel=1e-5)
    assert float(outcome.means["natural_share"]) == pytest.approx(a)


def test_bbn_at_the_start_is_the_conventional_branch_alone():
    _, doubled = _branches()
    method = baseline_oracles.made(bbn.BBN, doubled, epochs=10)
    labels = np.array([0, 1, 2, 2, 1, 0])
    with tf.GradientTape() as tape:
        loss = method.objective(method.prepare(_batch(_bbn_images(0), labels), None)).loss
    gradients = tape.gradient(loss, [variable.value for variable in method.trained_variables])
    trunk, classifier = doubled.get_layer(two_streams.TRUNK), doubled.get_layer(two_streams.CLASSIFIER)
    w, b = (v.numpy() for v in classifier.variables)
    f = doubled.get_layer(two_streams.BRANCHES[0])(trunk(_bbn_images(0))).numpy()
    expected = baseline_oracles.cross_entropies(np.eye(3)[labels], 2 * f @ w[: f.shape[1]] + b).mean()
    assert float(loss) == pytest.approx(expected, rel=1e-5)
    of_second = {id(v) for v in doubled.get_layer(two_streams.BRANCHES[1]).trainable_variables}
    for variable, gradient in zip(method.trained_variables, gradients, strict=True):
        assert (np.abs(gradient).max() == 0) == (id(variable) in of_second)


def test_bbn_with_equal_branches_at_the_middle_is_the_plain_network():
    network, doubled = _branches()
    first, second = (doubled.get_layer(name) for name in two_streams.BRANCHES)
    second.set_weights(first.get_weights())
    kernel, bias = network.layers[-1].get_weights()
    doubled.get_layer(two_streams.CLASSIFIER).set_weights([np.concatenate([kernel, kernel]) / 2, bias])
    np.testing.assert_allclose(doubled(_bbn_images(0)), network(_bbn_images(0)), rtol=1e-5)


def test_bbn_draws_a_reversed_stream_for_each_epoch():
    _, doubled = _branches()
    method = baseline_oracles.made(bbn.BBN, doubled, seed=1)
    labels = np.repeat([0, 1, 2], [80, 15, 5])
    natural, other = method.draws(0, labels)
    assert natural.positions is None and len(other.positions) == 100
    assert np.bincount(labels[other.positions])[2] > 50
    assert not np.array_equal(other.positions, method.draws(1, labels)[1].positions)
    np.testing.assert_array_equal(other.positions, method.draws(0, labels)[1].positions)


def test_fit_refuses_methods_that_look_at_all_examples():
    method = baseline_oracles.made(incv.INCV, _networks("float32"), N)
    with pytest.raises(errors.InputError, match=r"fit: INCV looks at all examples"):
        method.fit(_IMAGES.astype("float32"), _LABELS)


def test_estimates_agree_with_the_truth_on_a_known_posterior():
    """Of a network that knows p(given | x) exactly, both ways find T."""
    true = np.eye(3)[np.arange(90) % 3]
    said = (true @ _T).astype("float32")
    np.testing.assert_allclose(noise_estimates.from_trusted(said, np.arange(90) % 3), _T, rtol=1e-5)
    np.testing.assert_allclose(noise_estimates.from_anchors(said, 97.0), _T, rtol=1e-5)
