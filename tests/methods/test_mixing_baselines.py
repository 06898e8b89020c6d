"""MixUp, MentorNet, MentorMix, M-correction against NumPy: what a batch becomes, and the loss of it."""

import keras
import numpy as np
import pytest
import tensorflow as tf

from famus_tf import losses as famus_losses
from famus_tf.meta import batches
from famus_tf.methods import beta_mixture
from famus_tf.methods.baselines import m_correction, mentormix, mentornet, mixup
from tests import small_networks

N = 12
_RNG = np.random.default_rng(0)
_IMAGES = _RNG.normal(size=(N, 4))
_LABELS = _RNG.integers(0, 3, N).astype(np.int32)
_ONE_HOT = np.eye(3)[_LABELS]


def _batch():
    return batches.Batch(tf.constant(_IMAGES), tf.constant(_LABELS), tf.range(N, dtype=tf.int64))


def _made(kind, *args, **options):
    keras.utils.set_random_seed(0)
    method = kind(small_networks.dense("float64"), *args, **options)
    method.compile(keras.optimizers.SGD(0.1))
    return method


def _losses(y, z):
    z = np.asarray(z)
    return -(y * (z - np.log(np.exp(z).sum(-1, keepdims=True)))).sum(-1)


def _rows_in(mixed, share, rows=_IMAGES):
    """For each mixed row the partner j with mixed_i = share_i x_i + (1 - share_i) x_j."""
    share = np.broadcast_to(share, N)[:, None]
    wanted = (np.asarray(mixed) - share * rows) / (1 - share)
    distance = np.linalg.norm(wanted[:, None] - rows[None], axis=-1)
    assert distance.min(1).max() < 1e-5
    return distance.argmin(1)


def test_mixup_mixes_by_one_permutation_and_one_coefficient():
    method = _made(mixup.MixUp, 1.0, seed=3)
    images, labels, others, share = method.prepare(_batch(), None)
    assert 0.5 <= float(share) < 1
    partners = _rows_in(images, float(share))
    assert sorted(partners) == list(range(N)) and (partners != np.arange(N)).any()
    np.testing.assert_array_equal(others, _LABELS[partners])
    outcome = method.objective((images, labels, others, share))
    z = method.network(images)
    mixed = float(share) * _ONE_HOT + (1 - float(share)) * _ONE_HOT[partners]
    assert float(outcome.loss) == pytest.approx(_losses(mixed, z).mean(), rel=1e-6)
    assert not outcome.as_given


def test_mixup_changes_from_step_to_step_and_by_the_seed():
    method, other = _made(mixup.MixUp, 1.0, seed=3), _made(mixup.MixUp, 1.0, seed=4)
    found = [float(method.prepare(_batch(), None)[3]), float(other.prepare(_batch(), None)[3])]
    method.step((_batch().images, _batch().labels))
    found.append(float(method.prepare(_batch(), None)[3]))
    assert len(set(found)) == 3


def test_mixup_of_a_loss_that_is_not_linear_mixes_losses():
    loss = famus_losses.GeneralizedCrossEntropy(0.7)
    method = _made(mixup.MixUp, 1.0, training_loss=loss)
    images, labels, others, share = prepared = method.prepare(_batch(), None)
    z = method.network(images)
    expected = float(share) * loss(labels, z).numpy() + (1 - float(share)) * loss(others, z).numpy()
    assert float(method.objective(prepared).loss) == pytest.approx(expected.mean(), rel=1e-6)


@pytest.mark.parametrize("form", ["threshold", "predefined"])
def test_mentornet_weighs_by_the_threshold(form):
    method = _made(mentornet.MentorNet, total_steps=10, form=form, percentile=0.5)
    method.optimizer.iterations.assign(5)
    outcome = method.objective(_batch())
    losses = _losses(_ONE_HOT, method.network(_IMAGES))
    threshold = np.percentile(losses, 50) / 2
    kept = losses < threshold
    np.testing.assert_array_equal(outcome.weights, kept)
    assert float(outcome.loss) == pytest.approx((kept * losses).sum() / N, rel=1e-6)
    assert float(outcome.means["kept_share"]) == pytest.approx(kept.mean())
    assert float(outcome.means["threshold"]) == pytest.approx(threshold, rel=1e-6)


def test_mentornet_late_in_the_run_keeps_what_is_near_the_threshold():
    method = _made(mentornet.MentorNet, total_steps=100, percentile=0.5)
    method.optimizer.iterations.assign(95)
    losses = _losses(_ONE_HOT, method.network(_IMAGES))
    expected = np.clip(1 - (losses - np.percentile(losses, 50) / 2), 0, 1)
    np.testing.assert_allclose(method.objective(_batch()).weights, expected, rtol=1e-5)


def test_mentornet_has_no_gradient_through_its_weights_and_decays_less():
    method = _made(mentornet.MentorNet, total_steps=100, percentile=0.5, weight_decay=0.25)
    method.optimizer.iterations.assign(95)
    with tf.GradientTape() as tape:
        outcome = method.objective(_batch())
    found = tape.gradient(outcome.loss, method.trained_variables[0].value)
    weights = outcome.weights.numpy()
    with tf.GradientTape() as tape:
        loss = tf.reduce_mean(weights * method.losses(_batch().labels, method.network(_batch().images)))
    np.testing.assert_allclose(found, tape.gradient(loss, method.trained_variables[0].value), rtol=1e-9)
    assert float(outcome.decay) == pytest.approx(0.25 * weights.mean())


@pytest.mark.parametrize(("step", "left_out"), [(0, 6), (16, 6), (17, 3), (82, 3), (83, 0), (99, 0)])
def test_mentornet_drops_examples_by_its_schedule(step, left_out):
    method = _made(mentornet.MentorNet, total_steps=100, burn_in=1.0, dropout=(0.5, 17.0, 0.25, 66.0))
    method.optimizer.iterations.assign(step)
    assert (method.objective(_batch()).weights.numpy() == 0).sum() == left_out


def test_mentormix_mixes_by_what_the_mentor_trusts():
    method = _made(mentormix.MentorMix, alpha=1.0, percentile=0.5)
    images, _, others, share, values = prepared = method.prepare(_batch(), None)
    losses = _losses(_ONE_HOT, method.network(_IMAGES))
    kept = losses < np.percentile(losses, 50) / 2
    np.testing.assert_array_equal(values, kept)
    assert ((share.numpy() >= 0.5) == kept).all() and len(set(share.numpy())) == N
    partners = _rows_in(images, share.numpy())
    np.testing.assert_array_equal(others, _LABELS[partners])
    z = method.network(images)
    mixed = share.numpy()[:, None] * _ONE_HOT + (1 - share.numpy()[:, None]) * _ONE_HOT[partners]
    assert float(method.objective(prepared).loss) == pytest.approx(_losses(mixed, z).mean(), rel=1e-6)


def test_mentormix_draws_partners_by_the_softmax_of_trust():
    values = tf.constant([1.0, 0.0, 0.0])
    drawn = np.concatenate([mentormix._partners(values, [0, seed]).numpy() for seed in range(4000)])
    expected = np.exp([1, 0, 0]) / np.exp([1, 0, 0]).sum()
    np.testing.assert_allclose(np.bincount(drawn, minlength=3) / drawn.size, expected, atol=0.015)


def test_mentormix_weighs_again_without_weight_decay():
    method = _made(mentormix.MentorMix, alpha=1.0, percentile=0.5, second_weighing=True, weight_decay=0.1)
    prepared = method.prepare(_batch(), None)
    outcome = method.objective(prepared)
    share = prepared[3].numpy()[:, None]
    mixed = share * _ONE_HOT + (1 - share) * np.eye(3)[prepared[2]]
    losses = _losses(mixed, method.network(prepared[0]))
    kept = losses < np.percentile(losses, 50) / 2
    np.testing.assert_array_equal(outcome.weights, kept)
    assert float(outcome.loss) == pytest.approx((kept * losses).mean(), rel=1e-6) and float(outcome.decay) == 0


class _Look:
    def __init__(self, logits, labels):
        self.logits, self.labels = logits.astype("float32"), labels

    def rows(self, network, positions=None):
        return self.logits if positions is None else self.logits[positions]


@pytest.mark.parametrize("hard", [True, False])
def test_m_correction_mixes_labels_with_predictions_by_the_mixture(hard):
    method = _made(m_correction.MCorrection, first_epoch=1, alpha=0.0, hard=hard, prior=0.5)
    rng = np.random.default_rng(1)
    logits, labels = rng.normal(0, 2, (300, 3)), rng.integers(0, 3, 300)
    method.begin_epoch(0, _Look(logits, labels))
    assert float(method.objective(method.prepare(_batch(), None)).loss) == pytest.approx(
        _losses(_ONE_HOT, method.network(_IMAGES)).mean(), rel=1e-6
    )
    method.begin_epoch(1, _Look(logits, labels))
    fitted = beta_mixture.fit(_losses(np.eye(3)[labels], logits))
    z = method.network(_IMAGES).numpy()
    scaled = np.clip((_losses(_ONE_HOT, z) - fitted.low) / (fitted.high - fitted.low), 0, 1)
    wrong = fitted.table[(scaled * 99).astype(int)][:, None]
    p = np.exp(z) / np.exp(z).sum(-1, keepdims=True)
    said = np.eye(3)[z.argmax(-1)] if hard else p
    targets = (1 - wrong) * _ONE_HOT + wrong * said
    prior = np.log(1 / 3 / p.mean(0)).mean()
    outcome = method.objective(method.prepare(_batch(), None))
    assert float(outcome.loss) == pytest.approx(_losses(targets, z).mean() + 0.5 * prior, rel=1e-4)
    assert float(outcome.means["wrong_probability"]) == pytest.approx(wrong.mean(), rel=1e-4)


def test_m_correction_in_its_first_epochs_is_mixup():
    one, other = _made(m_correction.MCorrection, first_epoch=1, alpha=2.0), _made(mixup.MixUp, 2.0)
    found, expected = (method.objective(method.prepare(_batch(), None)).loss for method in (one, other))
    assert float(found) == pytest.approx(float(expected), rel=1e-6)
