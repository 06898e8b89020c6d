"""Whole commands on a folder with every kind of image file: what cannot be read is skipped and listed, or named."""

import csv
import io
import json
import os
import pathlib
import re

import PIL.Image
import PIL.PngImagePlugin
import pytest

from famus_tf import main
from famus_tf.files import plain_text
from tests import small_networks
from tests.faults import image_samples

TABLE = pathlib.Path(__file__).resolve().parents[2] / "docs" / "image_kinds.md"
NO_UTF_8 = os.fsdecode(b"empty\xff.png")
REFUSED = re.findall(r"^\| (.+?) \| refused \|", TABLE.read_text(), re.MULTILINE)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A file of each kind, one whose name is no UTF-8, and enough whole ones for the refused ones to be below 1%."""
    place, samples = tmp_path_factory.mktemp("kinds"), image_samples.make()
    assert len(samples) >= 40 and len(REFUSED) > 20
    for part, count in (("train", 60 * len(REFUSED)), ("test", 10)):
        for name in ("a", "b"):
            (place / part / name).mkdir(parents=True)
            for number in range(count):
                _write_whole(place / part / name / f"whole{number}.png", samples["PNG"])
    (place / "train" / "a" / NO_UTF_8).write_bytes(b"")
    for number, data in enumerate(samples.values()):
        (place / "train" / "ab"[number % 2] / f"kind{number:02d}.png").write_bytes(data)
    for width in (20, 28):
        small_networks.save_convolutions(place / f"{width}.keras", False, (20, width, 3), num_classes=2)
    return place


def _write_whole(path, data):
    """The image with its own path in it, as the same file in two sets is not trained on."""
    text = PIL.PngImagePlugin.PngInfo()
    text.add_text("path", str(path))
    PIL.Image.open(io.BytesIO(data)).save(path, pnginfo=text)


def command(folder, workdir, *flags):
    width = 20 if "--image_size=20" in flags else 28
    return main.main(
        [
            "main.py",
            "--dataset=folder",
            f"--data_dir={folder}",
            f"--network={folder / f'{width}.keras'}",
            "--method=cross_entropy",
            "--meta_set=clean",
            "--epochs=1",
            "--batch_size=256",
            f"--workdir={workdir}",
            *flags,
        ]
    )


def refused_files(folder):
    kinds = list(image_samples.make())
    numbers = [kinds.index(kind) for kind in REFUSED]
    of_kinds = {str(folder / "train" / "ab"[number % 2] / f"kind{number:02d}.png") for number in numbers}
    return of_kinds | {str(folder / "train" / "a" / NO_UTF_8)}


# An epoch leaves out what fills no batch; each file is met with in one of three.
@pytest.mark.parametrize("way", [(), ("--image_size=20", "--resize=24", "--epochs=3")], ids=["in memory", "streamed"])
def test_training_skips_and_lists_them(folder, tmp_path, capsys, way):
    assert command(folder, tmp_path / "run", "--on_bad_image=skip", "--meta_per_class=2", *way) == 0
    assert f"{len(REFUSED) + 1} image files that cannot be read were skipped" in capsys.readouterr().out
    with open(tmp_path / "run" / "bad_images.csv", newline="", encoding="utf-8", errors="surrogateescape") as file:
        assert {row["image"] for row in csv.DictReader(file)} == refused_files(folder)
    assert json.loads((tmp_path / "run" / "results.json").read_text())["skipped_images"] == len(REFUSED) + 1


@pytest.mark.parametrize("way", [(), ("--image_size=20", "--resize=24")], ids=["in memory", "streamed"])
def test_training_stops_at_the_first_of_them(folder, tmp_path, capsys, way):
    assert command(folder, tmp_path / "run", *way) == 2
    said = capsys.readouterr().err.strip().splitlines()[-1]
    found = re.fullmatch(r"famus_tf: error: (.*?): not a readable image .*", said)[1]
    assert found in {plain_text.escaped(path) for path in refused_files(folder)}


def test_inspection_lists_them(folder, tmp_path, capsys):
    assert command(folder, tmp_path / "run", "--mode=inspect") == 0
    found = json.loads((tmp_path / "run" / "inspection.json").read_text())["files"]
    assert {file for part in found.values() for file in part["broken"]} == refused_files(folder)
    assert f"{len(REFUSED) + 1} broken or missing" in capsys.readouterr().out


def test_a_prepared_copy_is_made_without_them_or_not_at_all(folder, tmp_path, capsys):
    flags = "--mode=prepare", f"--prepared_dir={tmp_path / 'copy'}"
    assert command(folder, tmp_path / "run", *flags) == 2
    assert "not a readable image" in capsys.readouterr().err.strip().splitlines()[-1]
    assert command(folder, tmp_path / "run", *flags, "--on_bad_image=skip") == 0
