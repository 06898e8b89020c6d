"""Sharpening, refining, guessing and mixing against NumPy; eager, compiled, by XLA; two replicas as one."""

import numpy as np
import pytest
import scipy.stats
import tensorflow as tf

from famus_tf import errors
from famus_tf.methods import mixmatch

_RNG = np.random.default_rng(0)
_CLASSES = 5
_SIDE = 8  # of the small images: a pixel for each row of a batch, and others


def _softmax(z):
    e = np.exp(z - z.max(-1, keepdims=True))
    return e / e.sum(-1, keepdims=True)


def _sharpened(p, temperature):
    q = p ** (1 / temperature)
    return q / q.sum(-1, keepdims=True)


def _distributions(n=6):
    return _RNG.dirichlet(np.ones(_CLASSES), n)


@pytest.mark.parametrize("temperature", [0.5, 1.0, 2.0])
def test_sharpen(temperature):
    p = np.concatenate([_distributions(), np.eye(_CLASSES), [[0, 0.5, 0, 0.25, 0.25]]])
    found = mixmatch.sharpen(tf.constant(p), temperature)
    np.testing.assert_allclose(found, p if temperature == 1.0 else _sharpened(p, temperature), rtol=1e-9)


def test_sharpen_at_a_small_temperature_is_the_largest():
    p = np.array([[0.3, 0.4, 0.3, 0.0], [0.35, 0.3, 0.35, 0.0]], np.float32)
    found = mixmatch.sharpen(tf.constant(p), 1e-3)
    np.testing.assert_allclose(found, [[0, 1, 0, 0], [0.5, 0, 0.5, 0]], atol=1e-6)


def test_guess():
    p = [_distributions() for _ in range(4)]
    found = mixmatch.guess([tf.constant(x) for x in p], 0.5)
    np.testing.assert_allclose(found, _sharpened(sum(p) / 4, 0.5), rtol=1e-9)


def test_refine():
    p, labels = [_distributions(), _distributions()], np.array([0, 1, 2, 3, 4, 0])
    believed = np.array([0.0, 1.0, 0.5, 0.9, 0.0, 1.0])
    found = mixmatch.refine(tf.constant(labels), tf.constant(believed), [tf.constant(x) for x in p], 0.5)
    one_hot, mean = np.eye(_CLASSES)[labels], (p[0] + p[1]) / 2
    expected = _sharpened(believed[:, None] * one_hot + (1 - believed[:, None]) * mean, 0.5)
    np.testing.assert_allclose(found, expected, rtol=1e-9)
    np.testing.assert_array_equal(found.numpy()[[1, 5]], one_hot[[1, 5]])


@pytest.mark.parametrize("alpha", [0.05, 0.5, 1.0, 4.0, 300.0])
def test_mix_coefficient_is_of_the_folded_beta_distribution(alpha):
    n = 4000
    seeds = tf.stack([tf.fill([n], 7), tf.range(n)], axis=1)

    @tf.function
    def draw(seeds):
        return tf.map_fn(lambda seed: mixmatch.mix_coefficient(alpha, seed), seeds, tf.float32)

    found = draw(seeds).numpy()
    assert found.min() >= 0.5 and found.max() <= 1.0
    beta = scipy.stats.beta(alpha, alpha)
    for power in (1, 2):
        # Of max(x, 1 - x), x and 1 - x being alike: twice the integral over the upper half.
        mean, square = (2 * beta.expect(lambda x, p=p: x**p, lb=0.5, ub=1.0) for p in (power, 2 * power))
        assert abs((found**power).mean() - mean) < 4 * np.sqrt((square - mean**2) / n)
    distance = scipy.stats.kstest(found, lambda x: 2 * beta.cdf(x) - 1).statistic
    # A float32 has no number between 1 - 6e-8 and 1, where much of the distribution is for the smallest alpha.
    assert distance < 1.95 / np.sqrt(n) + 2 * beta.sf(1 - 1e-7)


def test_mix_coefficient_is_a_function_of_its_seed():
    a, b, c = (float(mixmatch.mix_coefficient(1.0, tf.constant(seed))) for seed in ([1, 2], [1, 2], [1, 3]))
    assert a == b != c


def _undo(weights):
    """lambda and each row's partner from mixed rows of the identity [n, n]."""
    n = len(weights)
    np.testing.assert_allclose(weights.sum(1), 1, rtol=1e-5)
    partners = np.where(
        np.isclose(np.diag(weights), 1), np.arange(n), (weights * (1 - np.eye(n))).argmax(1)
    )  # its own partner where nothing is taken from it
    coefficient = np.diag(weights)[partners != np.arange(n)]
    assert len(coefficient), "no row has another one as its partner"
    np.testing.assert_allclose(coefficient, coefficient[0], rtol=1e-5)
    expected = coefficient[0] * np.eye(n) + (1 - coefficient[0]) * np.eye(n)[partners]
    np.testing.assert_allclose(weights, expected, rtol=1e-5, atol=1e-6)
    assert sorted(partners) == list(range(n)), "a permutation has every row as a partner once"
    return coefficient[0], partners


@pytest.mark.parametrize("blocks", [1, 2, 4])
@pytest.mark.parametrize("dtype", [np.uint8, np.float32])
def test_mix_up(blocks, dtype):
    n = 12
    images = _RNG.integers(0, 256, (n, 5, 3, 1)).astype(dtype)
    targets = np.eye(n, dtype=np.float32)
    seen = set()
    for seed in range(5):
        mixed, weights = mixmatch.mix_up(tf.constant(images), tf.constant(targets), 0.7, [seed, 3], blocks)
        assert mixed.dtype == weights.dtype == tf.float32
        coefficient, partners = _undo(weights.numpy())
        np.testing.assert_allclose(coefficient, 0.7, rtol=1e-6)
        np.testing.assert_allclose(mixed, 0.7 * images.astype(float) + 0.3 * images[partners], rtol=1e-5)
        seen.add(tuple(partners))
    assert len(seen) == 5, "another seed, another permutation"


def _parts(n, m):
    """A labelled, an unlabelled and a meta batch as NumPy arrays; each view of an example has a pixel of its own."""
    rng = np.random.default_rng(n)

    def views(count, first):
        images = rng.integers(0, 200, (count, 2, _SIDE, _SIDE, 1)).astype(np.uint8)
        flat = images.reshape(count, 2, -1)
        flat[:, :, : 4 * n] = 0
        for view in range(2):
            flat[np.arange(count), view, first + view * count + np.arange(count)] = 255
        return images

    def labelled(count):
        return mixmatch.Labelled(
            views(count, 0),
            rng.integers(0, _CLASSES, count).astype(np.int32),
            rng.uniform(size=count).astype(np.float32),
            rng.integers(0, 1000, count),
        )

    unlabelled = mixmatch.Unlabelled(views(n, 2 * n), rng.integers(0, 1000, n))
    batch = mixmatch.TrainingBatch(labelled(n), unlabelled, np.float32(0.25))
    return batch, labelled(m)


def _weights(number):
    return np.random.default_rng(100 + number).normal(0, 0.4, (_SIDE**2, _CLASSES)).astype(np.float32)


class _Linear:
    """A network: pixels of 0 to 1 times a matrix. It counts how often it is called."""

    def __init__(self, number):
        self.weights, self.calls = tf.constant(_weights(number)), 0

    def __call__(self, images):
        self.calls += 1
        return tf.matmul(tf.reshape(tf.cast(images, tf.float32) / 255.0, [-1, _SIDE**2]), self.weights)


def _predicted(images, number):
    return _softmax(images.reshape(len(images), -1) / 255.0 @ _weights(number).astype(np.float64))


def _prepared(batch, meta, seed=(3, 4)):
    options = {"temperature": 0.5, "alpha": 4.0, "seed": tf.constant(seed)}
    return (
        mixmatch.training_batch(batch, _Linear(0), _Linear(1), lambda_u=30.0, **options),
        mixmatch.meta_batch(meta, _Linear(0), **options),
    )


def _tensors(parts):
    return tf.nest.map_structure(tf.constant, parts)


def _check_mixture(found_images, found_targets, images, targets):
    coefficient, partners = _undo(found_images.reshape(len(images), -1)[:, : len(images)] / 255.0)
    assert 0.5 <= coefficient <= 1.0
    for found, rows in ((found_images, images), (found_targets, targets)):
        rows = rows.astype(np.float64)
        np.testing.assert_allclose(found, coefficient * rows + (1 - coefficient) * rows[partners], rtol=1e-4, atol=1e-5)
    return coefficient, partners


def _refined(part):
    first, second = (_predicted(part.images[:, view], 0) for view in range(2))
    believed = part.clean_probability[:, None].astype(np.float64)
    mean = (first + second) / 2
    refined = _sharpened(believed * np.eye(_CLASSES)[part.labels] + (1 - believed) * mean, 0.5)
    return np.concatenate([refined, refined])


def test_training_batch_and_meta_batch_are_what_numpy_makes():
    batch, meta = _parts(6, 8)
    (images, labels, index), (meta_images, meta_targets, meta_index) = _prepared(*_tensors((batch, meta)))
    unlabelled = batch.unlabelled.images
    guessed = sum(_predicted(unlabelled[:, view], number) for view in range(2) for number in range(2)) / 4
    guessed = _sharpened(guessed, 0.5)
    coefficient, partners = _check_mixture(
        images.numpy(),
        labels.targets.numpy(),
        np.concatenate([part[:, view] for part in (batch.labelled.images, unlabelled) for view in range(2)]),
        np.concatenate([_refined(batch.labelled), guessed, guessed]),
    )
    assert {(row < 12, partner < 12) for row, partner in enumerate(partners)} == {
        (a, b) for a in (0, 1) for b in (0, 1)
    }
    np.testing.assert_array_equal(labels.labelled, np.arange(24) < 12)
    np.testing.assert_allclose(labels.unlabelled_weight, 7.5)
    np.testing.assert_array_equal(index, np.concatenate([batch.labelled.index] * 2 + [batch.unlabelled.index] * 2))
    meta_coefficient, _ = _check_mixture(
        meta_images.numpy(),
        meta_targets.numpy(),
        np.concatenate([meta.images[:, 0], meta.images[:, 1]]),
        _refined(meta),
    )
    assert meta_coefficient != coefficient, "one seed for both, but not one draw"
    np.testing.assert_array_equal(meta_index, np.concatenate([meta.index] * 2))


def test_each_network_is_called_once_and_no_gradient_passes():
    batch, meta = _tensors(_parts(6, 8))
    own, other = _Linear(0), _Linear(1)
    with tf.GradientTape(persistent=True) as tape:
        tape.watch([own.weights, other.weights])
        images, labels, _ = mixmatch.training_batch(
            batch, own, other, temperature=0.5, alpha=4.0, lambda_u=30.0, seed=[1, 2]
        )
        assert (own.calls, other.calls) == (1, 1)
        meta_images, targets, _ = mixmatch.meta_batch(meta, own, temperature=0.5, alpha=4.0, seed=[1, 2])
        assert own.calls == 2
        total = sum(tf.reduce_sum(x) for x in (images, labels.targets, meta_images, targets))
    assert tape.gradient(total, [own.weights, other.weights]) == [None, None]


@pytest.mark.parametrize("jit_compile", [False, True])
def test_compiled_is_eager(jit_compile):
    """XLA draws other numbers from the same seed; what they are used for is the same."""
    parts = _parts(6, 8)
    if jit_compile:
        (images, labels, _), (meta_images, _, _) = tf.function(_prepared, jit_compile=True)(*_tensors(parts))
        batch = parts[0]
        rows = [part[:, view] for part in (batch.labelled.images, batch.unlabelled.images) for view in range(2)]
        guessed = sum(_predicted(rows[view], number) for view in (2, 3) for number in range(2)) / 4
        targets = np.concatenate([_refined(batch.labelled), *[_sharpened(guessed, 0.5)] * 2])
        _check_mixture(images.numpy(), labels.targets.numpy(), np.concatenate(rows), targets)
        assert np.isfinite(meta_images.numpy()).all()
        return
    eager, compiled = _prepared(*_tensors(parts)), tf.function(_prepared)(*_tensors(parts))
    for a, b in zip(tf.nest.flatten(eager), tf.nest.flatten(compiled), strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-5, atol=1e-6)


def _shared_out(strategy, parts):
    """The parts' first half for the first replica, their second half for the second one."""

    def share(context):
        def half(value):
            size = np.size(value, 0) // 2 if np.ndim(value) else 0
            return tf.constant(value[context.replica_id_in_sync_group * size :][:size] if size else value)

        return tf.nest.map_structure(half, parts)

    return strategy.experimental_distribute_values_from_function(share)


def _put_together(strategy, value, blocks):
    """What two replicas hold of `blocks` blocks, in the order in which one replica holds it."""
    halves = [np.split(half.numpy(), blocks) for half in strategy.experimental_local_results(value)]
    return np.concatenate([half[block] for block in range(blocks) for half in halves])


@pytest.mark.parametrize("dtype", [np.uint8, np.float32])
def test_mix_up_on_two_replicas_is_that_on_one(two_replicas, dtype):
    """An image is of 15 bytes: no whole number of what they travel in."""
    blocks = [_RNG.integers(0, 256, (4, 5, 3, 1)).astype(dtype) for _ in range(3)]
    targets = np.split(np.eye(12, dtype=np.float32), 3)

    def mix(blocks, targets):
        images, targets = tf.concat(blocks, axis=0), tf.concat(targets, axis=0)
        return mixmatch.mix_up(images, targets, 0.6, [5, 6], 3)

    one = mix(blocks, targets)
    run = tf.function(lambda *data: two_replicas.run(mix, args=data), autograph=False)
    two = run(_shared_out(two_replicas, blocks), _shared_out(two_replicas, targets))
    for a, b in zip(one, two, strict=True):
        np.testing.assert_array_equal(a, _put_together(two_replicas, b, 3))
    _, partners = _undo(one[1].numpy())
    replica = np.arange(12) // 2 % 2
    assert (replica != replica[partners]).any(), "partners are of the other replica, too"


def test_mix_up_of_a_part_handed_through(two_replicas):
    """Nothing was done to it before it is gathered, as for one block alone."""
    images, targets = _RNG.normal(size=(4, 2, 2, 1)).astype(np.float32), np.eye(4, dtype=np.float32)
    run = tf.function(
        lambda *data: two_replicas.run(lambda x, y: mixmatch.mix_up(x, y, 0.6, [5, 6], 1), args=data),
        autograph=False,
    )
    two = run(_shared_out(two_replicas, images), _shared_out(two_replicas, targets))
    one = mixmatch.mix_up(images, targets, 0.6, [5, 6], 1)
    for a, b in zip(one, two, strict=True):
        np.testing.assert_array_equal(a, _put_together(two_replicas, b, 1))


def test_batches_on_two_replicas_are_those_on_one(two_replicas):
    parts = _parts(6, 8)
    run = tf.function(lambda *data: two_replicas.run(_prepared, args=data), autograph=False)
    (images, labels, index), meta = run(*(_shared_out(two_replicas, part) for part in parts))
    (one_images, one_labels, one_index), one_meta = tf.function(_prepared)(*_tensors(parts))
    pairs = [(one_images, images), (one_labels.targets, labels.targets), (one_labels.labelled, labels.labelled)]
    for a, b in [*pairs, (one_index, index)]:
        np.testing.assert_allclose(a, _put_together(two_replicas, b, 4), rtol=1e-5, atol=1e-5)
    for a, b in zip(one_meta, meta, strict=True):
        np.testing.assert_allclose(a, _put_together(two_replicas, b, 2), rtol=1e-5, atol=1e-5)
    for weight in two_replicas.experimental_local_results(labels.unlabelled_weight):
        assert float(weight) == float(one_labels.unlabelled_weight) == 7.5


@pytest.mark.parametrize(
    ("epochs", "length", "expected"),
    [(0, 16, 0.0), (4, 16, 0.25), (0.5, 16, 0.03125), (16, 16, 1.0), (40, 16, 1.0), (-3, 16, 0.0), (0, 0, 1.0)],
)
def test_ramp(epochs, length, expected):
    found = mixmatch.ramp(epochs, length)
    assert type(found) is float and found == expected


def _unequal():
    batch, _ = _tensors(_parts(6, 8))
    batch = batch._replace(unlabelled=tf.nest.map_structure(lambda x: x[:4], batch.unlabelled))
    own = _Linear(0)
    return mixmatch.training_batch(batch, own, own, temperature=0.5, alpha=4.0, lambda_u=1.0, seed=[1, 2])


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: mixmatch.sharpen(tf.constant([[0.5, 0.5]]), 0.0), r"temperature of 0\.0 .* more than 0"),
        (lambda: mixmatch.mix_coefficient(0.0, [1, 2]), r"alpha of 0\.0: expected more than 0"),
        (
            lambda: mixmatch.mix_up(tf.zeros([6, 2, 2, 1]), tf.eye(6), 0.5, [1, 2], 4),
            "6 rows to mix in 4 blocks",
        ),
        (_unequal, "6 labelled and 4 unlabelled examples"),
        (lambda: mixmatch.ramp(1, -1), "a ramp of -1 epochs: expected 0 or more"),
    ],
)
def test_mistakes(make, message):
    with pytest.raises(errors.InputError, match=message):
        make()
