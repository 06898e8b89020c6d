"""What methods know of labels beside the step: T, the beta mixture, neighbours' votes, dimension, cross-validation."""

import json

import numpy as np
import pytest
import tensorflow as tf
from scipy import stats

from famus_tf import errors
from famus_tf.methods import (
    beta_mixture,
    class_draws,
    cross_validation,
    curriculum,
    neighbours,
    noise_estimates,
    pseudo_loss,
)

_RNG = np.random.default_rng(0)
_T = np.array([[0.7, 0.2, 0.1], [0.0, 0.9, 0.1], [0.3, 0.3, 0.4]])
_LOGITS = _RNG.normal(0, 2, (6, 3))
_LABELS = np.array([0, 1, 2, 2, 1, 0])


def _p(z):
    e = np.exp(z - z.max(-1, keepdims=True))
    return e / e.sum(-1, keepdims=True)


def test_forward_correction_is_the_loss_of_the_noisy_posterior():
    expected = -np.log((_p(_LOGITS) @ _T)[np.arange(6), _LABELS])
    np.testing.assert_allclose(noise_estimates.forward_losses(_LABELS, tf.constant(_LOGITS), _T), expected)


def test_backward_correction_is_unbiased():
    """Patrini et al., Theorem 1: its mean over the noise is the clean cross-entropy, exactly."""
    inverse = noise_estimates.inverse(_T)
    of_label = [noise_estimates.backward_losses(np.full(6, j), tf.constant(_LOGITS), inverse).numpy() for j in range(3)]
    for i in range(3):
        mean = sum(_T[i, j] * of_label[j] for j in range(3))
        np.testing.assert_allclose(mean, -np.log(_p(_LOGITS))[:, i], rtol=1e-9)


def test_anchors_find_t_where_some_examples_are_certain():
    """Where p(true | x) reaches 1 for an example of each class, what is said of it is that class's row of T."""
    true = np.concatenate([np.eye(3), _RNG.dirichlet([1, 1, 1], 200)])
    np.testing.assert_allclose(noise_estimates.from_anchors(true @ _T, 100), _T, atol=1e-12)
    with_nan = np.concatenate([true @ _T, np.full((2, 3), np.nan)])
    np.testing.assert_allclose(noise_estimates.from_anchors(with_nan, 100), _T, atol=1e-12)


def test_the_percentile_passes_over_outliers():
    said = np.tile([[0.5, 0.5]], (100, 1))
    said[0] = [1.0, 0.0]
    np.testing.assert_allclose(noise_estimates.from_anchors(said, 97)[0], [0.5, 0.5])
    np.testing.assert_allclose(noise_estimates.from_anchors(said, 100)[0], [1.0, 0.0])


@pytest.mark.parametrize("labels", [np.repeat(np.arange(50), 4), None])
def test_a_small_class_has_its_row_from_its_own_examples(labels):
    """Of 50 classes of four 3% of all are six: what lies there is of another class."""
    true = np.repeat(np.arange(50), 4)
    said = 0.8 * np.eye(50)[true] + 0.2 / 50
    np.testing.assert_array_equal(noise_estimates.from_anchors(said, 97, labels).argmax(1), np.arange(50))


def test_gold_t_is_the_mean_over_trusted_examples():
    said = _RNG.dirichlet([1, 1, 1], 8)
    labels = np.array([0, 0, 0, 1, 1, 1, 1, 0])
    found = noise_estimates.from_trusted(said, labels)
    np.testing.assert_allclose(found[0], said[labels == 0].mean(0))
    np.testing.assert_allclose(found[1], said[labels == 1].mean(0))
    np.testing.assert_array_equal(found[2], [0, 0, 1])  # no example: as labelled


@pytest.mark.parametrize("suffix", ["npy", "json", "txt", "csv"])
def test_a_matrix_is_read_from_a_file(tmp_path, suffix):
    path = tmp_path / f"t.{suffix}"
    if suffix == "npy":
        np.save(path, _T)
    elif suffix == "json":
        path.write_text(json.dumps(_T.tolist()))
    else:
        np.savetxt(path, _T, delimiter="," if suffix == "csv" else " ")
    np.testing.assert_allclose(noise_estimates.read(str(path), 3), _T)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("1 0\n0 1\n", "2 x 2 numbers"),
        ("1 0 0\n0 1 0\n0 0.5 0\n", "row 3"),
        ("1 0 0\n-0.5 1.5 0\n0 0 1\n", "row 2"),
        ("one\n", "3 rows of 3"),
        ("", "expected 3 rows of 3"),
    ],
)
def test_what_is_no_matrix_of_noise_is_named(tmp_path, text, expected):
    path = tmp_path / "t.txt"
    path.write_text(text)
    with pytest.raises(errors.InputError, match=expected) as raised:
        noise_estimates.read(str(path), 3)
    assert str(path) in str(raised.value) and "\n" not in str(raised.value)
    with pytest.raises(errors.InputError, match="No such file"):
        noise_estimates.read(str(tmp_path / "none.npy"), 3)


def test_a_matrix_without_an_inverse_is_refused():
    with pytest.raises(errors.InputError, match="no inverse"):
        noise_estimates.inverse(np.full((3, 3), 1 / 3))


def test_the_beta_mixture_finds_what_it_was_drawn_from():
    parts = [_RNG.beta(3, 20, 7000) * 5, _RNG.beta(20, 3, 3000) * 5]
    found = beta_mixture.fit(np.concatenate(parts), iterations=300)
    assert found.weights == pytest.approx([6500 / 9000, 2500 / 9000], abs=0.01)
    # Losses beyond their 5th and 95th percentile do not count: the parameters are those of what is left of each part.
    for part, a, b in zip(parts, found.alphas, found.betas, strict=True):
        inside = part[(part >= found.low) & (part <= found.high)]
        scaled = np.clip((inside - found.low) / (found.high - found.low), 1e-3, 1 - 1e-3)
        total = scaled.mean() * (1 - scaled.mean()) / scaled.var() - 1
        assert (a, b) == pytest.approx((scaled.mean() * total, (1 - scaled.mean()) * total), rel=0.05)
    assert (np.diff(found.table) >= 0).all() and found.table[0] < 0.01 and found.table[-1] > 0.99
    point = np.linspace(0, 1, beta_mixture.POINTS)[50]
    rows = zip(found.weights, found.alphas, found.betas, strict=True)
    right, wrong = (w * stats.beta.pdf(point, a, b) for w, a, b in rows)
    assert found.table[50] == pytest.approx(wrong / (right + wrong), rel=1e-6)


def test_losses_that_say_nothing_have_no_mixture():
    assert beta_mixture.fit(np.ones(50)) is None
    assert beta_mixture.fit(np.array([0.1, 3.0])) is None
    assert beta_mixture.fit(np.concatenate([np.ones(40), [9.0]])) is None
    assert beta_mixture.fit(np.array([np.nan, np.inf, 1.0])) is None
    assert beta_mixture.fit(np.concatenate([_RNG.uniform(size=50), [np.nan]])) is not None


def test_votes_of_separable_classes_are_their_labels():
    labels = np.repeat([0, 1, 2], 20)
    features = np.eye(3)[labels] * 5 + _RNG.normal(0, 0.1, (60, 3))
    counts = neighbours.votes(features, labels, 3, 10)
    np.testing.assert_array_equal(counts, 10 * np.eye(3)[labels])
    assert neighbours.clean_by_votes(counts, labels, 1.0).all()
    wrong = labels.copy()
    wrong[0] = 1
    clean = neighbours.clean_by_votes(neighbours.votes(features, wrong, 3, 10), wrong, 1.0)
    assert not clean[0] and clean[1:].all()


def test_all_neighbours_vote_evenly_by_the_inverse_of_class_sizes():
    labels = np.array([0] * 30 + [1] * 6)
    counts = neighbours.votes(_RNG.normal(size=(36, 4)), labels, 2, 100)
    np.testing.assert_array_equal(counts, np.tile([[30, 6]], (36, 1)))
    assert neighbours.clean_by_votes(counts, labels, 1.0).all()


def test_what_has_no_features_has_no_vote(monkeypatch):
    monkeypatch.setattr(neighbours, "_MOST", 7)  # in many chunks
    features = _RNG.normal(size=(9, 2))
    features[4] = np.nan
    counts = neighbours.votes(features, np.zeros(9, int), 1, 3)
    assert counts[4].sum() == 0 and (counts[[0, 1, 2, 3, 5, 6, 7, 8]] == 3).all()
    assert not neighbours.clean_by_votes(counts, np.zeros(9, int), 0.0)[4]


@pytest.mark.parametrize("dimension", [2, 5])
def test_the_dimension_of_points_in_a_ball_is_its_own(dimension):
    directions = _RNG.normal(size=(4000, dimension))
    directions /= np.linalg.norm(directions, axis=1, keepdims=True)
    ball = directions * _RNG.uniform(size=(4000, 1)) ** (1 / dimension)
    points = np.pad(ball, ((0, 0), (0, 12 - dimension)))  # in a larger space
    found = neighbours.intrinsic_dimension(points, 20)
    assert np.median(found[np.linalg.norm(ball, axis=1) < 0.5]) == pytest.approx(dimension, rel=0.12)


def test_points_that_are_equal_have_no_dimension():
    assert np.isnan(neighbours.intrinsic_dimension(np.ones((30, 4)), 20)).all()


def test_the_curriculum_by_the_course_of_the_run():
    distance = tf.constant([-1.0, 0.0, 0.4, 3.0])
    for percent, expected in ((0, [1, 1, 1, 1]), (18, [1, 1, 1, 1]), (19, [1, 1, 0, 0]), (91, [1, 1, 0.6, 0])):
        found = curriculum.predefined(distance, tf.constant(float(percent)))
        np.testing.assert_allclose(found, expected, rtol=1e-6)


def test_the_threshold_is_a_running_mean_of_the_percentile():
    threshold = curriculum.Threshold(0.75)
    m = 0.0
    for seed in range(4):
        losses = np.random.default_rng(seed).uniform(size=13).astype("float32")
        m = m / 2 + np.percentile(losses, 75) / 2
        assert float(threshold.move(tf.constant(losses))) == pytest.approx(m, rel=1e-6)
    assert float(threshold.value) == pytest.approx(m, rel=1e-6)


@pytest.mark.parametrize(("rate", "kept"), [(0.0, 10), (0.3, 7), (0.5, 5), (0.9, 1), (1.0, 0)])
def test_example_dropout_keeps_that_many(rate, kept):
    found = [curriculum.kept_at_random(tf.ones(10), tf.constant(rate, tf.float64), [1, seed]) for seed in range(20)]
    assert all(float(tf.reduce_sum(one)) == kept for one in found)
    if 0 < rate < 1:
        assert len({tuple(one.numpy()) for one in found}) > 5


def test_reversed_sampling_draws_rare_classes_most():
    labels = np.repeat([0, 2, 3], [800, 150, 50])  # there is none of class 1
    drawn = labels[class_draws.reversed_positions(labels, 20_000, np.random.default_rng(0))]
    expected = np.array([1 / 800, 1 / 150, 1 / 50])
    found = np.bincount(drawn, minlength=4)[[0, 2, 3]] / 20_000
    np.testing.assert_allclose(found, expected / expected.sum(), atol=0.01)


def test_the_noise_rate_of_cross_validation_is_found():
    for noise in (0.0, 0.2, 0.5):
        agreement = (1 - noise) ** 2 + noise**2 / 9
        assert cross_validation.noise_rate(agreement, 10) == pytest.approx(noise, abs=1e-3)


def test_rounds_of_cross_validation_select_what_is_predicted():
    rng = np.random.default_rng(0)
    true = rng.integers(0, 4, 400)
    wrong = rng.uniform(size=400) < 0.4
    labels = np.where(wrong, (true + rng.integers(1, 4, 400)) % 4, true)
    said = np.eye(4)[true] * 4 + rng.normal(0, 1.0, (400, 4))  # a network that is nearly right
    sets, noise, seen = np.zeros(400, int), 0.0, []
    for number in range(3):
        sets = cross_validation.halves(sets, rng)
        parts = [sets == half for half in cross_validation.HALVES]
        assert abs(int(parts[0].sum()) - int(parts[1].sum())) <= 1
        sets, noise = cross_validation.select(sets, [said, said], labels, noise, number == 0, symmetric=True)
        selected = sets == cross_validation.SELECTED
        assert set(np.unique(sets)) <= {0, 1, 2} and all(selected[before].all() for before in seen)  # S only grows
        seen.append(np.flatnonzero(selected))
    assert 0.2 < noise < 0.5
    assert (~wrong[selected]).mean() > 0.98 and (~wrong & selected).sum() / (~wrong).sum() > 0.9
    assert wrong[sets == cross_validation.REMOVED].mean() > 0.95


def test_without_noise_nothing_is_removed():
    labels = np.arange(40) % 4
    sets = cross_validation.halves(np.zeros(40, int), np.random.default_rng(0))
    sets, noise = cross_validation.select(sets, [np.eye(4)[labels]] * 2, labels, 0.3, True, symmetric=True)
    assert noise == 0 and (sets == cross_validation.SELECTED).all()


@pytest.mark.parametrize(("symmetric", "kappa"), [(True, 9), (False, 1)])
def test_what_co_teaching_leaves_out_of_the_selection(symmetric, kappa):
    full = 0.3**2 / (0.3**2 + kappa * 0.7**2)
    for epoch, share in ((0, 0.0), (5, 0.5), (10, 1.0), (50, 1.0)):
        found = cross_validation.left_out(tf.constant(0.3, tf.float64), tf.constant(epoch), 10, symmetric)
        assert float(found) == pytest.approx(share * full)


def test_pseudo_losses_weigh_guesses_for_noisy_labels():
    rng = np.random.default_rng(1)
    count = 600
    true = rng.integers(0, 3, count)
    wrong = np.arange(count) < 200
    labels = np.where(wrong, (true + 1) % 3, true)
    logits = np.eye(3)[true] * 6 + rng.normal(0, 0.3, (count, 3))
    guesses = np.eye(3)[np.where(np.arange(count) < 100, (true + 2) % 3, true)] * 0.9 + 0.1 / 3
    weights = pseudo_loss.judged(logits.astype("float32"), labels, guesses.astype("float32"), 0.95, 0)
    assert (weights[~wrong] == -1).all()
    assert weights[:100].max() < 0.2 and weights[100:200].min() > 0.8
    unguessed = pseudo_loss.judged(logits.astype("float32"), labels, 0 * guesses.astype("float32"), 0.95, 0)
    np.testing.assert_array_equal(unguessed, np.where(wrong, 1, -1))
    assert (pseudo_loss.judged(logits.astype("float32"), labels, guesses, 1.0, 0) == -1).all()
