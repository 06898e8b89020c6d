"""Many kinds of image file through every way that reads them: each is read as Pillow reads it, or refused in a line."""

import json
import pathlib
import subprocess
import sys

import pytest

from tests.faults import image_samples

ROOT = pathlib.Path(__file__).resolve().parents[2]
SAMPLES = image_samples.make()
WAYS = ("inspect", "prepare", "train in memory", "train streamed")


def _file(kind):
    return f"{list(SAMPLES).index(kind):03d}.png"


def _fill(folder, kinds):
    """The program goes by what is in a file, not by its name."""
    for part, names in (("train", kinds), ("test", ["PNG"])):
        (folder / part / "a").mkdir(parents=True)
        for kind in names:
            (folder / part / "a" / _file(kind)).write_bytes(SAMPLES[kind])
    return folder


@pytest.fixture(scope="module")
def found(tmp_path_factory):
    """What each way says of each file."""
    place = tmp_path_factory.mktemp("kinds")
    folder = _fill(place / "data", SAMPLES)
    command = [sys.executable, "-m", "tests.faults.read_images", str(folder), str(place / "found.json")]
    ended = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert ended.returncode == 0, ended.stderr[-2000:]
    return json.loads((place / "found.json").read_text())


def _table(found):
    """The lines of docs/image_kinds.md."""
    lines = ["| Kind of file | Read | The largest difference from Pillow's pixels, or what is said |", "|---|---|---|"]
    for kind in SAMPLES:
        said = found["difference"][_file(kind)]
        if isinstance(said, str):
            lines.append(f"| {kind} | refused | {said} |")
        else:
            lines.append(f"| {kind} | read | {'Pillow refuses it' if said is None else said} |")
    return "\n".join(lines) + "\n"


def test_all_ways_agree(found):
    assert len(SAMPLES) >= 40
    refused = {name for name, said in found["difference"].items() if isinstance(said, str)}
    for way in WAYS:
        assert set(found[way]) == refused, way


@pytest.mark.parametrize("kind", SAMPLES)
def test_what_is_read_has_pillows_pixels(kind, found):
    said = found["difference"][_file(kind)]
    if isinstance(said, str):
        assert "\n" not in said and said.startswith("not a readable image (")
    else:
        assert said == 0 or (said is None and "random bytes" in kind)


def test_the_table_in_docs_is_what_is_found(found):
    text = (ROOT / "docs" / "image_kinds.md").read_text()
    assert text.endswith(_table(found)), _table(found)
