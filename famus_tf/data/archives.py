"""Reads pickles and tar archives that come from outside without running or writing anything that they ask for."""

from __future__ import annotations

import io
import os
import pickle
import tarfile
import zipfile
from typing import Any

import numpy as np

from famus_tf import errors


def _encode(text: str, encoding: str) -> bytes:
    """`_codecs.encode`, as pickles of protocol 2 write bytes; for the one encoding that they use."""
    if encoding != "latin1":
        raise ValueError(f"encoding {encoding}")
    return text.encode("latin1")


# All that arrays of numbers need. NumPy 2 has moved its module, files of both kinds are about.
_RECONSTRUCT, _FROM_BUFFER = (np.zeros(1).__reduce_ex__(protocol)[0] for protocol in (2, 5))
_ALLOWED = {
    ("numpy.core.multiarray", "_reconstruct"): _RECONSTRUCT,
    ("numpy._core.multiarray", "_reconstruct"): _RECONSTRUCT,
    ("numpy.core.numeric", "_frombuffer"): _FROM_BUFFER,
    ("numpy._core.numeric", "_frombuffer"): _FROM_BUFFER,
    ("numpy", "ndarray"): np.ndarray,
    ("numpy", "dtype"): np.dtype,
    ("_codecs", "encode"): _encode,
}


class _Unpickler(pickle.Unpickler):
    """Knows containers, numbers, texts and NumPy arrays only."""

    def __init__(self, data: bytes, where: str) -> None:
        super().__init__(io.BytesIO(data), encoding="bytes")
        self._where = where

    def find_class(self, module: str, name: str) -> Any:
        """The object of that name, or an InputError: a pickle may name any function, to be called when it is read."""
        try:
            return _ALLOWED[module, name]
        except KeyError:
            raise errors.InputError(
                f"{self._where}: this pickle asks for {module}.{name}, which could run code; refused: expected arrays "
                "of numbers only"
            ) from None

    def persistent_load(self, pid: Any) -> Any:
        """Refused; PyTorch keeps its tensors that way."""
        raise errors.InputError(f"{self._where}: refers to data outside of the pickle; expected NumPy arrays")


def load_pickle(data: bytes, where: str) -> Any:
    """Unpickles containers of numbers, texts and NumPy arrays.

    Args:
        data: the pickle.
        where: its file, for errors.

    Returns:
        The object; texts of Python 2 as bytes.

    Raises:
        errors.InputError: it asks for anything else, or is broken.
    """
    try:
        return _Unpickler(data, where).load()
    except errors.InputError:
        raise
    except Exception as error:  # a broken pickle can raise almost anything
        raise errors.InputError(f"{where}: not a readable pickle ({type(error).__name__}: {error})") from error


def load_torch(path: str) -> Any:
    """The NumPy arrays of a PyTorch file, such as CIFAR-N's labels, without PyTorch.

    Args:
        path: a .pt file: a zip archive with one `data.pkl`.

    Returns:
        The object.

    Raises:
        errors.InputError: it is no such archive, or holds anything but arrays of numbers.
    """
    try:
        with zipfile.ZipFile(path) as archive:
            names = [name for name in archive.namelist() if os.path.basename(name) == "data.pkl"]
            if len(names) != 1:
                raise errors.InputError(f"{path}: holds {len(names)} files data.pkl, expected one, as torch.save makes")
            data = archive.read(names[0])
    except (OSError, zipfile.BadZipFile) as error:
        raise errors.InputError(f"{path}: not a readable PyTorch file ({error})") from error
    return load_pickle(data, path)


def read_tar(path: str, wanted: set[str]) -> dict[str, bytes]:
    """Reads files out of a tar archive into memory; nothing is extracted.

    Args:
        path: the archive, compressed or not.
        wanted: base names of the files to read.

    Returns:
        Dict base name -> content, of those that are there.

    Raises:
        errors.InputError: the archive is broken, or a member's path leads out of it, or is a link or a device.
    """
    found = {}
    try:
        with tarfile.open(path) as archive:
            for member in archive:
                _check_member(path, member)
                name = os.path.basename(member.name)
                if member.isfile() and name in wanted:
                    found[name] = archive.extractfile(member).read()
    except errors.InputError:
        raise
    except (OSError, EOFError, tarfile.TarError, ValueError) as error:
        raise errors.InputError(f"{path}: not a readable tar archive ({error})") from error
    return found


def _check_member(path: str, member: tarfile.TarInfo) -> None:
    if member.name.startswith("/") or ".." in member.name.split("/"):
        raise errors.InputError(f"{path}: its member {member.name!r} leads out of the archive; refused")
    if not (member.isfile() or member.isdir()):
        raise errors.InputError(
            f"{path}: its member {member.name!r} is a link or a device; refused: expected files only"
        )
