"""What is read in class folders, and what is said of the rest."""

import os

import pytest

from famus_tf import errors
from famus_tf.data.formats import class_folders, leftovers
from famus_tf.runs import directory as run_directory
from tests.faults import image_samples


@pytest.fixture(scope="module")
def images():
    return image_samples.make()


def _write(root, *names, data=b"x"):
    for name in names:
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(data)


def _read(root):
    found = class_folders.find(str(root))
    paths = [os.path.relpath(path, root) for path in found.paths]
    left_out = {(os.path.relpath(key.folder, root), key.what): count for key, count in found.left_out.items()}
    return found, paths, left_out


def test_folders_inside_a_class_folder_belong_to_it(tmp_path):
    names = ["cat/1.png", "cat/2.png", "cat/batch2/1.png", "cat/batch2/deep/1.png", "cat/a/1.png", "dog/x/y/z/1.png"]
    _write(tmp_path, *names)
    found, paths, left_out = _read(tmp_path)
    assert paths == ["cat/1.png", "cat/2.png", "cat/a/1.png", "cat/batch2/1.png", "cat/batch2/deep/1.png", names[-1]]
    assert found.names == ["cat"] * 5 + ["dog"] and not left_out and not found.empty
    (said,) = class_folders.sentences("here", found.left_out, found.inner)
    assert said == (
        "here: images in folders inside class folders have the class of the outer folder: 4, in "
        f"{tmp_path}/cat/a and 3 more"
    )


@pytest.mark.parametrize("ending", ["jpg", "JPG", "jpeg", "jpe", "jfif", "JFIF", "pjpeg", "png", "tif", "tiff", "bmp"])
def test_endings(ending, tmp_path):
    _write(tmp_path, f"cat/1.{ending}")
    assert _read(tmp_path)[1] == [f"cat/1.{ending}"]


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "BMP", "GIF", "WebP"])
@pytest.mark.parametrize("name", ["0001", "photo.jpg_large", "a.0001", "IMG 2. of 3"])
def test_other_endings_are_decided_by_the_header(kind, name, images, tmp_path):
    _write(tmp_path, f"cat/{name}", data=images[kind])
    _write(tmp_path, f"cat/no {name}", data=b"BMW is not a picture, RIFF neither")
    _write(tmp_path, f"cat/empty {name}", data=b"")
    _, paths, left_out = _read(tmp_path)
    assert paths == [f"cat/{name}"] and sum(left_out.values()) == 2


@pytest.mark.parametrize("name", ["labels.txt", "a.json", "b.heic", "c.csv", "noending"])
def test_files_that_are_no_images(name, tmp_path):
    _write(tmp_path, "cat/1.png", f"cat/{name}", f"cat/{name}~")
    found, paths, left_out = _read(tmp_path)
    what = f"*.{name.split('.')[1]}" if "." in name else "without an ending"
    assert paths == ["cat/1.png"] and left_out == {("cat", what): 1, ("cat", "*~"): 1}
    said = class_folders.sentences("here", found.left_out, found.inner)
    assert said[0] == f"here: files that are no images are not read: 1 {what}, in {tmp_path}/cat"


@pytest.mark.parametrize(
    ("name", "what"),
    [
        *((f"{name}.png", "._*") for name in ("._x", "._1")),
        *((name, ".*") for name in (".DS_Store", ".hidden.png", ".directory", ".nfs0001")),
        *((name, name) for name in ("Thumbs.db", "thumbs.db", "desktop.ini", "ehthumbs.db", "Picasa.ini", "Icon\r")),
        *((f"1.png{ending}", f"*{ending}") for ending in ("~", ".part", ".crdownload", ".tmp", ".bak")),
        ("~$1.png", "~$*"),
    ],
)
def test_files_that_systems_leave_behind(name, what, tmp_path):
    _write(tmp_path, "cat/1.png", f"cat/{name}", name)
    found, paths, left_out = _read(tmp_path)
    assert paths == ["cat/1.png"] and left_out == {("cat", what): 1, (".", what): 1}
    (said,) = class_folders.sentences("here", found.left_out, found.inner)
    assert said == f"here: what systems and programs leave behind is not read: 2 {what}, in {tmp_path} and 1 more"


@pytest.mark.parametrize(
    "name",
    [
        *("__MACOSX", "@eaDir", "@Recycle", "#recycle", "$RECYCLE.BIN", "System Volume Information", "lost+found"),
        *(".ipynb_checkpoints", ".git", ".Trash-1000", ".AppleDouble", "__pycache__"),
    ],
)
def test_folders_that_systems_leave_behind(name, tmp_path):
    _write(tmp_path, "cat/1.png", f"cat/{name}/1.png", f"{name}/cat/1.png")
    found, paths, left_out = _read(tmp_path)
    assert paths == ["cat/1.png"] and left_out == {("cat", f"{name}/"): 1, (".", f"{name}/"): 1}
    assert class_folders.class_folders_in(str(tmp_path)) == ["cat"] and not found.empty


@pytest.mark.parametrize("sign", leftovers._SIGNS_OF_A_RUN)
def test_run_directories_are_no_classes(sign, tmp_path):
    _write(tmp_path, "cat/1.png", f"runs/a/{sign}", "runs/a/curves.png", "runs/a/export/b.png")
    found, paths, left_out = _read(tmp_path)
    assert paths == ["cat/1.png"] and left_out == {("runs", "run directories/"): 1} and not found.empty


def test_a_run_directory_that_is_just_made_is_no_class(tmp_path):
    _write(tmp_path, "cat/1.png", "dog/lock", "dog/1.png")
    workdir = tmp_path / "runs" / "a"
    with run_directory.held(workdir):
        found, paths, left_out = _read(tmp_path)
    assert paths == ["cat/1.png", "dog/1.png"] and found.names == ["cat", "dog"] and not found.empty
    assert left_out == {("runs", "run directories/"): 1, ("dog", "without an ending"): 1}


def test_loose_images_and_special_files(tmp_path):
    _write(tmp_path, "cat/1.png", "loose.png", "labels.csv")
    os.mkfifo(tmp_path / "cat" / "pipe.png")
    os.symlink("nowhere", tmp_path / "cat" / "broken")
    os.symlink("itself", tmp_path / "cat" / "itself")
    os.symlink("nowhere.png", tmp_path / "cat" / "missing.png")
    os.symlink("..", tmp_path / "cat" / "round")
    os.symlink("../..", tmp_path / "cat" / "further")
    _, paths, left_out = _read(tmp_path)
    # A link by the name of an image is one that is missing, and is named as such when it is read.
    assert paths == ["cat/1.png", "cat/missing.png"]
    assert left_out == {
        (".", "*.png"): 1,
        (".", "*.csv"): 1,
        ("cat", "special files and broken links"): 3,
        ("cat", "links that lead round/"): 2,
    }


def test_links_to_folders_are_followed(tmp_path):
    _write(tmp_path, "elsewhere/1.png")
    (tmp_path / "data" / "dog").mkdir(parents=True)
    os.symlink("../elsewhere", tmp_path / "data" / "cat")
    os.symlink("../../elsewhere", tmp_path / "data" / "dog" / "more")
    found, paths, _ = _read(tmp_path / "data")
    assert paths == ["cat/1.png", "dog/more/1.png"] and found.names == ["cat", "dog"]


@pytest.mark.parametrize(
    ("names", "message"),
    [
        ([], "has no class folders, expected here"),
        (["1.png", "2.png"], "has 2 images in no class folder, expected here"),
        (
            ["cat/1.png", "dog/1.heic", "dog/a/2.heic", "dog/b.txt"],
            r"dog: holds no images but 2 \*\.heic, 1 \*\.txt",
        ),
        (["cat/1.png", "dog/.DS_Store"], r"dog: holds no images but 1 \.\*; expected JPEG, PNG"),
        (["cat/1.png", "dog/.git/1.png"], r"dog: holds no images but 1 \.git/; expected JPEG, PNG"),
    ],
)
def test_nothing_to_read(names, message, tmp_path):
    _write(tmp_path, *names)
    with pytest.raises(errors.InputError, match=message):
        class_folders.read(str(tmp_path), "here")


def test_an_empty_class_folder(tmp_path):
    _write(tmp_path, "cat/1.png")
    (tmp_path / "cow").mkdir()
    with pytest.raises(errors.InputError, match="cow: holds no images, as it is empty; expected JPEG, PNG"):
        class_folders.read(str(tmp_path), "here")
    assert class_folders.find(str(tmp_path)).empty == ["cow"]


@pytest.mark.parametrize("target", ["nowhere", "dog"])
def test_a_link_that_leads_nowhere_could_be_a_class(target, tmp_path):
    _write(tmp_path, "cat/1.png")
    os.symlink(target, tmp_path / "dog")
    with pytest.raises(errors.InputError, match=r"dog: not readable .*, expected a folder, or a link to one"):
        class_folders.find(str(tmp_path))
    found = class_folders.find(str(tmp_path), only=())
    assert [key.what for key in found.left_out] == ["special files and broken links"]
