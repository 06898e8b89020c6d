"""Batches as a function of the step: order, resumption, shapes, distribution."""

import os
import pathlib
import subprocess
import sys

import numpy as np
import pytest
import tensorflow as tf

from famus_tf import errors
from famus_tf.data.batches import batch_spec, pipeline, sampling
from famus_tf.data.images import image_files, scaling

_N, _BATCH = 23, 4
_IMAGES = np.random.default_rng(0).integers(1, 256, (_N, 6, 5, 3), np.uint8)
_LABELS = (np.arange(_N) * 7 % 10).astype(np.int32)


def _dataset(first_step, last_step, images=_IMAGES, labels=_LABELS, share=batch_spec.WHOLE, bad=None, **spec):
    spec = batch_spec.BatchSpec(**({"stream": "train", "size": _BATCH, "seed": 0} | spec))
    return pipeline.training_batches(images, labels, spec, first_step, last_step, bad, share)


def _batches(first_step=0, last_step=12, **changes):
    dataset = _dataset(first_step, last_step, **({"crop_padding": 2, "flip": True} | changes))
    return [tuple(part.numpy() for part in batch) for batch in dataset]


def _assert_equal(left, right):
    assert len(left) == len(right)
    for a, b in zip(left, right, strict=True):
        for x, y in zip(a, b, strict=True):
            np.testing.assert_array_equal(x, y)


def _indices(batches):
    return np.concatenate([index for _, _, index in batches])


def test_labels_and_images_belong_to_the_index():
    for images, labels, index in _batches(crop_padding=0, flip=False):
        np.testing.assert_array_equal(images, _IMAGES[index])
        np.testing.assert_array_equal(labels, _LABELS[index])


def test_each_epoch_visits_examples_once_in_an_order_of_its_own():
    indices = _indices(_batches(last_step=15)).reshape(3, 20)
    for epoch in indices:
        assert len(set(epoch)) == 20
        assert set(epoch) <= set(range(_N))
    assert len({tuple(epoch) for epoch in indices}) == 3
    # The three that are left out differ from epoch to epoch, so every example is seen in the long run.
    assert set(_indices(_batches(last_step=50))) == set(range(_N))


def test_a_batch_as_large_as_the_set():
    indices = _indices(_batches(size=_N, last_step=2)).reshape(2, _N)
    for epoch in indices:
        assert sorted(epoch) == list(range(_N))


def test_any_first_step_continues_the_uninterrupted_stream():
    whole = _batches(0, 12)
    for first_step in range(13):
        _assert_equal(_batches(first_step, 12), whole[first_step:])
    _assert_equal(_batches(3, 8), whole[3:8])


def test_a_dataset_can_be_read_twice():
    dataset = _dataset(3, 7, crop_padding=1, flip=True)
    first, second = ([tuple(part.numpy() for part in batch) for batch in dataset] for _ in range(2))
    _assert_equal(first, second)
    assert int(dataset.cardinality()) == 4


def test_seed_and_stream_decide():
    base = _batches()
    assert list(_indices(base)) != list(_indices(_batches(seed=1)))
    assert list(_indices(base)) != list(_indices(_batches(stream="meta")))
    # The order does not depend on the augmentation.
    np.testing.assert_array_equal(_indices(base), _indices(_batches(crop_padding=0, flip=False)))


def test_augmentation_differs_from_step_to_step():
    image = np.arange(1, 31, dtype=np.uint8).reshape(1, 6, 5, 1)
    dataset = _dataset(0, 60, image, np.zeros(1, np.int32), size=1, crop_padding=1, flip=True)
    seen = {images.numpy().tobytes() for images, _, _ in dataset}
    assert 12 <= len(seen) <= 18


def test_the_order_is_the_same_in_another_process():
    code = "from famus_tf.data.batches import sampling; print(*sampling.epoch_order(range(9), 3, 5, 'meta', 3))"
    printed = _run(code, {"PYTHONHASHSEED": "123"})
    assert printed.split() == [str(i) for i in sampling.epoch_order(range(9), 3, 5, "meta", 3)]


def test_element_spec_is_static():
    dataset = _dataset(0, 1)
    images = tf.TensorSpec([_BATCH, 6, 5, 3], tf.uint8)
    labels = tf.TensorSpec([_BATCH], tf.int32)
    assert dataset.element_spec == (images, labels, tf.TensorSpec([_BATCH], tf.int64))
    evaluation = pipeline.evaluation_batches(_IMAGES, _LABELS, batch_size=_BATCH)
    assert evaluation.element_spec == (images, labels, tf.TensorSpec([_BATCH], tf.float32))


def test_no_iterator_has_a_tuner_that_can_hang():
    training = _dataset(0, 1, stream="a")
    both = pipeline.pairs(training, training)
    for dataset in (training, both, pipeline.evaluation_batches(_IMAGES, _LABELS, batch_size=4)):
        assert dataset.options().autotune.enabled is False


@pytest.mark.parametrize("batch_size", [1, 4, 23, 30])
def test_evaluation_batches(batch_size):
    batches = list(pipeline.evaluation_batches(_IMAGES, _LABELS, batch_size=batch_size))
    assert len(batches) == -(-_N // batch_size)
    images, labels, weight = (np.concatenate(parts) for parts in zip(*batches, strict=True))
    np.testing.assert_array_equal(images[:_N], _IMAGES)
    np.testing.assert_array_equal(labels[:_N], _LABELS)
    np.testing.assert_array_equal(weight, [1.0] * _N + [0.0] * (len(weight) - _N))
    assert not images[_N:].any()
    assert not labels[_N:].any()


def _images(in_files, folder):
    """Images in an array, or others in files that are cropped to the size of those, and larger by two pixels."""
    if not in_files:
        return _IMAGES
    paths = [folder / f"{number}.png" for number in range(_N)]
    for path, pixels in zip(paths, np.random.default_rng(1).integers(0, 256, (_N, 9, 12, 3)), strict=True):
        tf.io.write_file(str(path), tf.io.encode_png(tf.constant(pixels, tf.uint8)))
    return image_files.ImageFiles(np.array(paths), image_files.Transform(8, 6))


@pytest.mark.parametrize("in_files", [False, True])
def test_shares_of_a_batch_are_its_rows(in_files, tmp_path):
    images = _images(in_files, tmp_path)

    def training(share):
        return list(_dataset(2, 7, images, share=share, seed=3, crop_padding=1, flip=True))

    def evaluation(share):
        bad = np.array([3, 22])
        return list(pipeline.evaluation_batches(images, _LABELS, batch_size=4, first_batch=1, bad=bad, share=share))

    for make in (training, evaluation):
        whole, *halves = (make(batch_spec.Share(*share)) for share in ((0, 1), (0, 2), (1, 2)))
        for expected, parts in zip(whole, zip(*halves, strict=True), strict=True):
            for rows, shares in zip(expected, zip(*parts, strict=True), strict=True):
                assert {len(part) for part in shares} == {2}
                np.testing.assert_array_equal(rows, np.concatenate(shares))
    weight = np.concatenate([weight for _, _, weight in evaluation(batch_spec.WHOLE)])
    np.testing.assert_array_equal(weight, [position not in (22, 23) for position in range(4, 24)])
    with pytest.raises(errors.InputError, match="part 0 of 3 of a batch of 4"):
        training(batch_spec.Share(0, 3))


@pytest.mark.parametrize("in_files", [False, True])
def test_two_views_of_some_of_the_images(in_files, tmp_path):
    """The first view is what there would be without views; the second is of the same image, cropped elsewhere."""
    images, among = _images(in_files, tmp_path), np.array([3, 4, 7, 8, 12, 15, 16, 21, 22])
    common = {"seed": 5, "stream": "labelled", "crop_padding": 2, "flip": True, "subset": among}

    def batches(first_step=0, **changes):
        dataset = _dataset(first_step, 6, images, **(common | changes))
        return [tuple(part.numpy() for part in batch) for batch in dataset]

    one, two = batches(), batches(views=2)
    shape = images.shape[1:]
    for number in (0, 2, 4):
        assert len(set(_indices(two[number : number + 2]))) == 8
    assert set(_indices(two)) <= set(among)
    for (alone, labels, index), (both, *others) in zip(one, two, strict=True):
        assert both.shape == (4, 2, *shape)
        np.testing.assert_array_equal(both[:, 0], alone)
        _assert_equal([(labels, index)], [tuple(others)])
        np.testing.assert_array_equal(labels, _LABELS[index])
        for views, position in zip(both, index, strict=True):
            for view in views:
                assert _is_crop_of(view, images, position)
    first, second = np.concatenate([both for both, *_ in two]).swapaxes(0, 1)
    assert np.mean([np.array_equal(a, b) for a, b in zip(first, second, strict=True)]) < 0.3
    for step in (1, 4):
        _assert_equal(batches(step, views=2), two[step:])
    halves = (batches(views=2, share=batch_spec.Share(number, 2)) for number in (0, 1))
    for whole, parts in zip(two, zip(*halves, strict=True), strict=True):
        _assert_equal([whole], [tuple(map(np.concatenate, zip(*parts, strict=True)))])
    with pytest.raises(errors.InputError, match="labelled: the batch size is 10, expected at most the 9"):
        batches(size=10)


def _is_crop_of(view, images, position):
    """Whether it is a window of that image, perhaps mirrored."""
    if isinstance(images, image_files.ImageFiles):
        whole = scaling.short_side(tf.constant(image_files.decode(images.paths[position].decode())), 8)
        padded = whole.numpy()
    else:
        padded = np.pad(images[position], [(2, 2), (2, 2), (0, 0)])
    windows = np.lib.stride_tricks.sliding_window_view(padded, view.shape).reshape(-1, *view.shape)
    return any((windows == one).all((1, 2, 3)).any() for one in (view, view[:, ::-1]))


@pytest.mark.parametrize("in_files", [False, True])
def test_evaluation_batches_of_some_of_the_images(in_files, tmp_path):
    images, among = _images(in_files, tmp_path), np.array([3, 4, 7, 8, 12, 15, 16, 21, 22])
    everything = pipeline.evaluation_batches(images, _LABELS, batch_size=_N)
    (all_images, _, _), *_ = everything

    def evaluation(**changes):
        batches = pipeline.evaluation_batches(images, _LABELS, batch_size=4, subset=among, **changes)
        return tuple(np.concatenate(parts) for parts in zip(*batches, strict=True))

    found, labels, weight = evaluation()
    np.testing.assert_array_equal(found[:9], all_images.numpy()[among])
    np.testing.assert_array_equal(labels[:9], _LABELS[among])
    np.testing.assert_array_equal(weight, [1] * 9 + [0] * 3)
    assert not found[9:].any()
    found, labels, weight = evaluation(bad=np.array([0, 12, 20]), first_batch=1)
    np.testing.assert_array_equal(weight, [0, 1, 1, 1, 1, 0, 0, 0])
    np.testing.assert_array_equal(found[1:5], all_images.numpy()[among[5:]])
    np.testing.assert_array_equal(labels[:5], [0, *_LABELS[among[5:]]])


def test_pairs():
    def stream(name, size):
        return _dataset(2, 9, stream=name, size=size, crop_padding=1)

    both = list(pipeline.pairs(stream("train", 4), stream("meta", 2)))
    assert len(both) == 7
    for (training, meta), left, right in zip(both, stream("train", 4), stream("meta", 2), strict=True):
        _assert_equal([training, meta], [left, right])


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"size": 24, "stream": "meta"}, "meta: the batch size is 24, expected at most the 23"),
        ({"first_step": 5, "last_step": 4}, "steps go from 5 to 4"),
        ({"first_step": -1}, "steps go from -1 to 12"),
        ({"seed": -1}, "seed is -1"),
        ({"crop_padding": -1}, "crop padding is -1"),
    ],
)
def test_mistakes(changes, message):
    with pytest.raises(errors.InputError, match=message):
        _batches(**changes)


def test_arrays_that_do_not_fit():
    with pytest.raises(errors.InputError, match=r"labels have shape \(22,\), expected \(23,\)"):
        pipeline.evaluation_batches(_IMAGES, _LABELS[:-1], batch_size=4)
    with pytest.raises(errors.InputError, match="float32, expected uint8"):
        pipeline.evaluation_batches(_IMAGES.astype(np.float32), _LABELS, batch_size=4)
    with pytest.raises(errors.InputError, match="evaluation: the batch size is 0"):
        pipeline.evaluation_batches(_IMAGES, _LABELS, batch_size=0)


_DISTRIBUTED = """
import numpy as np, tensorflow as tf
cpu = tf.config.list_physical_devices("CPU")[0]
tf.config.set_logical_device_configuration(cpu, [tf.config.LogicalDeviceConfiguration()] * 2)
from famus_tf.data.batches import batch_spec, pipeline
images = np.random.default_rng(0).integers(1, 256, (23, 6, 5, 3), np.uint8)
labels = np.arange(23, dtype=np.int32) % 10
def streams():
    specs = [batch_spec.BatchSpec(name, n, 0, crop_padding=2, flip=True) for name, n in (("train", 4), ("meta", 2))]
    return pipeline.pairs(*(pipeline.training_batches(images, labels, spec, 3, 9) for spec in specs))
strategy = tf.distribute.MirroredStrategy(["CPU:0", "CPU:1"])
def compare(dataset):
    steps = 0
    for whole, split in zip(dataset, strategy.experimental_distribute_dataset(dataset), strict=True):
        for one, two in zip(tf.nest.flatten(whole), tf.nest.flatten(split), strict=True):
            parts = strategy.experimental_local_results(two)
            assert len(parts) == 2 and parts[0].shape == parts[1].shape, parts
            np.testing.assert_array_equal(one, np.concatenate(parts))
        steps += 1
    return steps
print("STEPS", compare(streams()), compare(pipeline.evaluation_batches(images, labels, batch_size=4)))
"""


def _run(code, environment):
    root = str(pathlib.Path(pipeline.__file__).parents[2])
    result = subprocess.run(
        [sys.executable, "-c", code],
        env=os.environ | {"PYTHONPATH": root, "CUDA_VISIBLE_DEVICES": "", "TF_CPP_MIN_LOG_LEVEL": "3"} | environment,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert result.returncode == 0, result.stderr[-3000:]
    return result.stdout


def test_a_strategy_splits_the_global_batch():
    # In a process of its own: logical devices can be made only before TensorFlow starts.
    assert "STEPS 6 6" in _run(_DISTRIBUTED, {})
