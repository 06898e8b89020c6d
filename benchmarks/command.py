"""What the commands have in common: their arguments, and how a mistake in them is answered."""

import argparse
import pathlib
import sys

from benchmarks import settings
from famus_tf.config import command_line
from famus_tf.errors import InputError


def parser(module, text):
    """An `argparse.ArgumentParser` with the settings and the files to write.

    Args:
      module: name of the command's module.
      text: its docstring.
    """
    made = bare_parser(module, text)
    settings.add_arguments(made)
    made.add_argument("--json", type=pathlib.Path, help="file to write, with the raw times")
    made.add_argument("--plot", type=pathlib.Path, help="PNG file to write")
    return made


def bare_parser(module, text):
    """An `argparse.ArgumentParser` of a module, without arguments, whose help is the module's docstring."""
    return argparse.ArgumentParser(
        prog=f"python -m {module}", description=text, formatter_class=argparse.RawDescriptionHelpFormatter
    )


def run(made, argv, function):
    """Parses `argv`, calls `function(arguments)` and returns the exit status; an `InputError` is one line and 2.

    Args:
      made: what `parser` returned.
      argv: list of arguments, None for the process's own.
      function: of the parsed arguments.
    """
    arguments = made.parse_args(argv)
    try:
        for name in ("json", "plot"):
            path = getattr(arguments, name)
            if path and not path.resolve().parent.is_dir():
                raise InputError(f"--{name}={path}: expected a file in a folder that exists")
        function(arguments)
    except InputError as error:
        print(f"{made.prog}: error: {command_line.with_flags(str(error))}", file=sys.stderr)
        return 2
    return 0
