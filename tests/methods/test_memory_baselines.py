"""ELR, ELR+, PLS, SSR, PES and D2L against NumPy: what they keep of each example, what they make of it."""

import keras
import numpy as np
import pytest
import tensorflow as tf

from famus_tf import errors
from famus_tf.meta import batches
from famus_tf.methods import early_learning, neighbours, pseudo_loss, weight_average
from famus_tf.methods.baselines import d2l, elr, elr_plus, pes, pls, ssr
from tests import baseline_oracles, small_networks

N = 12
_RNG = np.random.default_rng(0)
_IMAGES = _RNG.normal(size=(N, 4))
_LABELS = _RNG.integers(0, 3, N).astype(np.int32)
_ONE_HOT = np.eye(3)[_LABELS]


def _batch(views=1):
    images = _IMAGES if views == 1 else np.stack([_IMAGES, _IMAGES + 0.3], axis=1)[:, :, None, None, :]
    return batches.Batch(tf.constant(images), tf.constant(_LABELS), tf.range(N, dtype=tf.int64))


def _images_network(dtype="float64"):
    images = keras.Input((1, 1, 4), dtype=dtype)
    return keras.Model(images, small_networks.dense(dtype)(keras.layers.Flatten(dtype=dtype)(images)))


def _flat_network(dtype="float64"):
    images = keras.Input((1, 1, 4), dtype=dtype)
    x = keras.layers.Dense(6, activation="tanh", dtype=dtype)(keras.layers.Flatten(dtype=dtype)(images))
    return keras.Model(images, keras.layers.Dense(3, dtype=dtype)(x))


class _Look:
    def __init__(self, rows, labels):
        self._rows, self.labels = np.asarray(rows, np.float32), np.asarray(labels)

    def rows(self, network, positions=None):
        return self._rows if positions is None else self._rows[positions]


def test_elr_keeps_targets_and_adds_its_term():
    keras.utils.set_random_seed(0)
    method = baseline_oracles.made(elr.ELR, small_networks.dense("float64"), N, strength=2.0, momentum=0.6)
    t = np.zeros((N, 3))
    for visit in range(3):
        z = method.network(_IMAGES).numpy()
        cut = np.clip(baseline_oracles.softmax(z), 1e-4, 1 - 1e-4)
        t = 0.6 * t + 0.4 * cut / cut.sum(-1, keepdims=True)
        expected = baseline_oracles.cross_entropies(_ONE_HOT, z) + 2 * np.log(1 - (t * cut).sum(-1))
        outcome = method.objective(_batch())
        assert float(outcome.loss) == pytest.approx(expected.mean(), rel=1e-5)
        np.testing.assert_allclose(method.targets.numpy(), t, rtol=1e-5)
        assert float(outcome.means["disagreement"]) == pytest.approx((t.argmax(-1) != _LABELS).mean())
        if visit == 0:
            np.testing.assert_allclose(t, 0.4 * cut / cut.sum(-1, keepdims=True))


def test_elr_gradient_leaves_the_targets_alone():
    method = baseline_oracles.made(elr.ELR, small_networks.dense("float64"), N, strength=2.0, momentum=0.6)
    with tf.GradientTape() as tape:
        loss = method.objective(_batch()).loss
    found = tape.gradient(loss, method.trained_variables[0].value)
    targets = tf.constant(method.targets.numpy(), tf.float64)
    with tf.GradientTape() as tape:
        z = method.network(_IMAGES)
        term = tf.math.log(1 - tf.reduce_sum(targets * early_learning.cut(z), -1))
        loss = tf.reduce_mean(method.losses(tf.constant(_LABELS), z) + 2 * term)
    np.testing.assert_allclose(found, tape.gradient(loss, method.trained_variables[0].value), rtol=1e-5)


def test_elr_with_full_momentum_is_the_cross_entropy():
    method = baseline_oracles.made(elr.ELR, small_networks.dense("float64"), N, strength=2.0, momentum=1.0)
    expected = baseline_oracles.cross_entropies(_ONE_HOT, method.network(_IMAGES)).mean()
    assert float(method.objective(_batch()).loss) == pytest.approx(expected, rel=1e-6)
    assert not method.targets.numpy().any()


def _pair(**options):
    keras.utils.set_random_seed(1)
    networks = [small_networks.dense("float64") for _ in range(2)]
    averages = [keras.models.clone_model(network) for network in networks]
    for average, network in zip(averages, networks, strict=True):
        average.set_weights(network.get_weights())
    method = elr_plus.ELRPlus(networks, averages, N, **options)
    method.compile(keras.optimizers.SGD(0.1))
    return method


@pytest.mark.parametrize("product", [False, True])
def test_elr_plus_takes_targets_from_the_others_average(product):
    method = _pair(strength=2.0, momentum=0.6, alpha=0.0, product=product, ramp_steps=4)
    shift = [0.3, -0.2]
    for average, by in zip(method.averages, shift, strict=True):
        average.variables[0].assign_add(by * np.ones(average.variables[0].shape))
    averages = [baseline_oracles.softmax(average(_IMAGES).numpy()) for average in method.averages]
    logits = [network(_IMAGES).numpy() for network in method.pair]
    method.optimizer.iterations.assign(2)
    records = method.step((_batch().images, _batch().labels, _batch().index))
    expected = 0.0
    for which in range(2):
        cut = np.clip(averages[1 - which], 1e-4, 1 - 1e-4)
        t = 0.4 * cut / cut.sum(-1, keepdims=True)
        np.testing.assert_allclose(method.targets[which].numpy(), t, rtol=1e-5)
        y, strength = _ONE_HOT, 2.0
        if product:
            y = _ONE_HOT * t / (_ONE_HOT * t).sum(-1, keepdims=True)
            strength = 2 * np.exp(-5 * 0.25)
        p = np.clip(baseline_oracles.softmax(logits[which]), 1e-4, 1 - 1e-4)
        expected += (baseline_oracles.cross_entropies(y, logits[which]) + strength * np.log(1 - (t * p).sum(-1))).mean()
    assert float(records["loss"]) == pytest.approx(expected, rel=1e-5)


def test_elr_plus_moves_its_averages_after_the_step():
    method = _pair(average=0.9, ramp_steps=0)
    before = [variable.numpy() for variable in method.averages[0].variables]
    method.step((_batch().images, _batch().labels, _batch().index))
    for old, kept, new in zip(before, method.averages[0].variables, method.pair[0].variables, strict=True):
        np.testing.assert_allclose(kept.numpy(), 0.9 * old + 0.1 * new.numpy(), rtol=1e-6)
    assert len(method.trained_variables) == 8 and not any(average.trainable for average in method.averages)


def test_the_momentum_of_averages_rises():
    for step, part in ((0, 0.0), (10, 0.5), (20, 1.0), (50, 1.0)):
        found = weight_average.momentum(tf.constant(step), 0.99, 20)
        assert float(found) == pytest.approx(0.99 * np.exp(-5 * (1 - part) ** 2), rel=1e-6)


def test_pls_learns_guesses_for_noisy_labels_weighed():
    keras.utils.set_random_seed(0)
    method = baseline_oracles.made(pls.PLS, _flat_network(), N, first_epoch=1, alpha=0.0, sharpness=2.0)
    batch = _batch(views=2)
    z = [method.network(view).numpy() for view in (batch.images[:, 0], batch.images[:, 1])]
    guess = ((baseline_oracles.softmax(z[0]) + baseline_oracles.softmax(z[1])) / 2) ** 2
    guess /= guess.sum(-1, keepdims=True)
    first = method.objective(method.prepare(batch, None))
    assert float(first.loss) == pytest.approx(baseline_oracles.cross_entropies(_ONE_HOT, z[0]).mean(), rel=1e-6)
    np.testing.assert_allclose(method._guesses.numpy(), guess, rtol=1e-5)
    weights = np.where(np.arange(N) < 5, np.linspace(0, 1, N), -1)
    method._weights.fill(weights)
    method._judged.assign(True)
    noisy = weights >= 0
    targets = np.where(noisy[:, None], guess, _ONE_HOT)
    w = np.where(noisy, weights, 1.0)
    outcome = method.objective(method.prepare(batch, None))
    prior = np.log(1 / 3 / baseline_oracles.softmax(z[0]).mean(0)).mean()
    assert float(outcome.loss) == pytest.approx(
        (w * baseline_oracles.cross_entropies(targets, z[0])).sum() / w.sum() + prior, rel=1e-5
    )
    np.testing.assert_array_equal(outcome.weights, ~noisy)  # of the given labels
    np.testing.assert_array_equal(method.trust(), ~noisy)
    assert float(outcome.means["noisy_share"]) == pytest.approx(5 / 12)
    assert float(outcome.means["guess_weight"]) == pytest.approx(weights[:5].mean(), rel=1e-6)


def test_pls_mixes_targets_weights_and_images_alike():
    method = baseline_oracles.made(pls.PLS, _flat_network(), N, first_epoch=1, alpha=1.0)
    method._weights.fill(np.where(np.arange(N) < 5, 0.25, -1))
    method._judged.assign(True)
    batch = _batch(views=2)
    images, (targets, weights), others, share, _ = method.prepare(batch, None)
    share, view = float(share), batch.images[:, 0].numpy().reshape(N, 4)
    wanted = (images.numpy().reshape(N, 4) - share * view) / (1 - share)
    partners = np.linalg.norm(wanted[:, None] - view[None], axis=-1).argmin(1)
    np.testing.assert_allclose(others[0], targets.numpy()[partners])
    np.testing.assert_allclose(others[1], weights.numpy()[partners])
    outcome = method.objective((images, (targets, weights), others, tf.constant(share), weights))
    z, w = method.network(images).numpy(), weights.numpy()
    parts = [
        (v * baseline_oracles.cross_entropies(t, z)).sum() / w.sum()
        for t, v in ((targets.numpy(), w), (others[0].numpy(), others[1].numpy()))
    ]
    prior = np.log(1 / 3 / baseline_oracles.softmax(z).mean(0)).mean()
    assert float(outcome.loss) == pytest.approx(share * parts[0] + (1 - share) * parts[1] + prior, rel=1e-5)


def test_pls_judges_by_its_own_guesses():
    method = baseline_oracles.made(pls.PLS, _flat_network(), N, first_epoch=2)
    rows = _RNG.normal(0, 3, (N, 3))
    method._guesses.fill(baseline_oracles.softmax(rows))
    method.begin_epoch(1, _Look(rows, _LABELS))
    assert not bool(method._judged.numpy())
    method.begin_epoch(2, _Look(rows, _LABELS))
    expected = pseudo_loss.judged(rows.astype("float32"), _LABELS, method._guesses.numpy(), 0.95, 2)
    np.testing.assert_array_equal(method._weights.numpy(), expected)


def test_ssr_relabels_selects_and_fills_classes():
    method = baseline_oracles.made(ssr.SSR, _flat_network(), 60, relabel_above=0.9, clean_from=1.0, neighbours=10)
    true = np.repeat([0, 1, 2], [30, 20, 10])
    labels = true.copy()
    labels[:4] = 1  # wrong; the network is sure of two of them
    logits = np.zeros((60, 3))
    logits[:2, 0] = 10
    features = np.eye(6)[true] * 5 + np.random.default_rng(0).normal(0, 0.1, (60, 6))
    method.begin_epoch(0, _Look(np.concatenate([features, logits], 1), labels))
    kept = method._labels.numpy()
    np.testing.assert_array_equal(kept[:4], [0, 0, 1, 1])
    clean = method._clean.numpy() > 0
    assert not clean[2:4].any() and clean[[0, 1]].all() and clean[4:].all()
    draw, second = method.draws(0, labels)
    assert second is None and draw.views == 2
    assert np.bincount(kept[draw.positions].astype(int)).tolist() == [28, 28, 28]
    assert clean[draw.positions].all() and set(draw.positions) == set(np.flatnonzero(clean))
    assert float(method._shares.numpy()[0]) == pytest.approx(58 / 60)
    np.testing.assert_array_equal(method.trust(), np.arange(60) >= 4)  # two are relabelled, two are not clean
    method.begin_epoch(1, _Look(np.concatenate([features, 0 * logits], 1), labels))
    np.testing.assert_array_equal(method._labels.numpy(), labels)  # never cumulative


def test_before_anything_is_judged_nobody_is_trusted_or_not():
    for kind in (ssr.SSR, pls.PLS, pes.PES):
        assert baseline_oracles.made(kind, _flat_network(), N).trust() is None


@pytest.mark.parametrize("kind", [elr.ELR, elr_plus.ELRPlus])
def test_fit_on_another_number_of_examples_is_refused(kind):
    networks = [small_networks.dense("float32") for _ in range(4)]
    method = kind(networks[0], 5) if kind is elr.ELR else kind(networks[:2], networks[2:], 5)
    method.compile(keras.optimizers.SGD(0.1))
    with pytest.raises(
        errors.InputError,
        match=rf"^{kind.__name__} for num_examples=5: expected 12, the training examples that there are$",
    ):
        method.fit(_IMAGES.astype("float32"), _LABELS)


def test_ssr_with_open_thresholds_takes_all_as_labelled():
    method = baseline_oracles.made(ssr.SSR, _flat_network(), N, relabel_above=1.0, clean_from=0.0, neighbours=4)
    rows = _RNG.normal(0, 30, (N, 9))
    method.begin_epoch(0, _Look(rows, _LABELS))
    np.testing.assert_array_equal(method._labels.numpy(), _LABELS)
    assert set(method.draws(0, _LABELS)[0].positions) == set(range(N))


def test_ssr_learns_new_labels_from_both_views():
    method = baseline_oracles.made(ssr.SSR, _flat_network(), N, alpha=0.0)
    changed = (_LABELS + 1) % 3
    method._labels.fill(changed)
    batch = _batch(views=2)
    z = np.concatenate([method.network(batch.images[:, view]).numpy() for view in range(2)])
    expected = baseline_oracles.cross_entropies(np.eye(3)[np.tile(changed, 2)], z).mean()
    assert float(method.objective(method.prepare(batch, None)).loss) == pytest.approx(expected, rel=1e-6)


def test_pes_moves_what_its_stage_is_about():
    method = baseline_oracles.made(
        pes.PES, _flat_network("float32"), N, first_epochs=1, head_epochs=1, steps_per_epoch=1
    )
    images, labels = tf.constant(_IMAGES.reshape(N, 1, 1, 4), tf.float32), tf.constant(_LABELS)
    look = _Look(_RNG.normal(size=(N, 3)), _LABELS)
    start = [variable.numpy() for variable in method.trained_variables]
    moved = []
    for epoch in range(3):
        method.begin_epoch(epoch, look)
        before = [variable.numpy() for variable in method.trained_variables]
        method.step((images, labels))
        after = [variable.numpy() for variable in method.trained_variables]
        moved.append([not np.array_equal(one, other) for one, other in zip(before, after, strict=True)])
        if epoch == 1:
            np.testing.assert_array_equal(before[2], start[2])  # the classifier has begun anew
            assert not np.array_equal(before[0], start[0])
    assert moved == [[True] * 4, [False, False, True, True], [True, True, False, False]]


def test_pes_selects_what_it_predicts_and_weighs_classes():
    method = baseline_oracles.made(pes.PES, _flat_network(), N, first_epochs=0, head_epochs=0)
    logits = np.eye(3)[np.where(np.arange(N) < 9, _LABELS, (_LABELS + 1) % 3)]
    method.begin_epoch(0, _Look(logits, _LABELS))
    confident, others = method.draws(0, _LABELS)
    assert list(confident.positions) == list(range(9)) and list(others.positions) == [9, 10, 11]
    sizes = np.bincount(_LABELS[:9], minlength=3)
    expected = np.minimum(sizes.mean() / sizes, 3)
    np.testing.assert_allclose(method._class_weights.numpy(), expected, rtol=1e-6)
    np.testing.assert_array_equal(method.trust(), np.arange(N) < 9)
    few = np.where((_LABELS == 0) | (np.arange(N) == np.flatnonzero(_LABELS == 1)[0]), _LABELS, (_LABELS + 1) % 3)
    method.begin_epoch(1, _Look(np.eye(3)[few], _LABELS))
    count = (_LABELS == 0).sum()
    expected = [(count + 1) / 2 / count, min((count + 1) / 2, 3), 0]
    np.testing.assert_allclose(method._class_weights.numpy(), expected, rtol=1e-6)
    method.begin_epoch(2, _Look(np.eye(3)[_LABELS], _LABELS))
    all_of_them, others = method.draws(2, _LABELS)
    assert list(all_of_them.positions) == list(range(N)) and others is None
    method.begin_epoch(3, _Look(np.eye(3)[(_LABELS + 1) % 3], _LABELS))
    assert method.draws(3, _LABELS)[0].positions is None  # none is confident


@pytest.mark.parametrize("alone", [False, True])
def test_pes_weighs_classes_inside_of_mixed_labels(alone):
    """sum_k c_k t_k (-log p_k), and its gradient, which is not p - c t."""
    keras.utils.set_random_seed(0)
    method = baseline_oracles.made(pes.PES, _flat_network(), N, first_epochs=0, head_epochs=0, lambda_u=0.0, alpha=4.0)
    method._class_weights.assign([0.5, 1.0, 3.0])
    batch = _batch(views=2)
    images, labels = prepared = method.prepare(batch, None if alone else batch)
    with tf.GradientTape() as tape:
        loss = method.objective(prepared).loss
    found = tape.gradient(loss, method.trained_variables[-1].value)
    p, t, c = (
        baseline_oracles.softmax(method.network(images).numpy()),
        labels.targets.numpy(),
        np.array([0.5, 1.0, 3.0]),
    )
    rows = slice(None) if alone else slice(2 * N)
    assert len(t) == (2 if alone else 4) * N and np.ptp(t.max(-1)) > 0
    assert float(loss) == pytest.approx(-(c * t * np.log(p))[rows].sum(-1).mean(), rel=1e-5)
    by_hand = (p * (c * t).sum(-1, keepdims=True) - c * t)[rows].mean(0)
    np.testing.assert_allclose(found, by_hand, rtol=1e-4, atol=1e-8)


def test_pes_without_a_second_stage_goes_on_with_its_classifier():
    method = baseline_oracles.made(pes.PES, _flat_network("float32"), N, first_epochs=1, head_epochs=0)
    head = method.trained_variables[2]
    head.assign_add(tf.ones(head.shape))
    before = head.numpy()
    method.begin_epoch(1, _Look(np.eye(3)[_LABELS], _LABELS))
    np.testing.assert_array_equal(head.numpy(), before)
    method.optimizer.iterations.assign(5)
    assert [float(one) for one in method.kept_gradients()] == [1, 1, 1, 1]


def test_pes_trains_by_mixmatch_with_class_weights():
    method = baseline_oracles.made(
        pes.PES, _flat_network(), N, first_epochs=0, head_epochs=0, steps_per_epoch=1, lambda_u=3.0, alpha=0.0
    )
    method.optimizer.iterations.assign(4)
    method._class_weights.assign([0.5, 1.0, 3.0])
    batch = _batch(views=2)
    other = batches.Batch(batch.images + 1.0, batch.labels, batch.index)
    z = [method.network(part.images[:, view]).numpy() for part in (batch, other) for view in range(2)]
    guess = ((baseline_oracles.softmax(z[2]) + baseline_oracles.softmax(z[3])) / 2) ** 2
    guess /= guess.sum(-1, keepdims=True)
    w = np.array([0.5, 1.0, 3.0])[_LABELS]
    labelled = np.mean([(w * baseline_oracles.cross_entropies(_ONE_HOT, part)).mean() for part in z[:2]])
    square = np.mean([((baseline_oracles.softmax(part) - guess) ** 2).mean() for part in z[2:]])
    outcome = method.objective(method.prepare(batch, other))
    assert float(outcome.loss) == pytest.approx(labelled + 3 * 4 / 16 * square, rel=1e-5)


def test_d2l_turns_when_the_dimension_rises():
    steady = [5.0, 4.9, 5.1, 5.0, 4.8, 5.0, 5.1]
    assert not d2l.is_turning_point(np.array(steady), 0)
    assert d2l.is_turning_point(np.array([*steady, 6.0]), 0)
    assert not d2l.is_turning_point(np.array([*steady, 6.0]), 2)  # not before e > 2 + 5


def test_d2l_takes_batches_as_they_were_drawn(monkeypatch):
    """Of examples in the order of their classes, each batch would be of one."""
    monkeypatch.setattr(d2l, "_BATCH", 50)
    rng = np.random.default_rng(0)
    classes = np.repeat(np.arange(4), 50)
    rows = 100 * np.eye(4)[classes] + rng.normal(size=(200, 4))
    method = baseline_oracles.made(d2l.D2L, _flat_network(), first_epoch=0, epochs=3)
    method.begin_epoch(0, _Look(rows, classes))
    in_order = d2l.mean_dimension(rows)
    assert float(method._latest.numpy()) < 0.7 * in_order


def test_d2l_believes_predictions_by_the_dimension():
    method = baseline_oracles.made(d2l.D2L, _flat_network(), first_epoch=0, epochs=20)
    seen = []
    for epoch in range(9):
        scale = 1.0 if epoch < 7 else 4.0
        rng = np.random.default_rng(epoch)
        rows = rng.normal(size=(200, 6)) * np.array([1, 1, 0, 0, 0, 0]) + scale * rng.normal(size=(200, 6)) * 0.02
        rows = rows if epoch < 7 else rng.normal(size=(200, 6))
        method.begin_epoch(epoch, _Look(rows, np.zeros(200)))
        seen.append(float(method._latest.numpy()))
        chosen = np.random.default_rng([0, epoch]).permutation(200)
        groups = np.array_split(rows.astype("float32")[chosen], 1)
        expected = np.mean([neighbours.intrinsic_dimension(part, 20).mean() for part in groups])
        assert seen[-1] == pytest.approx(expected, rel=0.1)
        alpha = 1.0 if epoch < 7 else np.exp(-(epoch / 20) * seen[-1] / min(seen))
        assert float(method._share.numpy()) == pytest.approx(alpha, rel=1e-5)
    z = method.network(_IMAGES.reshape(N, 1, 1, 4)).numpy()
    batch = batches.Batch(tf.constant(_IMAGES.reshape(N, 1, 1, 4)), tf.constant(_LABELS), tf.range(N))
    y = alpha * _ONE_HOT + (1 - alpha) * np.eye(3)[z.argmax(-1)]
    assert float(method.objective(batch).loss) == pytest.approx(baseline_oracles.cross_entropies(y, z).mean(), rel=1e-5)
