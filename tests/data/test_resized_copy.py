"""The scaled copy of a tree: what is in it, that the original is left alone, going on, and when it is read."""

import dataclasses
import json
import os

import numpy as np
import PIL.Image
import pytest

from famus_tf import errors
from famus_tf.config.data import DataConfig
from famus_tf.data.batches import batch_spec, pipeline
from famus_tf.data.copies import resized_copy
from famus_tf.data.images import image_files, parallel
from famus_tf.data.sets import own_images

_OPTIONS = DataConfig(image_size=32, resize=40)


@pytest.fixture
def data(tmp_path):
    """Large and small images of several kinds below folders whose names hold commas and blanks."""
    rng, folder = np.random.default_rng(0), tmp_path / "my data"
    for number in range(24):
        place = folder / ("train", "train", "test")[number % 3] / ("a,b", "c d")[number % 2]
        place.mkdir(parents=True, exist_ok=True)
        size = (30, 36) if number < 4 else tuple(rng.integers(60, 110, 2))
        rough = PIL.Image.fromarray(rng.integers(0, 256, (6, 6, 3), np.uint8))
        image = rough.resize(size, PIL.Image.Resampling.BICUBIC)
        kind = ("jpg", "png", "JPEG", "bmp")[number // 2 % 4]
        image = image.convert("L") if number in (8, 10) else image.convert("RGBA") if number == 14 else image
        image.convert("RGB" if kind in ("jpg", "JPEG", "bmp") and image.mode == "RGBA" else image.mode).save(
            place / f"{number},x y.{kind}"
        )
    return folder


def _state(folder):
    return {
        path.relative_to(folder): (path.stat().st_mtime_ns, path.read_bytes())
        for path in sorted(folder.rglob("*"))
        if path.is_file()
    }


def _source(data):
    return own_images.load_folder(str(data), _OPTIONS)


def test_what_is_in_the_copy(data):
    before = _state(data)
    report = resized_copy.make(_source(data), str(data))
    copy = data.with_name("my data_short40")
    assert (report.scaled, report.copied, report.there, report.outside, report.broken) == (20, 4, 0, 0, {})
    assert _state(data) == before
    written = _state(copy)
    assert {str(name) for name in written} == {str(name) for name in before} | {"prepared.json", "originals.json"}
    assert json.loads((copy / "prepared.json").read_text()) == {"resize": 40, "quality": 90, "files": 24}
    states = {str(name): [len(content), time] for name, (time, content) in before.items()}
    assert json.loads((copy / "originals.json").read_text()) == states
    for name in before:
        with PIL.Image.open(data / name) as original, PIL.Image.open(copy / name) as small:
            if min(original.size) <= 40:
                assert written[name][1] == before[name][1]
                continue
            short = min(original.size)
            assert small.size == tuple(side * 40 // short for side in original.size)
            assert small.format == ("JPEG" if original.format == "JPEG" else "PNG")
            assert small.mode == ("L" if original.mode == "L" else "RGB")
            expected = original.convert(small.mode).resize(small.size, PIL.Image.Resampling.BILINEAR)
            difference = np.abs(np.asarray(small, float) - np.asarray(expected, float))
            # Of PNG only what Pillow rounds otherwise; of JPEG what its compression loses too.
            assert difference.max() <= (1 if small.format == "PNG" else 40) and difference.mean() < 5


def test_training_reads_the_copy_by_itself(data):
    source = _source(data)
    assert resized_copy.take_up(source, str(data)) == (source, "")
    resized_copy.make(source, str(data))
    swapped, said = resized_copy.take_up(source, str(data))
    assert said == f"{data}_short40: its scaled images are read"
    for name in ("train_images", "test_images"):
        old, new = getattr(source, name), getattr(swapped, name)
        assert [path.decode() for path in new.paths] == [
            path.decode().replace(f"{data}/", f"{data}_short40/") for path in old.paths
        ]
    spec = batch_spec.BatchSpec("train", 4, 0, flip=True)
    streams = [pipeline.training_batches(one.train_images, one.train_labels, spec, 0, 4) for one in (source, swapped)]
    for (left, labels, index), (right, same_labels, same_index) in zip(*streams, strict=True):
        np.testing.assert_array_equal(index, same_index)
        np.testing.assert_array_equal(labels, same_labels)
        assert np.abs(left.numpy().astype(float) - right.numpy()).mean() < 3  # the same parts of the same images
    # What is not in the copy is read from where it was.
    gone = swapped.train_images.paths[2].decode()
    os.remove(gone)
    again, _ = resized_copy.take_up(source, str(data))
    assert again.train_images.paths[2] == source.train_images.paths[2]
    assert again.train_images.paths[3] == swapped.train_images.paths[3]


def test_interrupted_it_goes_on(data, monkeypatch):
    copy = data.with_name("my data_short40")
    done = []

    def few(function, things, seen=None):
        for thing in things[:9]:
            yield function(thing)
            done.append(thing)
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(parallel, "in_order", few)
        with pytest.raises(KeyboardInterrupt):
            resized_copy.make(_source(data), str(data))
    before = _state(copy)
    assert len(before) == 9
    (copy / f"{done[0]}.partial").write_bytes(b"cut off")
    source = _source(data)
    assert resized_copy.take_up(source, str(data))[0] is source
    assert "not finished" in resized_copy.take_up(source, str(data))[1]
    report = resized_copy.make(source, str(data))
    assert report.there == 9 and report.scaled + report.copied == 15
    after = _state(copy)
    assert all(after[name] == state for name, state in before.items())
    assert resized_copy.take_up(source, str(data))[0] is not source


def test_another_size_is_not_taken_up(data):
    resized_copy.make(_source(data), str(data), str(data.with_name("elsewhere")))
    other = own_images.load_folder(str(data), DataConfig(image_size=32, resize=50))
    same, said = resized_copy.take_up(other, str(data), str(data.with_name("elsewhere")))
    assert same is other and said.endswith("elsewhere: of 40 pixels, so the original images are read, scaled to 50")
    with pytest.raises(errors.InputError, match="holds images of 40 pixels, expected 50"):
        resized_copy.make(other, str(data), str(data.with_name("elsewhere")))
    with pytest.raises(errors.InputError, match="option `prepared_dir`=nowhere: expected a folder that"):
        resized_copy.take_up(other, str(data), "nowhere")


def test_broken_images(data):
    paths = [path.decode() for path in _source(data).train_images.paths]
    broken = [path for path in paths if path.endswith(".jpg")][1]
    with open(broken, "r+b") as file:
        file.truncate(300)
    source = _source(data)
    with pytest.raises(errors.InputError) as caught:
        resized_copy.make(source, str(data))
    assert "1 of 24 images cannot be read, all others are done: " in str(caught.value) and broken in str(caught.value)
    assert "not finished" in resized_copy.take_up(source, str(data))[1]
    report = resized_copy.make(source, str(data), skip_bad=True)
    assert report.there == 23 and list(report.broken) == [broken]
    swapped, _ = resized_copy.take_up(source, str(data))
    assert broken in [path.decode() for path in swapped.train_images.paths]


def test_images_elsewhere_stay(data, tmp_path):
    PIL.Image.new("RGB", (90, 80)).save(tmp_path / "other.png")
    names = ["../other.png", *(str(path.relative_to(data)) for path in sorted(data.rglob("train/*/*.*")))]
    (tmp_path / "train.txt").write_text("".join(f"{name}\t0\n" for name in names))
    options = DataConfig(
        image_size=32, resize=40, train_list=str(tmp_path / "train.txt"), test_list=str(tmp_path / "train.txt")
    )
    source = own_images.load_list(str(data), options)
    report = resized_copy.make(source, str(data))
    assert report.outside == 2 and report.scaled + report.copied == 16  # in both lists
    assert not (tmp_path / "my data_short40" / ".." / "other.png.partial").exists()
    assert resized_copy.take_up(source, str(data))[0].train_images.paths[0].endswith(b"my data/../other.png")


@pytest.mark.parametrize("place", ["", "copy", ".."])
def test_the_original_is_no_place_for_the_copy(data, place):
    with pytest.raises(errors.InputError, match=r"is part of .* or holds it, expected a folder apart"):
        resized_copy.make(_source(data), str(data), str(data / place))


def test_arrays_and_places_that_cannot_be_written(data, tmp_path):
    source = _source(data)
    arrays = image_files.as_array(source.train_images, np.arange(4))
    with pytest.raises(errors.InputError, match="has no image files to prepare"):
        resized_copy.make(dataclasses.replace(source, train_images=arrays, test_images=arrays), str(data))
    with pytest.raises(errors.InputError, match="expected option `data_dir`"):
        resized_copy.make(source, "")
    (tmp_path / "file").write_text("")
    with pytest.raises(errors.InputError, match="file: cannot write there"):
        resized_copy.make(source, str(data), str(tmp_path / "file"))
    (tmp_path / "my data_short40").mkdir()
    (tmp_path / "my data_short40" / "prepared.json").write_text("[]")
    with pytest.raises(errors.InputError, match=r"prepared\.json: not readable .*expected it as option `mode`=prepare"):
        resized_copy.take_up(source, str(data))


@pytest.mark.parametrize(
    ("largest", "broken", "larger"), [((40, 90), False, False), ((41, 41), False, True), ((40, 40), True, True)]
)
def test_a_copy_of_small_images_is_of_no_use(largest, broken, larger, tmp_path):
    for number in range(200):
        place = tmp_path / ("test" if number % 4 == 0 else "train") / "ab"[number % 2]
        place.mkdir(parents=True, exist_ok=True)
        size = largest if number == 199 else (20 + number % 20, 100)
        PIL.Image.new("RGB", size).save(place / f"{number}.png")
    if broken:
        (tmp_path / "train" / "a" / "0.png").write_bytes(b"no image")
    assert resized_copy.is_any_larger(_source(tmp_path)) is larger
