"""Label noise against the transition matrices that the two conventions define."""

import numpy as np
import pytest

from famus_tf import errors
from famus_tf.data.labels import noise
from famus_tf.data.sets import cifar


def _matrix(rate, num_classes, includes_true_label):
    """The transition matrix, written entry by entry."""
    matrix = np.zeros((num_classes, num_classes))
    for i in range(num_classes):
        for j in range(num_classes):
            if includes_true_label:
                matrix[i, j] = rate / num_classes + (1 - rate) * (i == j)
            else:
                matrix[i, j] = 1 - rate if i == j else rate / (num_classes - 1)
    return matrix


@pytest.mark.parametrize("includes_true_label", [True, False])
@pytest.mark.parametrize(("rate", "num_classes"), [(0.2, 4), (0.6, 10), (1.0, 3)])
def test_transitions_follow_the_matrix(rate, num_classes, includes_true_label):
    per_class = 40_000
    labels = np.repeat(np.arange(num_classes), per_class)
    noisy = noise.symmetric(labels, rate, num_classes, includes_true_label, np.random.default_rng(3))
    counts = np.zeros((num_classes, num_classes))
    np.add.at(counts, (labels, noisy), 1)
    expected = _matrix(rate, num_classes, includes_true_label)
    np.testing.assert_allclose(expected.sum(1), 1)
    # Five standard deviations of a binomial share.
    np.testing.assert_array_less(
        np.abs(counts / per_class - expected), 5 * np.sqrt(expected * (1 - expected) / per_class) + 1e-12
    )
    wrong = rate * (num_classes - 1) / num_classes if includes_true_label else rate
    assert np.mean(noisy != labels) == pytest.approx(wrong, abs=0.01)


def test_examples_are_drawn_independently():
    labels = np.zeros(200_000, np.int64)
    wrong = noise.symmetric(labels, 0.5, 10, False, np.random.default_rng(0)) != labels
    # An exact share of each class would have no variance; independent draws have that of a binomial.
    chunks = wrong.reshape(2000, 100).sum(1)
    assert chunks.var() == pytest.approx(25, rel=0.15)
    assert abs(np.corrcoef(wrong[:-1], wrong[1:])[0, 1]) < 0.02


@pytest.mark.parametrize("includes_true_label", [True, False])
def test_dtype_input_and_reproducibility(includes_true_label):
    labels = np.arange(100, dtype=np.uint8) % 10
    before = labels.copy()
    first = noise.symmetric(labels, 0.4, 10, includes_true_label, np.random.default_rng(7))
    assert first.dtype == np.int32
    np.testing.assert_array_equal(labels, before)
    np.testing.assert_array_equal(
        first, noise.symmetric(labels, 0.4, 10, includes_true_label, np.random.default_rng(7))
    )
    unchanged = noise.symmetric(labels, 0.0, 10, includes_true_label, np.random.default_rng(7))
    np.testing.assert_array_equal(unchanged, labels)


def test_rate_one_without_the_true_label_leaves_none():
    labels = np.arange(1000) % 3
    assert not np.any(noise.symmetric(labels, 1.0, 3, False, np.random.default_rng(0)) == labels)


@pytest.mark.parametrize("rate", [-0.1, 1.01, float("nan")])
def test_rate_outside_the_unit_interval(rate):
    with pytest.raises(errors.InputError, match=f"noise rate is {rate}"):
        noise.symmetric(np.zeros(3, np.int32), rate, 10, True, np.random.default_rng(0))


def test_labels_that_are_no_class_ids():
    rng = np.random.default_rng(0)
    with pytest.raises(errors.InputError, match="from 0 to 10, expected class ids from 0 to 9"):
        noise.symmetric(np.array([0, 10]), 0.1, 10, True, rng)
    with pytest.raises(errors.InputError, match="float64"):
        noise.symmetric(np.array([0.0, 1.0]), 0.1, 10, True, rng)
    with pytest.raises(errors.InputError, match="1 classes"):
        noise.symmetric(np.array([0, 0]), 0.1, 1, False, rng)


_CIFAR10 = noise.Classes(10, (0, 1, 0, 5, 7, 3, 6, 7, 8, 1))
_CIFAR100 = noise.Classes(100, None, cifar.CIFAR100_SUPERCLASSES)


def _expected_matrix(kind, rate, classes, superclasses):
    """Entry by entry, from the words of the papers."""
    matrix = np.zeros((classes.count, classes.count))
    names = ("airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck")
    mistakes = {"truck": "automobile", "bird": "airplane", "cat": "dog", "dog": "cat", "deer": "horse"}
    for i in range(classes.count):
        if classes.superclasses is None:
            family = []
        elif superclasses == "true":
            family = [j for j in range(classes.count) if classes.superclasses[j] == classes.superclasses[i]]
        else:
            family = [j for j in range(classes.count) if j // 5 == i // 5]
        if kind == "pairflip":
            wrong = [(i + 1) % classes.count]
        elif kind == "hierarchical":
            wrong = [j for j in family if j != i]
        elif family:
            wrong = [family[(family.index(i) + 1) % len(family)]]
        else:
            wrong = [names.index(mistakes.get(names[i], names[i]))]
        for j in wrong:
            matrix[i, j] += rate / len(wrong)
        matrix[i, i] += 1 - rate
    return matrix


@pytest.mark.parametrize(
    ("kind", "classes", "superclasses"),
    [
        ("pairflip", _CIFAR10, "true"),
        ("pairflip", _CIFAR100, "true"),
        ("asymmetric", _CIFAR10, "true"),
        ("asymmetric", _CIFAR100, "true"),
        ("asymmetric", _CIFAR100, "consecutive"),
        ("hierarchical", _CIFAR100, "true"),
        ("hierarchical", _CIFAR100, "consecutive"),
    ],
)
def test_matrices_are_those_of_the_papers(kind, classes, superclasses):
    for rate in (0.0, 0.2, 0.4, 0.6, 1.0):
        matrix = noise.transition_matrix(kind, rate, classes, superclasses, np.random.default_rng(0))
        np.testing.assert_allclose(matrix, _expected_matrix(kind, rate, classes, superclasses), atol=1e-15)


@pytest.mark.parametrize(("kind", "targets"), [("flip", 1), ("flip2", 2)])
@pytest.mark.parametrize("classes", [_CIFAR10, _CIFAR100])
def test_flip_draws_other_classes(kind, targets, classes):
    matrices = [noise.transition_matrix(kind, 0.4, classes, "true", np.random.default_rng(seed)) for seed in (0, 1)]
    for matrix in matrices:
        np.testing.assert_allclose(np.diag(matrix), 0.6)
        off = matrix - np.diag(np.diag(matrix))
        assert np.all((off > 0).sum(1) == targets)
        np.testing.assert_allclose(off[off > 0], 0.4 / targets)
    assert not np.array_equal(*matrices)


# Of `reference` conventions: the share of wrong labels among K classes at rate r.
@pytest.mark.parametrize("rate", [0.2, 0.4, 0.6])
@pytest.mark.parametrize("classes", [_CIFAR10, _CIFAR100])
@pytest.mark.parametrize("kind", ["symmetric", "excluded", "flip", "flip2", "pairflip", "asymmetric", "hierarchical"])
def test_actual_rates(kind, classes, rate):
    if kind == "hierarchical" and classes is _CIFAR10:
        pytest.skip("no superclasses")
    count, n = classes.count, 200_000
    labels, rng = np.arange(n) % count, np.random.default_rng(5)
    if kind in ("symmetric", "excluded"):
        noisy = noise.symmetric(labels, rate, count, kind == "symmetric", rng)
        expected = rate * (count - 1) / count if kind == "symmetric" else rate
    else:
        noisy = noise.draw(labels, noise.transition_matrix(kind, rate, classes, "true", rng), rng)
        expected = rate / 2 if (kind, count) == ("asymmetric", 10) else rate
    assert np.mean(noisy != labels) == pytest.approx(expected, abs=5 * np.sqrt(rate * (1 - rate) / n))


def test_drawing_is_numpys_choice_one_by_one():
    matrix = noise.transition_matrix("flip2", 0.3, _CIFAR10, "true", np.random.default_rng(0))
    labels = np.random.default_rng(1).integers(0, 10, 500)
    expected, state = [], np.random.RandomState(7)
    for label in labels:
        expected.append(state.choice(10, p=matrix[label]))
    np.testing.assert_array_equal(noise.draw(labels, matrix, np.random.RandomState(7)), expected)


def test_no_block_of_five_consecutive_classes_is_a_superclass():
    """Why `consecutive` is not the default."""
    groups = np.array(cifar.CIFAR100_SUPERCLASSES)
    np.testing.assert_array_equal(np.bincount(groups), [5] * 20)
    assert not any(len(set(groups[start : start + 5])) == 1 for start in range(0, 100, 5))


@pytest.mark.parametrize(
    ("kind", "classes", "message"),
    [
        ("asymmetric", noise.Classes(4), "no customary map of mistakes and no superclasses; expected cifar10"),
        ("hierarchical", _CIFAR10, "no superclasses; expected cifar100"),
        ("flip", noise.Classes(1), "1 classes"),
        ("flip2", noise.Classes(2), "flip2 with 2 classes: expected 3 or more"),
        ("pepper", _CIFAR10, "no label noise 'pepper'"),
    ],
)
def test_noise_that_the_classes_do_not_allow(kind, classes, message):
    with pytest.raises(errors.InputError, match=message):
        noise.transition_matrix(kind, 0.2, classes, "true", np.random.default_rng(0))
