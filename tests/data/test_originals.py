"""Scaled copies whose originals have changed, and however the folder of the originals is written."""

import json
import os

import numpy as np
import PIL.Image
import pytest

from famus_tf import errors
from famus_tf.config.data import DataConfig
from famus_tf.data.copies import originals, resized_copy
from famus_tf.data.sets import own_images

_OPTIONS = {"image_size": 16, "resize": 20}


def _write(path, number, size=(40, 30)):
    path.parent.mkdir(parents=True, exist_ok=True)
    PIL.Image.new("RGB", size, (number, 0, 0)).save(path)


@pytest.fixture
def data(tmp_path):
    for number in range(5):
        _write(tmp_path / "data" / "images" / f"{number}.png", number)
    rows = "".join(f"images/{number}.png,a\n" for number in range(4))
    (tmp_path / "train.csv").write_text(rows)
    (tmp_path / "test.csv").write_text("images/4.png,a\n")
    return tmp_path / "data"


def _source(data, place=None):
    lists = {f"{name}_list": str(data.parent / f"{name}.csv") for name in ("train", "test")}
    return own_images.load_list(str(place or data), DataConfig(**_OPTIONS, **lists))


def _colours(source, names):
    return [PIL.Image.open(os.fsdecode(path)).convert("RGB").getpixel((0, 0))[0] for path in names(source)]


def _train(source):
    return source.train_images.paths


@pytest.mark.parametrize("way", ["newer", "older", "same time", "in the future"])
def test_a_photo_that_was_replaced(way, data):
    resized_copy.make(_source(data), str(data))
    photo = data / "images" / "2.png"
    before = os.stat(photo).st_mtime_ns
    _write(photo, 200, size=(50, 41))
    time = {"newer": before + 10**9, "older": before - 10**12, "same time": before, "in the future": before + 10**15}
    os.utime(photo, ns=(time[way], time[way]))
    swapped, said = resized_copy.take_up(_source(data), str(data))
    assert _colours(swapped, _train) == [0, 1, 200, 3]
    assert said == (
        f"{data}_short20: its scaled images are read; 1 images have changed since, such as images/2.png, and are read "
        f"from {data}: option `mode`=prepare makes their copies anew"
    )
    report = resized_copy.make(_source(data), str(data))
    assert (report.scaled, report.renewed, report.there) == (1, 1, 4)
    for _ in range(2):
        swapped, said = resized_copy.take_up(_source(data), str(data))
        assert said == f"{data}_short20: its scaled images are read" and _colours(swapped, _train) == [0, 1, 200, 3]
        assert swapped.train_images.paths[2] == os.fsencode(f"{data}_short20/images/2.png")
        assert resized_copy.make(_source(data), str(data)).there == 5


def test_copies_of_which_the_original_was_not_kept(data):
    """By an earlier version, or by a call that was interrupted: the copy has to be younger."""
    resized_copy.make(_source(data), str(data))
    kept = data.with_name("data_short20") / "originals.json"
    kept.unlink()
    assert resized_copy.take_up(_source(data), str(data))[1].endswith("its scaled images are read")
    photo = data / "images" / "1.png"
    _write(photo, 100)
    later = os.stat(data.with_name("data_short20") / "images" / "1.png").st_mtime_ns + 1
    os.utime(photo, ns=(later, later))
    swapped, said = resized_copy.take_up(_source(data), str(data))
    assert "1 images have changed since" in said and _colours(swapped, _train) == [0, 100, 2, 3]
    report = resized_copy.make(_source(data), str(data))
    assert (report.renewed, report.there) == (1, 4) and len(json.loads(kept.read_text())) == 5
    (data / "images" / "3.png").unlink()
    known = originals.read(str(data.with_name("data_short20")))
    assert known.are_current(str(data), ["images/3.png", "images/1.png"]) == [True, True]
    kept.write_text('{"images/1.png": 3}')
    with pytest.raises(
        errors.InputError, match=r"originals\.json: not readable .*expected it as option `mode`=prepare"
    ):
        originals.read(str(kept.parent))


@pytest.mark.parametrize("place", ["data", "./data/", "linked", "data/../data", "", "absolute"])
@pytest.mark.parametrize("listed", ["relative", "absolute", "below"])
def test_however_the_folder_is_written(place, listed, data, monkeypatch):
    monkeypatch.chdir(data if place == "" else data.parent)
    (data.parent / "linked").symlink_to("data")
    folder = {"": ".", "absolute": str(data)}.get(place, place)
    start = {"relative": "", "absolute": f"{data}/", "below": "images/../"}[listed]
    for name in ("train", "test"):
        path = data.parent / f"{name}.csv"
        path.write_text("".join(f"{start}{line}\n" for line in path.read_text().splitlines()))
    report = resized_copy.make(_source(data, folder), folder)
    assert (report.scaled, report.outside) == (5, 0)
    assert not [name for name in os.listdir(data) if name != "images"]
    swapped, said = resized_copy.take_up(_source(data, folder), folder)
    assert said and all(b"_short20" + b"/images/" in path for path in swapped.train_images.paths)
    assert np.all([os.path.isfile(path) for path in swapped.train_images.paths])
