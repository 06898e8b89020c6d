"""The command line: one absl flag for every field of `config.config`, and the way from arguments to a `Config`.

The flags live in a `FlagValues` of their own, made anew for each command line. So importing this module defines nothing
globally, no other library's flags can collide with these, and one process (a test, a study) can read many command
lines.
"""

import pathlib
import re
import sys
from collections.abc import Sequence

from absl import flags

from famus_tf.config import config, data, fields, flag_file
from famus_tf.config import text as flag_text
from famus_tf.errors import InputError

# A flags.cfg in one folder with any of these was written by a run.
_SIGNS_OF_A_RUN = ("checkpoints", "results.json", "versions.json")
# As the rest of the package names an option: it may be called from a program that has no flags. The word before the
# backticks tells it from a name that another library quotes, and the value outside of them may hold anything.
_OPTION = re.compile(r"\boption `(\w+)`")


def read_config(argv: Sequence[str] | None = None) -> config.Config:
    """Reads a command line, flag files included.

    Args:
        argv: the program's name and its arguments; `sys.argv` where None.

    Returns:
        The validated configuration, `run.workdir` filled in.

    Raises:
        InputError: on an unknown flag, a value that cannot be used, a stray argument or an unreadable flag file.
    """
    argv = list(sys.argv if argv is None else argv)
    values = define_flags(flags.FlagValues())
    try:
        stray = values([argv[0], *flag_file.expanded(argv[1:])])[1:]
    except flags.Error as error:
        raise InputError(_in_one_line(error)) from None
    if stray:
        raise InputError(
            f"stray argument '{stray[0]}': expected flags only, as --name=value; look for a missing -- or a value "
            "separated by a space"
        )
    read = {field.name: values[field.name].value for _, field in config.flag_fields()}
    if not values["dataset"].present:
        read["dataset"] = data.meant_dataset(read)
    if not read["workdir"]:
        read["workdir"] = default_workdir(argv, f"{read['dataset']}_{read['method']}")
    return config.from_values(read)


def define_flags(values: flags.FlagValues) -> flags.FlagValues:
    """Defines the flags in `values` and returns it; help is grouped as the configuration is."""
    for group, field in config.flag_fields():
        text = field.metadata["help"]
        choices = field.metadata["choices"]
        where = {"flag_values": values, "module_name": group}
        if choices:
            flags.DEFINE_enum(field.name, field.default, choices, text, **where)
        elif field.type == flag_text.Numbers:
            flags.DEFINE(_NumbersParser(), field.name, field.default, text, serializer=_NumbersSerializer(), **where)
        elif field.type == flag_text.NumberOrAuto:
            flags.DEFINE(_NumberOrAutoParser(), field.name, flag_text.AUTO, text, serializer=_TextSerializer(), **where)
        else:
            _DEFINE[field.type](field.name, field.default, text, **where)
    return values


def help_text() -> str:
    """Every flag with its help, choices and default, in the groups of the configuration."""
    return define_flags(flags.FlagValues()).get_help()


def flag_files(argv: Sequence[str]) -> list[pathlib.Path]:
    """The flag files named on the command line, in order, as `--flagfile=x` or `--flagfile x`."""
    return [pathlib.Path(text) for is_file, text in flag_file.files_and_others(argv[1:]) if is_file]


def default_workdir(argv: Sequence[str], otherwise: str) -> str:
    """The run directory that a command line without `--workdir` means.

    runs/<stem of the first flag file>; where that is the flags.cfg of a run directory, that directory, so that
    `--flagfile=runs/x/flags.cfg --mode=evaluate` finds the run; runs/<otherwise> where there is no flag file.
    """
    files = flag_files(argv)
    if files and files[0].name == "flags.cfg" and any((files[0].parent / name).exists() for name in _SIGNS_OF_A_RUN):
        return str(files[0].parent)
    return str(pathlib.Path("runs", files[0].stem if files else otherwise))


def with_flags(text: str) -> str:
    """A sentence of the package in the words of the command line: "option `epochs`=5" becomes "--epochs=5".

    All else stays: other names in backticks, values, and what is a flag already.
    """
    names = {field.name for _, field in config.flag_fields()}
    return _OPTION.sub(lambda found: f"--{found[1]}" if found[1] in names else found[0], text)


def _in_one_line(error: flags.Error) -> str:
    """absl's message on one line, and in the words of `config` where a value does not fit its flag."""
    text = " ".join(str(error).removeprefix("ERROR:: ").split())
    matched = re.fullmatch(r"flag (--(\w+)=.*?): .*", text)
    for _, field in config.flag_fields():
        if matched and field.name == matched[2]:
            return f"{matched[1]}: expected {fields.expected(field)}"
    return text


class _NumbersParser(flags.ArgumentParser):
    """Numbers joined by commas."""

    syntactic_help = "numbers joined by commas"

    def parse(self, argument: str | flag_text.Numbers) -> flag_text.Numbers:
        return flag_text.numbers(argument) if isinstance(argument, str) else tuple(argument)

    def flag_type(self) -> str:
        return "comma separated list of numbers"


class _NumberOrAutoParser(flags.ArgumentParser):
    """A number, or auto."""

    syntactic_help = "a number, or auto"

    def parse(self, argument: str | flag_text.NumberOrAuto) -> flag_text.NumberOrAuto:
        return flag_text.number_or_auto(argument) if isinstance(argument, str) else argument

    def flag_type(self) -> str:
        return "number or auto"


class _TextSerializer(flags.ArgumentSerializer):
    def serialize(self, value: flag_text.NumberOrAuto) -> str:
        return flag_text.text_of(value)


class _NumbersSerializer(flags.ArgumentSerializer):
    def serialize(self, value: flag_text.Numbers) -> str:
        return ",".join(map(repr, value))


_DEFINE = {bool: flags.DEFINE_bool, int: flags.DEFINE_integer, float: flags.DEFINE_float, str: flags.DEFINE_string}
