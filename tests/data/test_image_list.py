"""Lists as people and programs write them."""

import os

import pytest

from famus_tf import errors
from famus_tf.data.formats import image_list

_NAMES = ("images/0/00/130,347.jpg", "images/a b.JPEG", "c.png")
_FILES = (*_NAMES, "a.png", "b.png", "e", "d.heic", "sub/c.png", "caf\u00e9.png", 'x;"y".png', "nai\u0308ve.png")
_PAIRS = [("a.png", "cat"), ("b.png", "dog")]


@pytest.fixture
def root(tmp_path):
    for name in _FILES:
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).touch()
    (tmp_path / "folder.png").mkdir()
    return tmp_path


def _list(root, text):
    (root / "list.txt").write_bytes(text if isinstance(text, bytes) else text.encode())
    return str(root / "list.txt")


def _pairs(root, found):
    return [(os.path.relpath(path, root), label) for path, label in zip(found.paths, found.labels, strict=True)]


@pytest.mark.parametrize(("name", "mark"), [item for item in image_list.SEPARATORS.items() if item[1]])
@pytest.mark.parametrize("given", [False, True])
@pytest.mark.parametrize("header", ["", "path label\n", "# a note\n", "# a note\n#\npath,label\n"])
def test_separators(name, mark, given, header, root):
    path = _list(
        root, header + "".join(f"{image}{mark}{label}\n" for image, label in zip(_NAMES, (3, 0, 11), strict=True))
    )
    found = image_list.read(path, None, name if given else "auto")
    assert found.paths == [str(root / image) for image in _NAMES]
    assert found.labels == ["3", "0", "11"] and found.notes == () and found.is_trusted is None
    assert found.lines == [k + 1 + header.count("\n") for k in range(3)]


def test_root_endings_and_empty_lines(root):
    path = _list(root, f"{_NAMES[0]} shirt\r\n\r\n  \n{_NAMES[1]}   coat")
    (root / "lists").mkdir()
    (root / "list.txt").rename(root / "lists" / "list.txt")
    path = str(root / "lists" / "list.txt")
    found = image_list.read(path, str(root))
    assert found.paths == [str(root / image) for image in _NAMES[:2]]
    assert found.labels == ["shirt", "coat"] and found.lines == [1, 4]
    with pytest.raises(
        errors.InputError, match=r"list\.txt, line 1: there is no image .*lists/images/0/00/130,347\.jpg"
    ):
        image_list.read(path, None)


@pytest.mark.parametrize(
    "text",
    [
        b"\xef\xbb\xbfa.png,cat\nb.png,dog\n",
        b"\xef\xbb\xbfpath,label\r\na.png,cat\r\nb.png,dog\r\n",
        b"a.png cat\n\xef\xbb\xbfb.png dog\n",  # two files that were joined
        "a.png,cat\nb.png,dog\n".encode("utf-16"),
        "a.png,cat\nb.png,dog\n".encode("utf-32"),
        b"\xfe\xff" + "a.png\tcat\r\nb.png\tdog\r\n".encode("utf-16-be"),
        b"a.png,cat\rb.png,dog\r",
        b'"a.png","cat"\n"b.png","dog"\n',
        b'a.png,"cat"\nb.png,dog\n',
        b'"a.png" "cat"\n"b.png" dog\n',
        b'a.png; "cat"\nb.png;dog\n',
        b"a.png|cat\nb.png|dog\n",
        "a.png,cat\u200b\nb.png,\u2060dog\u2028\n".encode(),
        "\u00a0a.png,\u00a0cat\nb.png, dog\u00a0\n".encode(),
        b",path,label\n0,a.png,cat\n1,b.png,dog\n",
        b"label;filename\ncat;a.png\ndog;b.png\n",
        b"Image Path,Class Name,width\na.png,cat,40\nb.png,dog,\n",
        b"a.png \t cat\nb.png\tdog\n",
        b".\\a.png,cat\nb.png,dog\n",
        b"./a.png cat\nsub/../b.png dog\n",
    ],
    ids=range(20),
)
def test_what_is_read(text, root):
    found = image_list.read(_list(root, text), None)
    assert [(os.path.normpath(path), label) for path, label in _pairs(root, found)] == _PAIRS


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("d.heic cat\na.png dog\n", [("d.heic", "cat"), ("a.png", "dog")]),
        ("e cat\na.png dog\n", [("e", "cat"), ("a.png", "dog")]),
        ("a.png dog\ne class\n", [("a.png", "dog"), ("e", "class")]),
        ("path label\nlabel\tpath\n", None),
        ('a.png,"cat, tabby"\n', [("a.png", "cat, tabby")]),
        ('a.png;"the ""cat"""\n', [("a.png", 'the "cat"')]),
        ('"x;""y"".png";cat\n', [('x;"y".png', "cat")]),
        ('a.png,6"\n', [("a.png", '6"')]),
        ('a.png,"""six"""\n', [("a.png", '"six"')]),
        ("sub\\c.png\tcat\n", [("sub/c.png", "cat")]),
        ("cafe\u0301.png cat\n", [("caf\u00e9.png", "cat")]),
        ("na\u00efve.png cat\n", [("nai\u0308ve.png", "cat")]),
    ],
)
def test_which_image_and_label(text, expected, root):
    path = _list(root, text)
    if expected is None:
        with pytest.raises(errors.InputError, match="line 2: found"):
            image_list.read(path, None)
    else:
        assert _pairs(root, image_list.read(path, None)) == expected


def test_names_whose_bytes_are_no_utf_8(root):
    name = b"caf\xe9.png"
    with open(os.path.join(os.fsencode(root), name), "wb"):
        pass
    (path,) = image_list.read(_list(root, name + b",cat\n"), None).paths
    assert os.fsencode(path) == os.path.join(os.fsencode(root), name)
    with pytest.raises(errors.InputError, match=r"line 2: found the label 'caf\\xe9', with bytes that are no text in"):
        image_list.read(_list(root, b"a.png,cat\nb.png,caf\xe9\n"), None)


def test_home(root, monkeypatch):
    monkeypatch.setenv("HOME", str(root))
    assert image_list.read(_list(root, "~/a.png cat\n"), str(root / "sub")).paths == [str(root / "a.png")]


@pytest.mark.parametrize(
    ("text", "note"),
    [
        ("Bild Klasse\na.png cat\n", "line 1: 'Bild Klasse' is taken for a header, as no image is there"),
        ("sub\\c.png cat\na.png cat\n", r"paths with \ between folders are read as if it were /: 1"),
        ("path,label,width,\na.png,cat,3,4\n", "columns that are not read: width, without a name"),
    ],
)
def test_what_is_said(text, note, root):
    (said,) = image_list.read(_list(root, text), None).notes
    assert said.startswith(str(root / "list.txt")) and said.endswith(note)


@pytest.mark.parametrize(
    ("header", "values", "expected"),
    [
        ("path,label,is_trusted", ("1", "0"), [True, False]),
        ("trusted,path,label", ("True", "no"), [True, False]),
        ("path,label,trust", ("0.5", "1.0"), [False, True]),
    ],
)
def test_whom_to_trust(header, values, expected, root):
    row = "{1},{0},cat" if header.startswith("trusted") else "{0},cat,{1}"
    rows = [row.format(name, value) for name, value in zip(("a.png", "b.png"), values, strict=True)]
    found = image_list.read(_list(root, "\n".join([header, *rows])), None)
    assert found.is_trusted == expected and found.notes == ()
    for wrong in ("", "nan", "-1", "2", "maybe"):
        broken = f"path,label,is_trusted\na.png,cat,1\nb.png,cat,{wrong}\n"
        with pytest.raises(errors.InputError, match=r"line 3: found '.*' in column 'is_trusted', expected 1 or true"):
            image_list.read(_list(root, broken), None)


@pytest.mark.parametrize(
    ("text", "separator", "message"),
    [
        ("", "auto", "names no images"),
        ("path label\n", "auto", "names no images"),
        ("c.png 1\nc.png\n", "auto", r"line 2: found 'c\.png', expected an image's path, a tab, space"),
        ("c.png 1\nc.png \n", "auto", "line 2: found 'c.png ', expected an image's path, ' ', and a label"),
        ("c.png 1\nc.png,2\n", "auto", r"line 2: found 'c\.png,2'"),
        ("c.png 1\n", "tab", r"line 1: found 'c\.png 1', expected an image's path, '\\t', and a label"),
        ("c.png 1\n\nd.png 1\n", "auto", r"line 3: there is no image .*d\.png"),
        ("c.png 1\nnowhere/d.png 1\n", "auto", r"line 2: there is no image .*nowhere/d\.png"),
        ("gone.heic cat\na.png cat\n", "auto", r"line 1: found 'gone\.heic cat', expected an image's path"),
        ("c.png 1\nfolder.png 1\n", "auto", r"line 2: there is no image .*folder\.png"),
        ("C:\\data\\a.png 1\n", "auto", r"line 1: there is no image .*; it is a path of Windows, expected one below"),
        ("c.png 1\n# note\n", "auto", "line 2: found '# note', expected"),
        ("path label\na.png 1\npath label\n", "auto", "line 3: found 'path label', expected"),
        ("a.png,cat,1.0\n", "auto", r"line 1: found .* first line that names them, such as path,label,is_trusted$"),
        ("path,label,x\na.png,cat\n", "auto", r"line 2: found 2 columns in 'a\.png,cat', expected the 3 that"),
        ("path,label,x\na.png,,1\n", "auto", r"line 2: found nothing in column 'label' of 'a\.png,,1'"),
        ('path,label,x\na.png,"b,1\n', "auto", "line 2: found a quote that is not closed in"),
        (
            'a.png,"cat\n',
            "auto",
            "line 1: found 'a.png,\"cat', whose quote is not closed; expected an image's path, a tab",
        ),
        (
            "a.png c.png,1\n",
            "auto",
            r"line 1: found .*, which ' ' and ',' divide in two ways; expected option `list_sep",
        ),
        ("a.png,cat\na.png,c\x00t\n", "auto", "line 2: found a NUL character, as in UTF-16 without its marker"),
        ("a.png,cat\na.png,c\x07t\n", "auto", r"line 2: found the label 'c\\x07t', with bytes that are no text"),
    ],
)
def test_mistakes(text, separator, message, root):
    path = _list(root, text)
    with pytest.raises(errors.InputError, match=rf"(?s)^{path}(, |: ).*{message}") as caught:
        image_list.read(path, None, separator)
    assert "\n" not in str(caught.value)


def test_files_that_are_no_lists(root):
    with pytest.raises(errors.InputError, match=r"nowhere\.txt: not readable .*expected a list as a text"):
        image_list.read(str(root / "nowhere.txt"), None)
    with pytest.raises(errors.InputError, match=r"not readable .*expected a list as a text"):
        image_list.read(_list(root, b"\xff\xfe\x00"), None)


def test_missing_images_that_are_skipped(root):
    found = image_list.read(_list(root, "gone.png 1\na.png 2\n"), None, check_present=False)
    assert _pairs(root, found) == [("gone.png", "1"), ("a.png", "2")]
