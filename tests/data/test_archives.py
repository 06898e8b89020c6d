"""Archives from outside: what they may hold is read, what could do harm is refused."""

import io
import os
import pathlib
import pickle
import tarfile
import zipfile

import numpy as np
import pytest

from famus_tf import errors
from famus_tf.data.formats import archives


class _Evil:
    """Creates a file when it is unpickled."""

    def __init__(self, path):
        self._path = path

    def __reduce__(self):
        return os.mkdir, (self._path,)


def _tar(path, members):
    """`members`: (name, bytes or a function that changes the TarInfo)."""
    with tarfile.open(path, "w:gz") as archive:
        for name, content in members:
            member = tarfile.TarInfo(name)
            if callable(content):
                content(member)
                archive.addfile(member)
            else:
                member.size = len(content)
                archive.addfile(member, io.BytesIO(content))
    return str(path)


def test_wanted_files_of_a_tar(tmp_path):
    path = _tar(tmp_path / "a.tar.gz", [("top/one", b"1"), ("top/two", b"22"), ("top/other", b"3")])
    assert archives.read_tar(path, {"one", "two", "three"}) == {"one": b"1", "two": b"22"}
    assert os.listdir(tmp_path) == ["a.tar.gz"]


def _link(kind):
    def change(member):
        member.type, member.linkname = kind, "/etc/passwd"

    return change


@pytest.mark.parametrize(
    ("member", "message"),
    [
        (("../one", b"1"), r"member '\.\./one' leads out of the archive; refused"),
        (("top/../../one", b"1"), "leads out of the archive"),
        (("/one", b"1"), "leads out of the archive"),
        (("top/one", _link(tarfile.SYMTYPE)), "member 'top/one' is a link or a device; refused"),
        (("top/one", _link(tarfile.LNKTYPE)), "is a link or a device"),
        (("top/pipe", _link(tarfile.FIFOTYPE)), "is a link or a device"),
    ],
)
def test_members_that_are_refused(member, message, tmp_path):
    path = _tar(tmp_path / "a.tar.gz", [("top/two", b"2"), member])
    with pytest.raises(errors.InputError, match=message) as caught:
        archives.read_tar(path, {"one", "two"})
    assert path in str(caught.value)


def test_broken_archives(tmp_path):
    path = tmp_path / "a.tar.gz"
    path.write_bytes(b"no archive")
    with pytest.raises(errors.InputError, match=r"a\.tar\.gz: not readable .*expected a tar archive"):
        archives.read_tar(str(path), {"one"})
    whole = _tar(tmp_path / "b.tar.gz", [("one", os.urandom(50_000))])
    path.write_bytes(pathlib.Path(whole).read_bytes()[:20_000])
    with pytest.raises(errors.InputError, match=r"not readable .*expected a tar archive"):
        archives.read_tar(str(path), {"one"})


def test_torch_files(tmp_path):
    path = tmp_path / "labels.pt"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("labels/data.pkl", pickle.dumps({"worse_label": np.arange(4)}, 2))
        archive.writestr("labels/version", "3\n")
    np.testing.assert_array_equal(archives.load_torch(str(path))["worse_label"], np.arange(4))
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("labels/data.pkl", pickle.dumps(_Evil(str(tmp_path / "harm")), 2))
    with pytest.raises(errors.InputError, match="could run code; refused"):
        archives.load_torch(str(path))
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("other", "")
    with pytest.raises(errors.InputError, match=r"holds 0 files data\.pkl, expected one"):
        archives.load_torch(str(path))
    path.write_bytes(b"PK")
    with pytest.raises(errors.InputError, match=r"not readable .*expected a PyTorch file"):
        archives.load_torch(str(path))
    assert not (tmp_path / "harm").exists()
