"""Crops and mirror images against one example at a time in NumPy."""

import itertools

import numpy as np
import pytest
import tensorflow as tf

from famus_tf import errors
from famus_tf.data.images import augment


def _images(n, height=5, width=4, channels=3, seed=0):
    return np.random.default_rng(seed).integers(1, 256, (n, height, width, channels), np.uint8)


def _crop(image, padding, top, left, mirrored, mode="zero"):
    """One crop, in plain NumPy."""
    height, width, _ = image.shape
    around = [(padding, padding), (padding, padding), (0, 0)]
    padded = np.pad(image, around, mode={"zero": "constant", "reflect": "reflect"}[mode])
    out = padded[top : top + height, left : left + width]
    return out[:, ::-1] if mirrored else out


def _explain(image, result, padding, flip, mode="zero"):
    """The only offsets and mirroring that turn the image into the result."""
    offsets = range(2 * padding + 1)
    found = [
        choice
        for choice in itertools.product(offsets, offsets, (False, True) if flip else (False,))
        if np.array_equal(_crop(image, padding, *choice, mode), result)
    ]
    assert len(found) == 1, "the result is no crop of its image"
    return found[0]


@pytest.mark.parametrize(("padding", "flip"), [(0, True), (1, False), (1, True), (2, True)])
@pytest.mark.parametrize("mode", ["zero", "reflect"])
@pytest.mark.parametrize("channels", [1, 3])
def test_every_result_is_a_crop_and_all_crops_are_equally_likely(padding, flip, channels, mode):
    # Reflected at both sides, a narrow image has windows that are mirror images of others.
    size = {"height": 6, "width": 7} if mode == "reflect" else {}
    images = _images(1500, channels=channels, **size)
    results = augment.crop_and_flip(
        tf.constant(images), padding=padding, flip=flip, seed=tf.constant([3, 4]), padding_mode=mode
    ).numpy()
    assert results.dtype == np.uint8
    choices = [_explain(image, result, padding, flip, mode) for image, result in zip(images, results, strict=True)]
    for values, draws in zip((2 * padding + 1, 2 * padding + 1, 1 + flip), zip(*choices, strict=True), strict=True):
        share = np.bincount(np.array(draws, int), minlength=values) / len(images)
        np.testing.assert_allclose(share, 1 / values, atol=5 * np.sqrt(0.25 / len(images)))
    # Independent draws: all the combinations occur.
    assert len(set(choices)) == (2 * padding + 1) ** 2 * (1 + flip)


def test_identity():
    images = _images(3)
    result = augment.crop_and_flip(tf.constant(images), padding=0, flip=False, seed=tf.constant([0, 0]))
    np.testing.assert_array_equal(result, images)


def test_eager_and_map_agree_and_shapes_stay_static():
    images = _images(12)
    seeds = np.array([[1, 2], [3, 4], [5, 6]], np.int64)
    dataset = tf.data.Dataset.from_tensor_slices((images.reshape(3, 4, 5, 4, 3), seeds))
    dataset = dataset.map(lambda batch, seed: augment.crop_and_flip(batch, padding=2, flip=True, seed=seed))
    assert dataset.element_spec == tf.TensorSpec([4, 5, 4, 3], tf.uint8)
    for i, result in enumerate(dataset):
        batch = images[4 * i : 4 * i + 4]
        np.testing.assert_array_equal(
            result, augment.crop_and_flip(tf.constant(batch), padding=2, flip=True, seed=tf.constant(seeds[i]))
        )
        for image, crop in zip(batch, result.numpy(), strict=True):
            _explain(image, crop, 2, True)


def test_batch_size_known_only_at_run_time():
    step = tf.function(
        lambda batch: augment.crop_and_flip(batch, padding=1, flip=True, seed=tf.constant([8, 9])),
        input_signature=[tf.TensorSpec([None, 5, 4, 3], tf.uint8)],
    )
    images = _images(7)
    for image, crop in zip(images, step(images).numpy(), strict=True):
        _explain(image, crop, 1, True)


def test_the_seed_decides():
    images = tf.constant(_images(64))

    def run(seed):
        return augment.crop_and_flip(images, padding=2, flip=True, seed=tf.constant(seed)).numpy()

    np.testing.assert_array_equal(run([1, 2]), run([1, 2]))
    assert not np.array_equal(run([1, 2]), run([1, 3]))


def test_negative_padding():
    with pytest.raises(errors.InputError, match="padding is -1"):
        augment.crop_and_flip(tf.constant(_images(1)), padding=-1, flip=False, seed=tf.constant([0, 0]))


def test_padding_that_cannot_be():
    arguments = {"flip": True, "seed": tf.constant([0, 0])}
    with pytest.raises(errors.InputError, match="no padding 'wrap', expected one of zero, reflect"):
        augment.crop_and_flip(_images(2), padding=1, padding_mode="wrap", **arguments)
    with pytest.raises(errors.InputError, match="crop padding of 4 by reflection with images of 5x4"):
        augment.crop_and_flip(_images(2), padding=4, padding_mode="reflect", **arguments)
