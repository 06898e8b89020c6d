"""AutoAugment and RandAugment: every operation as Pillow has it, and what a batch gets follows from its seed."""

import numpy as np
import pytest
import tensorflow as tf
from PIL import Image, ImageEnhance, ImageOps

from famus_tf import errors
from famus_tf.data.batches import batch_spec, pipeline
from famus_tf.data.images import image_files, strong_augment

_RNG = np.random.default_rng(0)


def _images(channels):
    """Noise, a ramp with few values, one value alone."""
    noise = _RNG.integers(0, 256, (20, 24, channels))
    ramp = np.broadcast_to(np.arange(24)[:, np.newaxis] * 4 + 60, (20, 24, channels))
    return [image.astype(np.uint8) for image in (noise, ramp, np.full((20, 24, channels), 77))]


def _pillow(image):
    return Image.fromarray(image[..., 0] if image.shape[-1] == 1 else image)


def _affine(image, matrix):
    fill = 128 if image.mode == "L" else (128, 128, 128)
    return image.transform(image.size, Image.Transform.AFFINE, matrix, Image.Resampling.NEAREST, fillcolor=fill)


def _rotated(image, degrees):
    fill = 128 if image.mode == "L" else (128, 128, 128)
    return image.rotate(degrees, Image.Resampling.NEAREST, fillcolor=fill)


EXPECTED = {
    "identity": lambda image, level, sign: image,
    "shear_x": lambda image, level, sign: _affine(image, (1, sign * 0.3 * level, 0, 0, 1, 0)),
    "shear_y": lambda image, level, sign: _affine(image, (1, 0, 0, sign * 0.3 * level, 1, 0)),
    "translate_x": lambda image, level, sign: _affine(image, (1, 0, sign * int(150 / 331 * 24 * level), 0, 1, 0)),
    "translate_y": lambda image, level, sign: _affine(image, (1, 0, 0, 0, 1, sign * int(150 / 331 * 20 * level))),
    "rotate": lambda image, level, sign: _rotated(image, sign * 30 * level),
    "brightness": lambda image, level, sign: ImageEnhance.Brightness(image).enhance(1 + sign * 0.9 * level),
    "color": lambda image, level, sign: ImageEnhance.Color(image).enhance(1 + sign * 0.9 * level),
    "contrast": lambda image, level, sign: ImageEnhance.Contrast(image).enhance(1 + sign * 0.9 * level),
    "sharpness": lambda image, level, sign: ImageEnhance.Sharpness(image).enhance(1 + sign * 0.9 * level),
    "posterize": lambda image, level, sign: ImageOps.posterize(image, 8 - round(4 * level)),
    "solarize": lambda image, level, sign: ImageOps.solarize(image, 255 * (1 - level)),
    "autocontrast": lambda image, level, sign: ImageOps.autocontrast(image),
    "equalize": lambda image, level, sign: ImageOps.equalize(image),
    "invert": lambda image, level, sign: ImageOps.invert(image),
}


@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("name", strong_augment.OPERATIONS)
def test_an_operation_is_pillows(name, channels):
    for image in _images(channels):
        for level in (0.0, 0.3, 7 / 9, 1.0):
            for sign in (-1.0, 1.0):
                made = strong_augment.OPERATIONS[name](tf.constant(image), tf.constant(level), tf.constant(sign))
                expected = np.asarray(EXPECTED[name](_pillow(image), level, sign)).reshape(image.shape)
                # Float32 against float64: a value at the edge between two may fall to either.
                off = np.abs(made.numpy().astype(int) - expected)
                moved = name in ("shear_x", "shear_y", "rotate")
                assert (off > (0 if moved else 1)).mean() <= (0.02 if moved else 0), (level, sign)
                assert (off > 0).mean() <= 0.05, (level, sign)


def test_every_operation_has_its_line_here():
    assert EXPECTED.keys() == strong_augment.OPERATIONS.keys()
    assert len(strong_augment._OF_RAND) == 14 and len(strong_augment._CIFAR10) == 25
    used = {row[k] for row in strong_augment._CIFAR10 for k in (0, 3)}
    assert used <= EXPECTED.keys()


@pytest.mark.parametrize("policy", [strong_augment.Policy("autoaugment"), strong_augment.Policy("randaugment", 3, 20)])
def test_an_image_follows_from_its_seed_alone(policy):
    images = tf.constant(np.stack([_images(3)[0]] * 40))
    seeds = tf.stack([tf.zeros(40, tf.int64), tf.range(40, dtype=tf.int64)], axis=1)
    made = strong_augment.apply(images, seeds, policy).numpy()
    np.testing.assert_array_equal(strong_augment.apply(images[7:9], seeds[7:9], policy), made[7:9])
    in_graph = tf.function(lambda *pair: strong_augment.apply(*pair, policy), autograph=False)(images, seeds)
    assert (in_graph.numpy() != made).mean() < 0.01  # places in float32, in another order
    assert len({one.tobytes() for one in made}) > 12


def test_shares_of_the_rows_and_of_the_operations(monkeypatch):
    """Each of AutoAugment's 50 operations comes as often as its row and its probability say."""
    seen = []

    def one(kind, image, level, sign):
        seen.append((int(kind), round(float(level) * 9), float(sign)))
        return image

    monkeypatch.setattr(strong_augment, "_one", one)
    count = 600
    image = tf.zeros([1, 1, 1], tf.uint8)
    policy = strong_augment.Policy("autoaugment")
    for number in range(count):  # eagerly, image by image
        strong_augment.of_image(image, tf.constant([5, number], tf.int64), policy)
    names = list(strong_augment.OPERATIONS)
    expected = np.zeros(len(names))
    for row in strong_augment._CIFAR10:
        for k in (0, 3):
            expected[names.index(row[k])] += row[k + 1] / 25
    found = np.bincount([kind for kind, _, _ in seen], minlength=len(names)) / count
    np.testing.assert_allclose(found, expected, atol=0.07)
    assert abs(np.mean([sign for *_, sign in seen])) < 0.15
    known = {(names.index(row[k]), row[k + 2]) for row in strong_augment._CIFAR10 for k in (0, 3)}
    assert {(kind, level) for kind, level, _ in seen} <= known


def test_images_of_other_channels_are_refused():
    with pytest.raises(errors.InputError, match=r"^option `strong_augment`=randaugment: images of 2 channels"):
        strong_augment.apply(
            tf.zeros([1, 8, 8, 2], tf.uint8), tf.zeros([1, 2], tf.int64), strong_augment.Policy("randaugment")
        )


def _batches(strong, share=batch_spec.WHOLE, views=1):
    images = _RNG_IMAGES
    spec = batch_spec.BatchSpec("train", 8, 3, views=views, flip=True, crop_padding=2, strong=strong)
    return list(pipeline.training_batches(images, np.zeros(len(images), np.int32), spec, 0, 2, share=share))


_RNG_IMAGES = _RNG.integers(0, 256, (16, 10, 12, 3)).astype(np.uint8)


def test_batches_are_changed_after_the_crop_and_parts_of_them_are_their_rows():
    policy = strong_augment.Policy("autoaugment")
    plain, changed = _batches(None), _batches(policy)
    for (images, _, index), (others, _, same) in zip(plain, changed, strict=True):
        np.testing.assert_array_equal(index, same)
        assert 0 < np.mean((images.numpy() != others.numpy()).any(axis=(1, 2, 3))) <= 1
    for number in range(2):
        part = _batches(policy, batch_spec.Share(number, 2))
        for (rows, _, _), (images, _, _) in zip(part, changed, strict=True):
            np.testing.assert_array_equal(rows, images[4 * number : 4 * number + 4])
    twice = _batches(policy, views=2)
    np.testing.assert_array_equal(twice[0][0][:, 0], changed[0][0])
    assert (twice[0][0][:, 0].numpy() != twice[0][0][:, 1].numpy()).any()


def test_images_from_files_are_changed_as_those_in_memory(tmp_path):
    """Of the size that is trained on, with neither crop nor mirror, so that all but the operations is the same."""
    images = _RNG_IMAGES[:8, :, :10]
    for number, image in enumerate(images):
        Image.fromarray(image).save(tmp_path / f"{number}.png")
    paths = np.array([str(tmp_path / f"{number}.png") for number in range(8)])
    files = image_files.ImageFiles(paths, image_files.Transform(10, 10, augmented=False))
    for views in (1, 2):
        spec = batch_spec.BatchSpec("train", 4, 3, views=views, strong=strong_augment.Policy("autoaugment"))
        of_files, in_memory = (
            list(pipeline.training_batches(source, np.zeros(8, np.int32), spec, 0, 4)) for source in (files, images)
        )
        for one, other in zip(of_files, in_memory, strict=True):
            np.testing.assert_array_equal(one[2], other[2])
            np.testing.assert_array_equal(one[0], other[0])
