"""Size and time of the files that a scaled copy was made of, so that one that has changed since is known."""

from __future__ import annotations

import dataclasses
import json
import os
from collections.abc import Mapping, Sequence

from famus_tf import errors
from famus_tf.data.images import parallel

_FILE = "originals.json"
_AT_A_TIME = 256


@dataclasses.dataclass(frozen=True)
class Originals:
    """What is known of the originals of the images in a folder.

    Attributes:
        folder: of the copies.
        states: {name: [bytes, nanoseconds of the last change]}; of copies of an unfinished call, or of an earlier
            version, nothing.
    """

    folder: str
    states: dict[str, list[int]]

    def is_current(self, data_dir: str, name: str) -> bool:
        """Whether the copy was made of the original as it is now; True also where the original has gone.

        Where its state was not kept, the copy has to be younger.

        Args:
            data_dir: the folder of the originals.
            name: of one, in either folder.
        """
        now = state(os.path.join(data_dir, name))
        if now is None:
            return True
        if name in self.states:
            return self.states[name] == now
        copy = state(os.path.join(self.folder, name))
        return copy is not None and copy[1] >= now[1]

    def are_current(self, data_dir: str, names: Sequence[str]) -> list[bool]:
        """`is_current` of each, several at a time, as files of a network's folder answer slowly."""

        def of_some(start: int) -> list[bool]:
            return [self.is_current(data_dir, name) for name in names[start : start + _AT_A_TIME]]

        parts = parallel.in_order(of_some, range(0, len(names), _AT_A_TIME))
        return [result for part in parts for result in part]


def read(folder: str) -> Originals:
    """What is known of the copies in a folder; nothing where it was not kept.

    Raises:
        errors.InputError: the file that keeps it cannot be read.
    """
    path = os.path.join(folder, _FILE)
    if not os.path.lexists(path):
        return Originals(folder, {})
    with errors.reading(path, "it as option `mode`=prepare has written it"):
        with open(path, encoding="utf-8") as file:
            states = json.load(file)
        return Originals(folder, {name: [int(size), int(time)] for name, (size, time) in states.items()})


def state(path: str) -> list[int] | None:
    """Bytes and nanoseconds of the last change of a file; None where it cannot be looked at."""
    try:
        found = os.stat(path)
    except OSError:
        return None
    return [found.st_size, found.st_mtime_ns]


def write(folder: str, states: Mapping[str, list[int]]) -> None:
    """Keeps the states of the originals of some copies.

    Raises:
        OSError: it cannot be written.
    """
    path = os.path.join(folder, _FILE)
    with open(f"{path}.partial", "w", encoding="utf-8") as file:
        json.dump(states, file, indent=0)
    os.replace(f"{path}.partial", path)
