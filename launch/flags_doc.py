"""Writes docs/flags.md: every flag, from the fields that make the flags.

python launch/flags_doc.py            # writes it
python launch/flags_doc.py --check    # says whether it is up to date, with exit status 1 where it is not
"""

import dataclasses
import pathlib
import sys

ROOT = pathlib.Path(__file__).resolve().parent.parent
PATH = ROOT / "docs" / "flags.md"
sys.path.insert(0, str(ROOT))

from famus_tf.config import config, fields  # noqa: E402
from famus_tf.config import text as flag_text  # noqa: E402

_HEAD = """# Flags

Written by `python launch/flags_doc.py`; `python -m famus_tf.main --help` prints the same. A flag file has one flag to a
line; flags after it override it. Of a flag given twice the last counts."""


def text():
    """The contents of docs/flags.md."""
    parts = [_HEAD]
    for group, group_class in config.GROUPS.items():
        parts.append(f"\n## {group}\n\n{group_class.__doc__.strip()}\n\n| flag | default | expected | what it does |")
        parts.append("|---|---|---|---|")
        parts += [_row(field) for field in dataclasses.fields(group_class)]
    return "\n".join(parts) + "\n"


def _row(field):
    name = f"`--[no]{field.name}`" if field.type is bool else f"`--{field.name}`"
    is_any_text = field.type is str and not (field.metadata["choices"] or field.metadata["bounds"])
    expected = "text" if is_any_text else fields.expected(field)
    cells = name, _code(flag_text.text_of(field.default)), expected, field.metadata["help"]
    return "| " + " | ".join(cell.replace("|", "\\|").replace("<", "&lt;") for cell in cells) + " |"


def _code(value):
    if not value:
        return ""
    return f"`{value.lower()}`" if value in ("True", "False") else f"`{value}`"


def main(argv=None):
    """Runs one command line and returns the exit status."""
    arguments = sys.argv[1:] if argv is None else argv
    if arguments not in ([], ["--check"]):
        print(f"{' '.join(arguments)}: expected nothing, or --check", file=sys.stderr)
        return 2
    if not arguments:
        PATH.write_text(text())
        return 0
    if PATH.exists() and PATH.read_text() == text():
        return 0
    print(f"{PATH.relative_to(ROOT)} is not up to date: python launch/flags_doc.py writes it", file=sys.stderr)
    return 1


if __name__ == "__main__":
    sys.exit(main())
