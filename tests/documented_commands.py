"""Finds every command line that the README, docs, flag files, launch scripts, docstrings and helps print."""

import ast
import pathlib
import re

from famus_tf.config import command_line

ROOT = pathlib.Path(__file__).resolve().parent.parent
# What a command line starts with, a variable of its own before it or not.
_COMMAND = re.compile(
    r"(?:[A-Z_]+=(?:'[^']*'|\S+) )?"
    r"(?:python -m \w|\./launch/|sbatch |srun |tensorboard |source |bazel |pip |\S*bin/pip |awk |ls |for |bash )\S.*"
)


def found():
    """{command line: the file that prints it first}; white space and comments at its end are cut."""
    commands = {}
    for place, line in _lines():
        text = re.sub(r"\s+", " ", re.sub(r"\s\s+#\s.*", "", line)).strip().rstrip(",;")
        if _COMMAND.fullmatch(text):
            commands.setdefault(text, place)
    return commands


def _lines():
    for path in (ROOT / "README.md", *sorted((ROOT / "docs").glob("**/*.md"))):
        yield from ((path.name, line) for line in _of_markdown(path.read_text()))
    for path in sorted([*(ROOT / "flags").rglob("*.cfg"), *(ROOT / "launch").iterdir()]):
        yield from ((f"{path.parent.name}/{path.name}", line) for line in _of_script(path.read_text()))
    commands = *(ROOT / "benchmarks").glob("*.py"), *(ROOT / "tests" / "faults").glob("*.py")
    for path in (ROOT / "famus_tf" / "main.py", *sorted(commands)):
        text = ast.get_docstring(ast.parse(path.read_text())) or ""
        yield from ((f"{path.parent.name}/{path.name}", line) for line in _of_markdown(text))
    helps = re.findall(r"(?:python -m |\./launch/|sbatch )[^`\n]+", command_line.help_text())
    yield from (("--help", line) for line in helps)


def _of_markdown(text):
    """Code that stands in lines of its own, indented, and in sentences between backticks."""
    text = re.sub(r"```.*?```", "", text, flags=re.DOTALL)
    indented = [line[4:] for line in text.splitlines() if line.startswith("    ")]
    yield from _joined(indented)
    prose = "\n".join(line for line in text.splitlines() if not line.startswith("    "))
    yield from re.findall(r"`([^`]+)`", prose)


def _of_script(text):
    """What a flag file or a shell script says in comments and prints: indented, in backticks, as an example."""
    comments = [line.removeprefix("#") for line in text.splitlines() if line.startswith("#")]
    yield from _joined(line[3:] for line in comments if line.startswith("   "))
    yield from re.findall(r"`([^`]+)`", "\n".join(comments))
    for printed in re.findall(r"<<NEXT\n(.*?)\nNEXT", text, re.DOTALL):
        yield from re.findall(r"(?:tensorboard|python -m|source) [^\n)]+", printed)
    for line in re.sub(r'" \\\n\s*"', " ", text).splitlines():
        yield from re.findall(r'(?:as in|by Slurm): ?"? ?((?:\./launch|sbatch)[^"}]*)', line)
        yield from re.findall(r"(?:go to pytest|has made \.venv): (\./launch.*)", line)


def _joined(lines):
    """Lines of a shell put together where one goes on in the next: a backslash, an open quote, a loop."""
    whole = ""
    for line in lines:
        whole = f"{whole} {line}" if whole else line
        if whole.endswith("\\"):
            whole = whole[:-1]
        elif whole.count("'") % 2 == 0 and not re.search(r"^for .*(?<!done)$", whole):
            yield whole
            whole = ""
    if whole:
        yield whole
