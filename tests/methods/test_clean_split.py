"""The mixture against NumPy, the division on numbers made by hand, every case where two components say nothing."""

import json
import math
import warnings

import numpy as np
import pytest
from sklearn import exceptions, metrics
from sklearn import mixture as sklearn_mixture

from famus_tf import errors
from famus_tf.methods import clean_split


def _gaussian(x, mean, variance):
    return math.exp(-((x - mean) ** 2) / (2 * variance)) / math.sqrt(2 * math.pi * variance)


def _clusters(far=3.0, clean=300, noisy=200):
    """Losses of right labels around 0.3 and of wrong ones around `far`, in a random order; and which are right."""
    rng = np.random.default_rng(0)
    losses = np.concatenate([rng.gamma(2, 0.15, clean), rng.normal(far, 0.3, noisy)])
    order = rng.permutation(len(losses))
    return losses[order], (np.arange(len(losses)) < clean)[order]


@pytest.mark.parametrize("seed", range(8))  # in some, the component that scikit-learn numbers 0 is the noisy one
@pytest.mark.parametrize("far", (3.0, 1.2))
def test_posterior_of_the_fitted_mixture(far, seed):
    losses, is_clean = _clusters(far)
    found, fitted = clean_split.clean_probability(losses, seed)
    assert found.dtype == np.float32
    assert (fitted.low, fitted.high) == (losses.min(), losses.max())
    assert fitted.means[0] < fitted.means[1]
    assert sum(fitted.weights) == pytest.approx(1)
    expected, densities = [], []
    for loss in losses:
        scaled = (loss - losses.min()) / (losses.max() - losses.min())
        both = [
            w * _gaussian(scaled, m, v) for w, m, v in zip(fitted.weights, fitted.means, fitted.variances, strict=True)
        ]
        expected.append(both[0] / sum(both))
        densities.append([one / (losses.max() - losses.min()) for one in both])
    np.testing.assert_allclose(found, expected, rtol=1e-5, atol=1e-7)
    np.testing.assert_allclose(fitted.density(losses), np.transpose(densities), rtol=1e-9)
    assert fitted.density(losses).dtype == np.float64
    if far == 3.0:
        assert metrics.roc_auc_score(is_clean, found) == 1
        np.testing.assert_array_equal(found > 0.5, is_clean)


def test_settings_and_a_fit_that_does_not_converge(recwarn):
    rng = np.random.default_rng(0)
    slow = np.concatenate([rng.gamma(0.2, 0.05, 1000), rng.uniform(0, 1, 2000)])  # 15 iterations
    for losses in (slow, _clusters(1.2)[0]):
        found, fitted = clean_split.clean_probability(losses, seed=5)
        assert not recwarn.list  # silent, where scikit-learn is not
        scaled = ((losses - losses.min()) / np.ptp(losses))[:, np.newaxis]
        model = sklearn_mixture.GaussianMixture(n_components=2, max_iter=10, tol=1e-2, reg_covar=5e-4, random_state=5)
        if losses is slow:
            with pytest.warns(exceptions.ConvergenceWarning):
                model.fit(scaled)
        else:
            model.fit(scaled)
        assert sorted(fitted.means) == pytest.approx(sorted(model.means_[:, 0]), rel=1e-9)
        assert sorted(fitted.weights) == pytest.approx(sorted(model.weights_), rel=1e-9)
        np.testing.assert_allclose(found, model.predict_proba(scaled)[:, model.means_.argmin()], rtol=1e-5, atol=1e-7)


def test_clusters_have_their_moments():
    losses, is_clean = _clusters()
    _, fitted = clean_split.clean_probability(losses, seed=0)
    scaled = (losses - losses.min()) / np.ptp(losses)
    for component, inside in enumerate((is_clean, ~is_clean)):
        assert fitted.weights[component] == pytest.approx(inside.mean(), rel=1e-3)
        assert fitted.means[component] == pytest.approx(scaled[inside].mean(), rel=1e-3)
        assert fitted.variances[component] == pytest.approx(scaled[inside].var() + 5e-4, rel=1e-2)
    points = np.linspace(-5, 10, 20001)
    integrals = np.trapezoid(fitted.density(points), points, axis=1)
    np.testing.assert_allclose(integrals, fitted.weights, rtol=1e-6)


@pytest.mark.parametrize("far", (3.0, 1.2))
@pytest.mark.parametrize(("scale", "shift"), ((1e-6, 0.0), (1e6, 0.0), (1.0, 50.0), (0.2, -7.0)))
def test_scale_and_shift_of_the_losses_do_not_matter(far, scale, shift):
    losses, _ = _clusters(far)
    expected, _ = clean_split.clean_probability(losses, seed=0)
    found, fitted = clean_split.clean_probability(scale * losses + shift, seed=0)
    assert fitted is not None
    np.testing.assert_allclose(found, expected, rtol=1e-4, atol=1e-7)


def test_examples_not_scanned():
    losses, _ = _clusters()
    expected, fitted = clean_split.clean_probability(losses, seed=0)
    rows = np.sort(np.random.default_rng(1).choice(700, len(losses), replace=False))
    padded = np.full(700, np.nan, np.float64)
    padded[rows] = losses
    found, with_gaps = clean_split.clean_probability(padded, seed=0)
    assert with_gaps == fitted
    np.testing.assert_array_equal(found[rows], expected)
    assert np.isnan(np.delete(found, rows)).all()


def test_infinite_losses_count_as_the_largest():
    losses, _ = _clusters()
    endless, largest = losses.copy(), losses.copy()
    rows = np.flatnonzero(losses > 3)[:20]
    endless[rows] = np.inf
    largest[rows] = endless[np.isfinite(endless)].max()
    found, fitted = clean_split.clean_probability(endless, seed=0)
    expected, of_largest = clean_split.clean_probability(largest, seed=0)
    assert fitted == of_largest
    np.testing.assert_array_equal(found, expected)


_OUTLIER = np.append(np.random.default_rng(0).gamma(1, 0.1, 99), 1e4)


@pytest.mark.parametrize(
    "losses",
    (
        np.full(50, np.log(10)),
        np.full(50, 2.3e-9) * (1 + np.arange(50) % 2 * 2e-7),  # a rounding of float32, at any scale
        np.full(50, 2.3e9) * (1 + np.arange(50) % 2 * 2e-7),
        np.zeros(50),
        [1.5],
        [np.nan, 1.5, np.inf],
        [np.nan] * 5,
        [np.inf] * 5,
        [],
        _OUTLIER,
        _OUTLIER.astype(np.float32) * np.float32(1e30),
    ),
    ids=(
        "constant", "rounding, small", "rounding, large", "zero", "one", "one finite", "none scanned", "all infinite",
        "empty", "outlier", "far outlier",
    ),
)  # fmt: skip
def test_losses_without_two_components(losses):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        found, fitted = clean_split.clean_probability(losses, seed=0)
    assert fitted is None
    assert found.dtype == np.float32
    np.testing.assert_array_equal(found, np.where(np.isnan(losses), np.nan, 0.5))


def test_two_outliers_are_a_component():
    found, fitted = clean_split.clean_probability(np.append(_OUTLIER, 1e4), seed=0)
    assert fitted.weights[1] == pytest.approx(2 / 101)
    np.testing.assert_array_equal(found > 0.5, np.arange(101) < 99)


@pytest.mark.parametrize(
    ("attribute", "value"),
    (
        ("weights_", [1 - 1e-9, 1e-9]),
        ("weights_", [0.9 / 500, 1 - 0.9 / 500]),
        ("means_", [[0.1], [np.nan]]),
        ("covariances_", [[[np.inf]], [[0.1]]]),
    ),
)
def test_empty_components(monkeypatch, attribute, value):
    fit = sklearn_mixture.GaussianMixture.fit

    def spoiled(self, x):
        setattr(fit(self, x), attribute, np.array(value))
        return self

    losses, _ = _clusters()
    assert clean_split.clean_probability(losses, seed=0)[1] is not None
    monkeypatch.setattr(sklearn_mixture.GaussianMixture, "fit", spoiled)
    found, fitted = clean_split.clean_probability(losses, seed=0)
    assert fitted is None
    np.testing.assert_array_equal(found, np.full(500, 0.5))


# Losses, probabilities and, of a threshold of 0.6, the clean ones: position 3 is exactly at it, 2 was not scanned.
_LOSSES = np.array([0.1, 2.0, np.nan, 0.7, 0.4, np.inf, 0.2, 0.9])
_PROBABILITY = np.array([0.9, 0.1, np.nan, 0.6, 0.7, 0.0, 0.61, 0.3], np.float32)


@pytest.mark.parametrize("threshold", (0.6, np.float64(0.6), np.float32(0.6)))
def test_threshold_decides(threshold):
    found = clean_split.split(_LOSSES, _PROBABILITY, threshold, least_clean=3, least_noisy=4, seed=0)
    np.testing.assert_array_equal(found.clean, [1, 0, 0, 0, 1, 0, 1, 0])
    np.testing.assert_array_equal(found.clean_index, [0, 4, 6])
    np.testing.assert_array_equal(found.noisy_index, [1, 3, 5, 7])
    np.testing.assert_array_equal(found.scanned, [1, 1, 0, 1, 1, 1, 1, 1])
    np.testing.assert_array_equal(found.clean_probability, _PROBABILITY)
    assert found.clean.dtype == bool
    assert found.clean_index.dtype == found.noisy_index.dtype == np.int64
    assert found.clean_probability.dtype == np.float32
    assert found.fallback == ""


@pytest.mark.parametrize(
    ("threshold", "least_clean", "least_noisy", "reason"),
    (
        (0.6, 4, 0, "3 of 7 examples have a clean probability above 0.6, fewer than 4"),
        (0.95, 1, 1, "0 of 7 examples have a clean probability above 0.95, fewer than 1"),
        (0.05, 1, 2, "1 of 7 examples have a clean probability of 0.05 or less, fewer than 2"),
    ),
)
def test_half_with_the_lowest_losses(threshold, least_clean, least_noisy, reason):
    found = clean_split.split(_LOSSES, _PROBABILITY, threshold, least_clean, least_noisy, seed=0)
    np.testing.assert_array_equal(found.clean_index, [0, 3, 4, 6])
    np.testing.assert_array_equal(found.noisy_index, [1, 5, 7])
    np.testing.assert_array_equal(found.clean_probability, _PROBABILITY)
    assert found.fallback == f"{reason}: the half with the lowest losses is taken"


@pytest.mark.parametrize(("least_clean", "least_noisy"), ((5, 0), (4, 4), (0, 8)))
def test_impossible_sizes(least_clean, least_noisy):
    with pytest.raises(errors.InputError) as caught:
        clean_split.split(_LOSSES, _PROBABILITY, 0.6, least_clean, least_noisy, seed=0)
    for part in ("7 scanned", "3 of them", f"{least_clean} clean", f"{least_noisy} others", "4 and 3"):
        assert part in str(caught.value)


def test_nothing_scanned_cannot_be_split():
    losses = np.full(5, np.nan)
    with pytest.raises(errors.InputError, match="0 scanned"):
        clean_split.split(losses, clean_split.clean_probability(losses, 0)[0], 0.5, 1, 1, seed=0)


def test_constant_losses_give_a_random_half():
    losses = np.ones(1001)
    losses[:2] = 0.5, 2.0
    probability = np.full(1001, 0.5, np.float32)
    halves = [clean_split.split(losses, probability, 0.5, 10, 10, seed).clean for seed in (0, 0, 1)]
    assert [half.sum() for half in halves] == [501] * 3
    np.testing.assert_array_equal(halves[0], halves[1])
    for half in halves:
        assert half[0] and not half[1]  # only ties are drawn
        assert 200 < half[:500].sum() < 300  # the first of them are not preferred
    assert 200 < (halves[0] & halves[2]).sum() < 300


@pytest.mark.parametrize("losses", (np.full(100, 0.7), _OUTLIER), ids=("constant", "outlier"))
def test_from_losses_to_a_half(losses):
    probability, _ = clean_split.clean_probability(losses, seed=0)
    found = clean_split.split(losses, probability, 0.5, 20, 20, seed=0)
    assert len(found.clean_index) == len(found.noisy_index) == 50
    assert losses[found.clean].max() <= losses[~found.clean].min()
    assert found.fallback


def test_quality_by_hand():
    found = clean_split.split(_LOSSES, _PROBABILITY, 0.6, 1, 1, seed=0)  # clean: 0, 4, 6
    is_clean = np.array([True, False, True, True, False, False, True, True])  # scanned and right: 0, 3, 6, 7
    quality = clean_split.quality(found, is_clean)
    # Of the 4 x 3 pairs, only (3, 4), (6, 4) and (7, 4) are in the wrong order: 0.6 < 0.7, 0.61 < 0.7, 0.3 < 0.7.
    expected = {"clean": 3, "noisy": 4, "fallback": "", "auc": 9 / 12, "precision": 2 / 3, "recall": 2 / 4}
    assert quality == pytest.approx(expected)
    assert {name: type(value) for name, value in quality.items()} == {
        "clean": int, "noisy": int, "fallback": str, "auc": float, "precision": float, "recall": float,
    }  # fmt: skip
    assert json.loads(json.dumps(quality)) == quality
    assert clean_split.quality(found, None) == {"clean": 3, "noisy": 4, "fallback": ""}


@pytest.mark.parametrize(
    ("clean", "is_clean", "expected"),
    (
        ([1, 1, 0], [1, 1, 1], {"clean": 2, "noisy": 1, "auc": None, "precision": 1.0, "recall": 2 / 3}),
        ([1, 1, 0], [0, 0, 0], {"clean": 2, "noisy": 1, "auc": None, "precision": 0.0, "recall": None}),
        ([0, 0, 0], [1, 0, 0], {"clean": 0, "noisy": 3, "auc": 1.0, "precision": None, "recall": 0.0}),
    ),
)
def test_quality_that_is_not_defined(clean, is_clean, expected):
    found = clean_split.Split(np.array([0.4, 0.3, 0.2], np.float32), np.array(clean, bool), "why")
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert clean_split.quality(found, np.array(is_clean)) == expected | {"fallback": "why"}
    nothing = clean_split.Split(np.full(3, np.nan, np.float32), np.zeros(3, bool), "")
    empty = {"clean": 0, "noisy": 0, "fallback": "", "auc": None, "precision": None, "recall": None}
    assert clean_split.quality(nothing, np.array(is_clean)) == empty
