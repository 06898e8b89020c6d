"""IDX files, whole and broken, and the places where Fashion-MNIST is looked for."""

import gzip
import os
import struct

import numpy as np
import pytest

from famus_tf import errors
from famus_tf.data.formats import idx, prepared
from famus_tf.data.sets import fashion_mnist

_DEBIAN = fashion_mnist.DEBIAN_FOLDER


@pytest.fixture
def isolated(monkeypatch, tmp_path):
    """Hides the machine's own copies of the set."""
    monkeypatch.setattr(fashion_mnist, "DEBIAN_FOLDER", str(tmp_path / "debian"))
    monkeypatch.setattr(prepared, "read", lambda name, data_dir: None)


def _encode(array):
    header = struct.pack(">HBB", 0, 8, array.ndim) + struct.pack(f">{array.ndim}I", *array.shape)
    return header + array.tobytes()


def _write(path, content):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(gzip.compress(content) if path.name.endswith(".gz") else content)
    return str(path)


def _write_set(folder, seed=0, suffix=".gz"):
    rng = np.random.default_rng(seed)
    arrays = {}
    for split, n in (("train", 7), ("t10k", 3)):
        arrays[split] = rng.integers(0, 256, (n, 28, 28), np.uint8), rng.integers(0, 10, n, np.uint8)
        _write(folder / f"{split}-images-idx3-ubyte{suffix}", _encode(arrays[split][0]))
        _write(folder / f"{split}-labels-idx1-ubyte{suffix}", _encode(arrays[split][1]))
    return arrays


@pytest.mark.usefixtures("isolated")
@pytest.mark.parametrize("suffix", ["", ".gz"])
@pytest.mark.parametrize("below", ["", "fashion-mnist", "fashion_mnist"])
def test_load_from_data_dir(tmp_path, below, suffix):
    arrays = _write_set(tmp_path / "here" / below, suffix=suffix)
    source = fashion_mnist.load(str(tmp_path / "here"))
    np.testing.assert_array_equal(source.train_images[..., 0], arrays["train"][0])
    np.testing.assert_array_equal(source.train_labels, arrays["train"][1])
    np.testing.assert_array_equal(source.test_images[..., 0], arrays["t10k"][0])
    np.testing.assert_array_equal(source.test_labels, arrays["t10k"][1])
    assert source.train_images.shape == (7, 28, 28, 1)
    assert (source.train_images.dtype, source.train_labels.dtype) == (np.uint8, np.int32)
    assert source.mean == pytest.approx([arrays["train"][0].mean()])
    assert source.std == pytest.approx([arrays["train"][0].std()])
    assert (source.name, source.crop_padding, source.flip) == ("fashion_mnist", 2, True)
    assert len(source.class_names) == 10


@pytest.mark.usefixtures("isolated")
def test_data_dir_wins_over_the_package(tmp_path):
    ours = _write_set(tmp_path / "ours", seed=1)
    theirs = _write_set(tmp_path / "debian", seed=2)
    found = fashion_mnist.load(str(tmp_path / "ours"))
    np.testing.assert_array_equal(found.train_images[..., 0], ours["train"][0])
    found = fashion_mnist.load(str(tmp_path / "empty"))
    np.testing.assert_array_equal(found.train_images[..., 0], theirs["train"][0])


@pytest.mark.usefixtures("isolated")
def test_nowhere(tmp_path):
    with pytest.raises(errors.InputError) as caught:
        fashion_mnist.load(str(tmp_path))
    message = str(caught.value)
    assert "\n" not in message
    for part in (str(tmp_path), "`data_dir`", "apt-get install dataset-fashion-mnist", "tfds.load('fashion_mnist')"):
        assert part in message


@pytest.mark.usefixtures("isolated")
def test_a_file_is_missing(tmp_path):
    _write_set(tmp_path)
    os.remove(tmp_path / "t10k-labels-idx1-ubyte.gz")
    with pytest.raises(errors.InputError, match="a part of Fashion-MNIST, expected t10k-labels-idx1-ubyte or"):
        fashion_mnist.load(str(tmp_path))


@pytest.mark.usefixtures("isolated")
def test_label_without_a_class(tmp_path):
    _write_set(tmp_path)
    _write(tmp_path / "train-labels-idx1-ubyte.gz", _encode(np.array([0, 1, 2, 3, 4, 5, 10], np.uint8)))
    with pytest.raises(errors.InputError, match=r"train-labels-idx1-ubyte.gz holds the label 10, expected .* 0 to 9"):
        fashion_mnist.load(str(tmp_path))


_IMAGES = np.arange(2 * 3 * 4, dtype=np.uint8).reshape(2, 3, 4)


def test_read_any_shape(tmp_path):
    read = idx.read(_write(tmp_path / "a.gz", _encode(_IMAGES)), rank=3)
    np.testing.assert_array_equal(read, _IMAGES)
    read[:] = 0  # The array is the caller's own.


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("empty", b"", "holds 0 bytes, expected at least the 16 bytes"),
        ("header", _encode(_IMAGES)[:15], "holds 15 bytes, expected at least the 16 bytes"),
        ("labels", _encode(np.zeros(30, np.uint8)), "magic number 0x00000801, expected 0x00000803"),
        ("type", b"\0\0\x0d\3" + _encode(_IMAGES)[4:], "magic number 0x00000d03, expected 0x00000803"),
        ("short", _encode(_IMAGES)[:-1], r"holds 39 bytes, expected 40 for the dimensions \(2, 3, 4\)"),
        ("long", _encode(_IMAGES) + b"x", "holds 41 bytes, expected 40"),
        ("huge", _encode(_IMAGES)[:4] + b"\xff" * 12 + bytes(24), "holds 40 bytes, expected 79228162458924105385"),
        ("none", _encode(_IMAGES[:0]), r"dimensions \(0, 3, 4\), expected at least one element"),
    ],
)
@pytest.mark.parametrize("suffix", ["", ".gz"])
def test_broken_content(tmp_path, name, content, message, suffix):
    path = _write(tmp_path / f"{name}{suffix}", content)
    with pytest.raises(errors.InputError, match=message) as caught:
        idx.read(path, rank=3)
    assert str(caught.value).startswith(path)


def test_broken_gzip(tmp_path):
    whole = gzip.compress(_encode(np.random.default_rng(0).integers(0, 256, (5, 28, 28), np.uint8)))
    flipped = bytearray(whole)
    flipped[len(whole) // 2] ^= 0xFF
    deflate = bytearray(whole)
    deflate[10] = 0xFF
    for name, content, message in (
        ("plain.gz", _encode(_IMAGES), "not an intact gzip file"),
        ("cut.gz", whole[: len(whole) // 2], "truncated"),
        ("checksum.gz", bytes(flipped), "gzip file"),
        ("deflate.gz", bytes(deflate), "gzip file"),
    ):
        (tmp_path / name).write_bytes(content)
        with pytest.raises(errors.InputError, match=f"{name} is .*{message}"):
            idx.read(str(tmp_path / name), rank=3)


def test_unreadable(tmp_path):
    with pytest.raises(errors.InputError, match=r"absent cannot be read, expected an IDX file .No such file"):
        idx.read(str(tmp_path / "absent"), rank=3)
    with pytest.raises(errors.InputError, match="cannot be read"):
        idx.read(str(tmp_path), rank=3)


def test_pair_that_does_not_fit(tmp_path):
    images = _write(tmp_path / "images", _encode(_IMAGES))
    labels = _write(tmp_path / "labels", _encode(np.zeros(3, np.uint8)))
    with pytest.raises(errors.InputError, match="labels holds 3 labels, expected 2"):
        idx.read_pair(images, labels, (3, 4))
    with pytest.raises(errors.InputError, match="images of 3x4 pixels, expected 28x28"):
        idx.read_pair(images, labels, (28, 28))


def test_real_tensorflow_datasets(monkeypatch, tmp_path):
    tfds = pytest.importorskip("tensorflow_datasets")
    monkeypatch.setattr(fashion_mnist, "DEBIAN_FOLDER", str(tmp_path / "debian"))
    assert prepared.read("fashion_mnist", str(tmp_path)) is None or tfds.builder("fashion_mnist").is_prepared()
    with tfds.testing.mock_data(num_examples=7, policy=tfds.testing.MockPolicy.USE_CODE):
        monkeypatch.setattr(tfds.core.DatasetBuilder, "is_prepared", lambda self: True)
        source = fashion_mnist.load(str(tmp_path))
    assert source.train_images.shape == source.test_images.shape == (7, 28, 28, 1)
    assert (source.train_images.dtype, source.train_labels.dtype) == (np.uint8, np.int32)


@pytest.mark.skipif(not os.path.isdir(_DEBIAN), reason="the Debian package dataset-fashion-mnist is not installed")
def test_real_files():
    source = fashion_mnist.load()
    assert source.train_images.shape == (60_000, 28, 28, 1)
    assert source.test_images.shape == (10_000, 28, 28, 1)
    np.testing.assert_array_equal(np.bincount(source.train_labels), [6000] * 10)
    np.testing.assert_array_equal(np.bincount(source.test_labels), [1000] * 10)
    # The mean and deviation that are widely quoted for this set.
    assert source.mean[0] / 255 == pytest.approx(0.2860, abs=1e-4)
    assert source.std[0] / 255 == pytest.approx(0.3530, abs=1e-4)
