"""The box of random size and ratio against NumPy, the pixels against Pillow, and its distribution."""

import math

import numpy as np
import PIL.Image
import pytest
import tensorflow as tf

from famus_tf.data.images import image_files, random_resized


def _oracle(shape, resize, draws):
    """torchvision's algorithm on the scaled image, try by try, in Python's numbers; then the edges in the file."""
    scaled = [side * resize // min(shape) for side in shape]
    draws = draws.astype(np.float64)
    for k in range(10):
        area = scaled[0] * scaled[1] * (0.08 + (1.0 - 0.08) * draws[k])
        ratio = math.exp(math.log(3 / 4) + (math.log(4 / 3) - math.log(3 / 4)) * draws[10 + k])
        height, width = round(math.sqrt(area / ratio)), round(math.sqrt(area * ratio))
        if 0 < height <= scaled[0] and 0 < width <= scaled[1]:
            top, left = (int(draws[20 + i] * (scaled[i] - (height, width)[i] + 1)) for i in (0, 1))
            break
    else:
        in_ratio = scaled[1] / scaled[0]
        height, width = scaled
        if in_ratio < 3 / 4:
            height = round(width / (3 / 4))
        elif in_ratio > 4 / 3:
            width = round(height * (4 / 3))
        top, left = (scaled[0] - height) // 2, (scaled[1] - width) // 2
    edges = [(top, top + height), (left, left + width)]
    rows, columns = (
        [math.floor(edge * side / of + 0.5) for edge in pair]
        for pair, side, of in zip(edges, shape, scaled, strict=True)
    )
    sides = max(rows[1] - rows[0], 1), max(columns[1] - columns[0], 1)
    return [min(rows[0], shape[0] - sides[0]), min(columns[0], shape[1] - sides[1]), *sides]


@pytest.mark.parametrize(
    ("shape", "resize"),
    [((256, 341), 320), ((500, 375), 256), ((64, 64), 64), ((40, 2000), 32), ((1, 1), 8), ((900, 7), 16)],
)
def test_box_of_the_same_draws(shape, resize):
    rng = np.random.default_rng(0)
    box = tf.function(random_resized.box)
    for _ in range(200):
        draws = rng.random(random_resized.DRAWS, np.float32)
        found = box(tf.constant(shape), resize, tf.constant(draws)).numpy()
        assert found.tolist() == _oracle(shape, resize, draws)
        top, left, height, width = found
        assert min(top, left) >= 0 and min(height, width) >= 1
        assert top + height <= shape[0] and left + width <= shape[1]


def test_areas_ratios_and_positions():
    rng = np.random.default_rng(1)
    box = tf.function(random_resized.box)
    boxes = np.array(
        [box(tf.constant([1000, 1000]), 1000, tf.constant(rng.random(22, np.float32))) for _ in range(2000)]
    )
    area, ratio = boxes[:, 2] * boxes[:, 3] / 1e6, boxes[:, 3] / boxes[:, 2]
    assert 0.079 < area.min() < 0.1 and 0.9 < area.max() <= 1
    assert 0.74 < ratio.min() < 0.77 and 1.3 < ratio.max() < 1.34
    assert abs(np.log(ratio).mean()) < 0.02 and abs(boxes[:, 0].mean() - boxes[:, 1].mean()) < 20


@pytest.mark.parametrize("kind", ["jpg", "png"])
@pytest.mark.parametrize("size", [(300, 200), (40, 60)])
def test_pixels_of_a_file(kind, size, tmp_path):
    """Boxes of large images are scaled down, those of small ones up."""
    rough = PIL.Image.fromarray(np.random.default_rng(0).integers(0, 256, (9, 9, 3), np.uint8))
    path = tmp_path / f"a.{kind}"
    rough.resize(size, PIL.Image.Resampling.BICUBIC).save(path, quality=95)
    whole = PIL.Image.open(path).convert("RGB")
    transform = image_files.Transform(64, 56, random_resized=True)
    for number in range(12):
        seed = tf.constant([5, number], tf.int64)
        found = image_files.load_for_training(tf.constant(str(path)), seed, transform, True).numpy()
        draws = tf.random.stateless_uniform([1 + random_resized.DRAWS], seed, alg="philox").numpy()
        top, left, height, width = _oracle(size[::-1], 64, draws[1:])
        part = whole.crop((left, top, left + width, top + height))
        expected = np.asarray(part.resize((56, 56), PIL.Image.Resampling.BILINEAR), float)
        if draws[0] < 0.5:
            expected = expected[:, ::-1]
        # A JPEG that is cut while it is decoded has other colours at the cut, where they are interpolated.
        difference = np.abs(found - expected)
        assert difference.mean() < (1.5 if kind == "jpg" else 0.5)
        assert difference.max() <= (40 if kind == "jpg" else 2)


def test_eager_is_the_pipeline_and_evaluation_cuts_the_middle(tmp_path):
    path = str(tmp_path / "a.png")
    PIL.Image.fromarray(np.random.default_rng(0).integers(0, 256, (50, 70, 3), np.uint8)).save(path)
    transform = image_files.Transform(40, 32, random_resized=True)
    seeds = tf.constant([[1, k] for k in range(5)], tf.int64)
    mapped = tf.data.Dataset.from_tensor_slices(seeds).map(
        lambda seed: image_files.load_for_training(tf.constant(path), seed, transform, True)
    )
    for seed, image in zip(seeds, mapped, strict=True):
        np.testing.assert_array_equal(image, image_files.load_for_training(tf.constant(path), seed, transform, True))
    plain = image_files.Transform(40, 32)
    np.testing.assert_array_equal(
        image_files.load_for_evaluation(tf.constant(path), transform),
        image_files.load_for_evaluation(tf.constant(path), plain),
    )
