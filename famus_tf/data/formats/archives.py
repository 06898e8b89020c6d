"""Reads PyTorch files and tar archives from outside; nothing is extracted, and no more is held than is wanted."""

from __future__ import annotations

import os
import tarfile
import zipfile
from typing import Any

from famus_tf import errors
from famus_tf.data.formats import pickles

# Of one file in an archive; CIFAR-100's largest has 156 MB, CIFAR-N's less than 2.
LARGEST_MEMBER = 2**29
# Of all that an archive unpacks to; CIFAR's have less than 200 MB.
LARGEST_ARCHIVE = 2**32
_CHUNK = 2**20


def load_torch(path: str) -> Any:
    """The NumPy arrays of a PyTorch file, such as CIFAR-N's labels, without PyTorch.

    Args:
        path: a .pt file: a zip archive with one `data.pkl`.

    Returns:
        The object; see `pickles.load`.

    Raises:
        errors.InputError: it is no such archive, or holds anything but arrays of numbers.
    """
    with errors.reading(path, "a PyTorch file, as torch.save makes"), zipfile.ZipFile(path) as archive:
        members = [member for member in archive.infolist() if os.path.basename(member.filename) == "data.pkl"]
        if len(members) != 1:
            raise errors.InputError(f"{path}: holds {len(members)} files data.pkl, expected one, as torch.save makes")
        with archive.open(members[0]) as file:
            data = file.read(LARGEST_MEMBER + 1)
        _check_length(path, members[0].filename, len(data))
    return pickles.load(data, path)


def read_tar(path: str, wanted: set[str]) -> dict[str, bytes]:
    """Reads files out of a tar archive into memory; nothing is extracted.

    Args:
        path: the archive, compressed or not. Of a compressed one the checksum is checked.
        wanted: base names of the files to read.

    Returns:
        Dict base name -> content, of those that are there.

    Raises:
        errors.InputError: the archive is broken, or a member's path leads out of it, or is a link or a device; or it
            unpacks to more than such an archive has.
    """
    contents = {}
    with errors.reading(path, "a tar archive"), tarfile.open(path) as archive:
        for member in archive:
            _check_member(path, member)
            if member.offset_data + member.size > LARGEST_ARCHIVE:
                _refuse_size(path)
            name = os.path.basename(member.name)
            if member.isfile() and name in wanted:
                _check_length(path, member.name, member.size)
                contents[name] = archive.extractfile(member).read()
        # The checksum stands at the end, which tarfile does not read.
        while archive.fileobj.read(_CHUNK):
            if archive.fileobj.tell() > LARGEST_ARCHIVE:
                _refuse_size(path)
    return contents


def _refuse_size(path: str) -> None:
    raise errors.InputError(f"{path}: unpacks to more than {LARGEST_ARCHIVE:,} bytes; refused")


def _check_length(path: str, name: str, length: int) -> None:
    if length > LARGEST_MEMBER:
        raise errors.InputError(f"{path}: its member {name!r} has more than {LARGEST_MEMBER:,} bytes; refused")


def _check_member(path: str, member: tarfile.TarInfo) -> None:
    if member.name.startswith("/") or ".." in member.name.split("/"):
        raise errors.InputError(f"{path}: its member {member.name!r} leads out of the archive; refused")
    if not (member.isfile() or member.isdir()):
        raise errors.InputError(
            f"{path}: its member {member.name!r} is a link or a device; refused: expected files only"
        )
