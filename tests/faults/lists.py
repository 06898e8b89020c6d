"""Reads list files that hypothesis makes up, and counts how that ends.

    python -m tests.faults.lists --count=5000 --json=benchmarks/results/list_files.json

Right is "read", with the image and the label that each line was made of, and each other line an empty one, a comment
before the first image, or a header; or "refused", an `InputError` of one line that names the list.
"""

import csv
import functools
import io
import os
import pathlib
import tempfile
import unicodedata

from hypothesis import strategies

from famus_tf import errors
from famus_tf.data.formats import image_list
from famus_tf.data.labels import class_names
from famus_tf.files import plain_text
from tests.faults import made_up

_NAMES = (
    *("a.png", "b c.JPG", "d,e.png", "f;g.jpeg", "h:i.webp", "sub/j.png", "noending", "k.heic", "caf\u00e9.png"),
    *('l"m.png', "# n.png", "path.png", "0"),
)
_GONE = ("gone.png", "nowhere/o.png", "~/p.png", "C:\\q.png", "a.png.bak")
_LABELS = (
    *("cat", "dog", "golden retriever", "0", "1", "2", "10", "01", "3.0", "-1", "nan", "None", "", "caf\u00e9"),
    *("cafe\u0301", "a,b", "x:y", "u;v", "w|z", 'six"', '"seven"', "b.png", "label", "\u200bcat", "\u732b", "cat\x07"),
)
_MARKS = tuple(mark for mark in image_list.SEPARATORS.values() if mark)
_HEADERS = (
    *("", "", "", "path,label", "filename\tclass", "image;label;width", "label path", "Bild Klasse", "# a note"),
    *("path,label,is_trusted", "gone.png,label", "#"),
)
_ENCODINGS = ("utf-8", "utf-8", "utf-8-sig", "utf-16", "utf-16-be", "latin-1", "utf-32")

_PAIR = strategies.tuples(
    strategies.one_of(strategies.sampled_from(_NAMES[:6]), strategies.sampled_from((*_NAMES, *_GONE))),
    strategies.one_of(strategies.sampled_from(_LABELS[:3]), strategies.sampled_from(_LABELS)),
)
_OTHER = strategies.one_of(
    strategies.sampled_from(("", "  ", "# b", "path,label", "a.png", ",", '"')), strategies.text()
)
LISTS = strategies.fixed_dictionaries(
    {
        "header": strategies.sampled_from(_HEADERS),
        "pairs": strategies.lists(_PAIR, min_size=1, max_size=6),
        "others": strategies.dictionaries(strategies.integers(0, 6), _OTHER, max_size=1),
        "mark": strategies.sampled_from(_MARKS),
        "quoted": strategies.sampled_from((None, csv.QUOTE_MINIMAL, csv.QUOTE_ALL)),
        "end": strategies.sampled_from(("\n", "\n", "\r\n", "\r")),
        "encoding": strategies.sampled_from(_ENCODINGS),
        "separator": strategies.sampled_from(("auto", "auto", *image_list.SEPARATORS)),
        "check_present": strategies.sampled_from((True, True, False)),
    }
)


def make_images(root):
    """Empty files of the names in the lists."""
    for name in _NAMES:
        pathlib.Path(root, name).parent.mkdir(exist_ok=True)
        pathlib.Path(root, name).touch()


def written(parts):
    """The bytes of a list, and {number of a line: the pair that it was made of}."""
    lines = [parts["header"]] if parts["header"] else []
    pairs = {}
    for number, pair in enumerate(parts["pairs"]):
        if number in parts["others"]:
            lines += parts["others"][number].splitlines() or [""]
        lines.append(_line(pair, parts["mark"], parts["quoted"]))
        pairs[len(lines)] = pair
    text = parts["end"].join(lines)
    return text.encode(parts["encoding"], errors="replace"), pairs, lines


def _line(pair, mark, quoted):
    if quoted is None:
        return mark.join(pair)
    line = io.StringIO()
    csv.writer(line, delimiter=mark, quoting=quoted, lineterminator="").writerow(pair)
    return line.getvalue()


def check(root, parts):
    """Reads a list; "read" or "refused".

    Args:
      root: the folder of the images.
      parts: one of `LISTS`.

    Raises:
      AssertionError: a line is read otherwise than it was meant, or passed over without a reason.
    """
    path = os.path.join(root, "list.txt")
    data, pairs, lines = written(parts)
    pathlib.Path(path).write_bytes(data)
    try:
        found = image_list.read(path, None, parts["separator"], check_present=parts["check_present"])
        names = class_names.of_list(path, found.lines, found.labels)
    except errors.InputError as error:
        said = plain_text.escaped(str(error))
        assert said == str(error) or "\n" not in said
        assert said.startswith(f"{path}: ") or said.startswith(f"{path}, line "), said
        return "refused"
    # The header says what comes first, whatever the lines were made of.
    exact = (
        parts["encoding"] != "latin-1"
        and not parts["header"].startswith("label")
        and not any("\r" in line or "\n" in line for line in lines)
    )
    if exact:
        _check_meaning(root, parts, pairs, found)
        _check_passed_over(lines, found)
    for one, label in zip(found.labels, map(names.id_of, found.labels), strict=True):
        assert label is not None and _same(names.names[label], one), one
    return "read"


def _check_meaning(root, parts, pairs, found):
    """Each image is the one that its line was made of, unless there is none of that name, and has its label."""
    for number, path, label in zip(found.lines, found.paths, found.labels, strict=True):
        if number not in pairs or pairs[number][0] in _GONE:
            continue
        name, given = pairs[number]
        if parts["quoted"] is None and given[:1] == given[-1:] == '"':
            given = given[1:-1]
        if (
            parts["quoted"] is None
            and parts["separator"] != "auto"
            and image_list.SEPARATORS[parts["separator"]] != parts["mark"]
        ):
            continue
        assert os.path.normpath(path) == os.path.normpath(os.path.join(root, name)), (number, path)
        assert _bare(label) == _bare(given), (number, label)


def _check_passed_over(lines, found):
    """What is read and what is passed over make all lines, and the latter are what they may be."""
    rest = [number for number in range(1, len(lines) + 1) if number not in found.lines and lines[number - 1].strip()]
    first = found.lines[0]
    assert all(number < first for number in rest), rest
    headers = [number for number in rest if not lines[number - 1].strip("\ufeff ").startswith("#")]
    assert len(headers) <= 1
    for number in headers:
        words = {word.strip().casefold() for word in lines[number - 1].replace(";", ",").replace("\t", ",").split(",")}
        words |= set(lines[number - 1].casefold().split())
        assert {"path", "filename", "image"} & words or any(f"line {number}: " in note for note in found.notes), number


def _bare(text):
    return unicodedata.normalize("NFC", text.strip().strip("\u200b").strip())


def _same(name, label):
    if name.isascii() and name.isdecimal() and label.isascii() and label.isdecimal():
        return int(name) == int(label)
    return unicodedata.normalize("NFC", label) == name


def run(count, progress=None):
    """Reads `count` lists at most; `made_up.count` says what it returns and what `progress` is."""
    with tempfile.TemporaryDirectory() as root:
        make_images(root)
        return made_up.count(count, LISTS, functools.partial(check, root), progress)


if __name__ == "__main__":
    made_up.main(__doc__.splitlines()[0], run)
