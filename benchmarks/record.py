"""The JSON behind every number: what was measured, with which command, commit and versions, on which machine."""

import pathlib

from famus_tf.files import whole_files
from famus_tf.runs import provenance


class Record:
    """Opened before the measurement and written after it, so that it tells the machine's load at both ends.

    Args:
      arguments: the parsed command line, an `argparse.Namespace`.
    """

    def __init__(self, arguments):
        settings = vars(arguments)
        paths = {name: str(value) for name, value in settings.items() if isinstance(value, pathlib.Path)}
        self._content = {
            "settings": settings | paths,
            "versions": provenance.versions(),
            "cpu_model": provenance.cpu_model(),
            "load_average": {"start": provenance.load_average()},
        }

    def write(self, path, **content):
        """Writes the record with `content`, anything that JSON can hold, to the file `path`."""
        self._content["load_average"]["end"] = provenance.load_average()
        whole_files.write_json(path, self._content | content)


def own_folder():
    """Where a study goes that nobody has named a file for, runs/studies; those that are published are named."""
    folder = pathlib.Path("runs", "studies")
    folder.mkdir(parents=True, exist_ok=True)
    return folder
