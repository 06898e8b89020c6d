"""The rows of a study's table that an earlier command has written, where they go with those of the next."""

import json
import pathlib
from collections.abc import Container

from famus_tf.config import config as config_module
from famus_tf.errors import InputError
from famus_tf.reports import compare as table


def read(
    file: pathlib.Path, wanted: dict[str, config_module.Config], replaced: Container[str], study: str
) -> list[dict]:
    """The rows of a file; none where there is no file.

    Args:
      file: JSON.
      wanted: {label: what a run of that row would be now}, of all rows of the study.
      replaced: labels that are run again, whose rows may be of any flags.
      study: its name, for the sentence.

    Raises:
      InputError: it is not such a file, or has a row that the study lacks, or one of other flags.
    """
    if not file.exists():
        return []
    try:
        rows = json.loads(file.read_text(encoding="utf-8"))
        found = [(row["method"], row["flags"]["dataset"]) for row in rows]
        table.format_rows(rows, markdown=False)
        is_ours = all(isinstance(part, str) for pair in found for part in pair)
    except (ValueError, TypeError, KeyError):
        is_ours = False
    if not is_ours:
        raise InputError(f"--json={file}: expected a file that this command wrote")
    dataset = next(iter(wanted.values())).data.dataset
    for label, of in found:
        if label not in wanted or of != dataset:
            raise InputError(f"--json={file}: has a row {label!r} of {of}; expected rows of {study} alone")
    for row in rows:
        label = row["method"]
        difference = None if label in replaced else wanted[label].first_difference(_lines(row["flags"], wanted[label]))
        if difference:
            sentence = difference.replace("the run directory has", "it has").replace("this command has", "expected")
            raise InputError(f"--json={file}: row {label!r}: {sentence}")
    return rows


def _lines(flags, config):
    """Lines of a flag file from a row's flags, which have neither a seed nor a place of the data: those of `config`."""
    booleans = {field.name for _, field in config_module.flag_fields() if field.type is bool}
    flags = flags | {"seed": str(config.run.seed), "data_dir": config.data.data_dir}
    return [
        f"--{name}" if not text and {name, name.removeprefix("no")} & booleans else f"--{name}={text}"
        for name, text in flags.items()
    ]
