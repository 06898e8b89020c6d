"""What data a run was made with, kept in its directory, and the first difference from what is there now.

`data.json` is for people: class names, the shape of the images, and of each set its size and a digest. `data.tsv.gz`
has the images one to a line: set, class, file, and the CRC-32 of the pixels. Of files that are decoded while the
network trains the pixels are not known, of arrays the file is not.
"""

import dataclasses
import functools
import gzip
import hashlib
import json
import os
import zlib
from collections.abc import Iterator, Mapping, Sequence

from famus_tf import errors
from famus_tf.files import plain_text, whole_files

SUMMARY = "data.json"
_ROWS = "data.tsv.gz"
_EXPECTED = "what the run has written"


@dataclasses.dataclass(frozen=True, eq=False)
class ExampleSet:
    """One set of images with their labels.

    Attributes:
      labels: class ids, int [n].
      files: the path that each comes from, n of them as bytes; None where nobody knows.
      checksums: CRC-32 of each one's pixels, n of them; None where they are not held in memory.
    """

    labels: Sequence[int]
    files: Sequence[bytes] | None = None
    checksums: Sequence[int] | None = None


@dataclasses.dataclass(frozen=True, eq=False)
class Fingerprint:
    """The data of a run.

    Attributes:
      class_names: by class id.
      image_shape: (height, width, channels).
      sets: by name: "training", "meta", "test", ...
      below: how many bytes of the files' paths are the folder that all lie in, which may move.
    """

    class_names: tuple[str, ...]
    image_shape: tuple[int, ...]
    sets: Mapping[str, ExampleSet]
    below: int = 0

    def rows(self, name: str) -> Iterator[str]:
        """The lines of one set: class, file and checksum, with tabs between them."""
        part = self.sets[name]
        files = part.files if part.files is not None else (b"" for _ in part.labels)
        sums = (f"{one:08x}" for one in part.checksums) if part.checksums is not None else ("" for _ in part.labels)
        for label, file, checksum in zip(part.labels, files, sums, strict=True):
            below = plain_text.escaped(os.fsdecode(file[self.below :]))
            yield f"{self.class_names[label]}\t{below}\t{checksum}"

    @functools.cached_property
    def summary(self) -> dict:
        """Dict that JSON can hold: what is compared first."""
        sets = {}
        for name, part in self.sets.items():
            digest = hashlib.sha256()
            for row in self.rows(name):
                digest.update(f"{row}\n".encode())
            sets[name] = {"images": len(part.labels), "sha256": digest.hexdigest()}
        return {"class_names": list(self.class_names), "image_shape": list(self.image_shape), "sets": sets}


def checksums(images) -> list[int]:
    """CRC-32 of the pixels of each of `images`, uint8 [n, height, width, channels]."""
    return [zlib.crc32(image) for image in images]


def write(workdir, fingerprint: Fingerprint) -> None:
    """Writes both files; an InputError says that they cannot be written."""
    consequence = "nothing was trained"
    with (
        whole_files.written(workdir / _ROWS, consequence) as place,
        gzip.open(place, "wt", encoding="utf-8", newline="\n") as file,
    ):
        for name in fingerprint.sets:
            file.writelines(f"{name}\t{row}\n" for row in fingerprint.rows(name))
    whole_files.write_json(workdir / SUMMARY, fingerprint.summary)


def is_known(workdir) -> bool:
    """Whether the run keeps what data it was made with; those of earlier versions do not."""
    return (workdir / SUMMARY).exists()


def first_difference(workdir, fingerprint: Fingerprint, sets: Sequence[str] | None = None) -> str | None:
    """Names the first thing in which the data are other ones than the run was made with.

    Args:
      workdir: `pathlib.Path` of a run that keeps its data.
      fingerprint: of the data that are there now.
      sets: names of those that matter; None: all.

    Returns:
      Some words, or None where the data are the same.

    Raises:
      InputError: `data.json` is damaged.
    """
    before = _summary(workdir)
    now = fingerprint.summary
    found = difference_of_classes(before["class_names"], now["class_names"])
    if found:
        return found
    if before["image_shape"] != now["image_shape"]:
        shapes = ("x".join(map(str, one["image_shape"])) for one in (now, before))
        return "images of {}, of {} then".format(*shapes)
    for name in [*now["sets"], *before["sets"]] if sets is None else sets:
        old, new = before["sets"].get(name), now["sets"].get(name)
        if old == new:
            continue
        if not old or not new:
            return f"the {name} set is {'new' if new else 'gone'}"
        rows = _rows(workdir, name, before)
        return f"{name} set: {_difference_of_set(rows, fingerprint, name)}{_counts(new, old)}"
    return None


def difference_of_classes(before: Sequence[str], now: Sequence[str]) -> str | None:
    """Names the first class that has come, gone or changed its id; None where all are the same."""
    if list(before) == list(now):
        return None
    gone = next((name for name in before if name not in set(now)), None)
    new = next((name for name in now if name not in set(before)), None)
    if gone is None and new is None:
        place = next(number for number, pair in enumerate(zip(before, now, strict=False)) if pair[0] != pair[1])
        return f"class {place} is {now[place]!r}, was {before[place]!r}"
    return " and ".join(_of_two("class ", gone, new)) + _counts({"classes": len(now)}, {"classes": len(before)})


def trained_on(workdir, fingerprint: Fingerprint, names: Sequence[str]) -> list[str]:
    """Files of the sets `names`, of which the run has trained on the same file or on the same pixels."""
    known = [row.split("\t") for row in _rows(workdir, "training", _summary(workdir)) or ()]
    files = {file for _, file, _ in known if file}
    sums = {checksum for *_, checksum in known if checksum}
    found = []
    for name in names:
        for number, row in enumerate(fingerprint.rows(name)):
            _, file, checksum = row.split("\t")
            if checksum in sums if checksum and sums else file in files:
                found.append(file or f"image {number} of the {name} set")
    return found


def _summary(workdir) -> dict:
    path = workdir / SUMMARY
    try:
        summary = json.loads(path.read_bytes())
        sets = summary["sets"].values()
        whole = all(type(one["images"]) is int and type(one["sha256"]) is str for one in sets)
        if not (whole and isinstance(summary["class_names"], list) and isinstance(summary["image_shape"], list)):
            raise ValueError("other fields")
        return summary
    except OSError as error:
        raise errors.InputError(f"{path}: cannot read it ({error.strerror})") from None
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError):
        raise errors.InputError(
            f"{path}: damaged; expected {_EXPECTED}; without it the data are not compared"
        ) from None


def _rows(workdir, name: str, summary: dict) -> list[str] | None:
    """The lines that the run has written of a set; None where not all of them can be read."""
    start = f"{name}\t"
    try:
        with gzip.open(workdir / _ROWS, "rt", encoding="utf-8", newline="\n") as file:
            rows = [line.removeprefix(start).rstrip("\n") for line in file if line.startswith(start)]
    except (OSError, EOFError, ValueError, zlib.error):
        return None
    whole = len(rows) == summary["sets"].get(name, {"images": 0})["images"]
    return rows if whole and all(row.count("\t") == 2 for row in rows) else None


def _counts(now: dict, before: dict) -> str:
    """Both numbers where they differ."""
    for what in ("images", "classes"):
        if now.get(what) != before.get(what):
            return f" ({now[what]:,} {what}, {before[what]:,} then)"
    return ""


def _of_two(what: str, gone: str | None, new: str | None) -> list[str]:
    named = ((gone, "is gone"), (new, "is new"))
    return [f"{what}{name!r} {verb}" for name, verb in named if name is not None]


def _difference_of_set(rows: list[str] | None, fingerprint: Fingerprint, name: str) -> str:
    if rows is None:
        return "other images or labels"
    before = [row.split("\t") for row in rows]
    now = [row.split("\t") for row in fingerprint.rows(name)]
    if all(file for _, file, _ in (*before, *now)):
        return _difference_of_files(before, now)
    for number, (old, new) in enumerate(zip(before, now, strict=False)):
        if old != new:
            return _difference_of_one(f"image {number}", old, new)
    return "other images"


def _difference_of_files(before, now) -> str:
    old_by_file, new_by_file = ({row[1]: row for row in rows} for rows in (before, now))
    gone = next((file for file in old_by_file if file not in new_by_file), None)
    new = next((file for file in new_by_file if file not in old_by_file), None)
    if gone is not None or new is not None:
        return " and ".join(_of_two("", gone, new))
    for file, row in new_by_file.items():
        if row != old_by_file[file]:
            return _difference_of_one(repr(file), old_by_file[file], row)
    return "another order or other repetitions"


def _difference_of_one(what: str, old, new) -> str:
    if old[0] != new[0]:
        return f"{what} has the label {new[0]!r}, had {old[0]!r}"
    return f"{what} has other pixels"
