"""Rules of the layout: who may import whom, where flags are read, sizes, and that BUILD is up to date."""

import ast
import pathlib
import re
import runpy
import sys

import pytest

from famus_tf.config import config

ROOT = pathlib.Path(__file__).resolve().parent.parent
MODULES = sorted(path for folder in ("famus_tf", "benchmarks") for path in (ROOT / folder).rglob("*.py"))
BUILD_FILE = runpy.run_path(str(ROOT / "launch" / "build_file.py"))
imported = BUILD_FILE["imported"]
# A room of famus_tf -> the rooms that it may import, besides itself and `EVERYBODY`; experiment imports all.
ROOMS = {
    "config": (),
    "networks": (),
    "devices": (),
    "files": (),
    "losses": ("devices",),
    "training": ("devices",),
    "data": ("devices",),
    "meta": ("losses", "devices"),
    "evaluation": ("losses", "devices"),
    "runs": ("config",),
    "profiling": ("meta", "losses", "devices"),
    "methods": ("networks", "meta", "losses", "training", "devices"),
    "reports": ("runs", "training", "evaluation", "data"),
    "compare": ("reports",),
    "experiment": None,
}
# Files that are written whole, names that are printed safely, and the one kind of error.
EVERYBODY = ("errors", "files")
OF_MAIN = ("config", "experiment", "devices", "training")


# Inside data each imports to the left only, or within its own.
DATA = ("streams", "images", "formats", "labels", "source", "duplicates", "dataset sets", "probes", "batches", "copies")


def module_name(path):
    """famus_tf/meta/sampler.py -> famus_tf.meta.sampler."""
    return ".".join(path.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__")


def room_of(name):
    """famus_tf.meta.layers -> meta, famus_tf.errors -> errors."""
    return name.split(".")[1] if name.startswith("famus_tf.") else None


@pytest.mark.parametrize("path", MODULES, ids=module_name)
def test_who_imports_whom(path):
    room = room_of(module_name(path))
    if room is None or ROOMS.get(room, ()) is None:
        return
    allowed = OF_MAIN if room == "main" else ROOMS.get(room, ())
    for found in imported(path):
        if found.startswith("famus_tf."):
            assert room_of(found) in (room, *EVERYBODY, *allowed), f"{module_name(path)} imports {found}"


@pytest.mark.parametrize("path", [path for path in MODULES if "data" in path.parts], ids=module_name)
def test_data_imports_to_the_left(path):
    def place(name):
        return next((number for number, rooms in enumerate(DATA) if name.split(".")[2] in rooms.split()), None)

    own = module_name(path)
    for found in imported(path):
        if own.startswith("famus_tf.data.") and found.startswith("famus_tf.data."):
            same_room = own.split(".")[2] == found.split(".")[2]
            assert same_room or place(found) < place(own), f"{own} imports {found}"


def test_what_lies_at_the_top():
    top = ROOT / "famus_tf"
    assert {path.name for path in top.glob("*.py")} == {"__init__.py", "main.py", "errors.py"}
    folders = {path.name for path in top.iterdir() if path.is_dir() and path.name != "__pycache__"}
    assert folders == ROOMS.keys() and len(folders) <= 15


@pytest.mark.parametrize("path", MODULES, ids=module_name)
def test_flags_only_in_main_and_command_line(path):
    if path.name not in ("main.py", "command_line.py"):
        assert not any(name.startswith("absl") for name in imported(path))
        assert "FLAGS" not in path.read_text()


def speaks_of_flags(path):
    """Whether a module may name flags: those of a program; `compare` is one of its own."""
    rooms = ("config", "experiment", "main", "compare")
    return "famus_tf" not in path.parts or room_of(module_name(path)) in rooms or path.name == "compare.py"


@pytest.mark.parametrize("path", [path for path in MODULES if not speaks_of_flags(path)], ids=module_name)
def test_no_text_names_a_flag(path):
    """It names an option, as `command_line.with_flags` reads it: docstrings and the parts of f-strings too."""
    names = {field.name for _, field in config.flag_fields()}
    for node in ast.walk(ast.parse(path.read_text())):
        for part in node.values[:-1] if isinstance(node, ast.JoinedStr) else ():
            made = isinstance(part, ast.Constant) and part.value.endswith("--")
            assert not made, f"{module_name(path)}, line {node.lineno}: makes a flag of a name"
        if not isinstance(node, ast.Constant) or not isinstance(node.value, str):
            continue
        flags = {
            name for name in re.findall(r"--(\w+)", node.value) if name in names or name.removeprefix("no") in names
        }
        assert not flags, f"{module_name(path)}, line {node.lineno}: --{min(flags)}; write option `{min(flags)}`"
        unknown = set(re.findall(r"\boption `(\w+)`", node.value)) - names
        assert not unknown, f"{module_name(path)}, line {node.lineno}: `{min(unknown)}` is not an option"


@pytest.mark.parametrize("path", [path for path in MODULES if "famus_tf" in path.parts], ids=module_name)
def test_who_prints(path):
    """Only what is the user's program: the rest returns facts, or notes them by `logging`."""
    if room_of(module_name(path)) in ("experiment", "main") or module_name(path) == "famus_tf.reports.compare":
        return
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name):
            assert node.func.id != "print", f"{module_name(path)} prints in line {node.lineno}"


@pytest.mark.parametrize("path", MODULES, ids=module_name)
def test_who_draws(path):
    room = room_of(module_name(path))
    if room not in (None, "reports"):
        assert not any(name.startswith("matplotlib") for name in imported(path))


def test_a_baseline_is_a_short_file():
    for path in (ROOT / "famus_tf" / "methods" / "baselines").glob("*.py"):
        assert path.read_text().count("\n") <= 150, path


def test_config_needs_only_the_standard_library():
    for path in (ROOT / "famus_tf" / "config").glob("*.py"):
        if path.name != "command_line.py":
            found = {name.split(".")[0] for name in imported(path)}
            assert found <= {*sys.stdlib_module_names, "famus_tf"}, path


@pytest.mark.parametrize("path", MODULES, ids=module_name)
def test_sizes(path):
    text = path.read_text()
    assert path.name != "utils.py"
    assert text.count("\n") <= {"famus.py": 300, "main.py": 100}.get(path.name, 400)
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            assert node.end_lineno - node.lineno < 60, f"{node.name} is longer than 60 lines"
        if isinstance(node, ast.FunctionDef | ast.ClassDef) and node.col_offset == 0 and node.name[0] != "_":
            assert ast.get_docstring(node), f"{node.name} has no docstring"


@pytest.mark.parametrize("path", sorted((ROOT / "tests").rglob("*.py")), ids=lambda path: path.stem)
def test_sizes_of_tests(path):
    assert path.read_text().count("\n") <= 400


def test_the_oracle_uses_nothing_of_what_it_tests():
    tests = ROOT / "tests"
    for path in (*(tests / "oracles").glob("*.py"), tests / "small_networks.py"):
        assert not any(name.startswith("famus_tf") for name in imported(path)), path


def test_build_is_what_the_imports_say():
    written = BUILD_FILE["text"]()
    compile(written, "BUILD", "exec")  # its syntax is a subset of Python's
    assert (ROOT / "BUILD").read_text() == written, "run python launch/build_file.py"
