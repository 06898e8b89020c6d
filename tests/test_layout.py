"""Rules of the layout: who may import whom, where flags are read, sizes, and that BUILD is up to date."""

import ast
import pathlib
import runpy
import sys

import pytest

ROOT = pathlib.Path(__file__).resolve().parent.parent
MODULES = sorted(path for folder in ("famus_tf", "benchmarks") for path in (ROOT / folder).rglob("*.py"))
# A module whose path starts with the key never imports one that starts with a name on the right.
FORBIDDEN = {
    "benchmarks.table": ("errors", "config", "experiment", "famus", "training"),
    "famus_tf.meta": ("config", "data", "experiment", "main", "famus", "training"),
    "famus_tf.networks": ("config", "data", "experiment", "main", "famus", "training"),
    "famus_tf.methods.famus": ("config", "data", "experiment", "main", "training"),
    "famus_tf.methods.trainer": ("config", "data", "experiment", "main", "famus", "training"),
    "famus_tf.data": ("networks", "famus", "config", "experiment", "main", "meta", "training"),
    "famus_tf.training.loop": ("config", "data", "experiment", "main", "networks"),
    "famus_tf.devices.distribution": ("config", "data", "experiment", "famus", "main", "networks", "training"),
    "famus_tf.config": ("data", "experiment", "famus", "main", "meta", "networks", "training"),
    "famus_tf.data.feed": ("config", "experiment", "famus", "main", "meta", "networks", "training"),
    "famus_tf.config.command_line": ("data", "experiment", "famus", "main", "meta", "networks", "training"),
}


def module_name(path):
    """famus_tf/meta/sampler.py -> famus_tf.meta.sampler."""
    return ".".join(path.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__")


def imported(path):
    """Names of everything a file imports when it runs, `from a import b` as a.b."""
    names, tree = set(), ast.parse(path.read_text())
    for_types = {
        inner
        for node in ast.walk(tree)
        if isinstance(node, ast.If) and getattr(node.test, "id", "") == "TYPE_CHECKING"
        for inner in ast.walk(node)
    }
    for node in set(ast.walk(tree)) - for_types:
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            names |= {f"{node.module}.{alias.name}" for alias in node.names}
    return names


@pytest.mark.parametrize("path", MODULES, ids=module_name)
def test_direction_of_imports(path):
    name = module_name(path)
    for prefix, others in FORBIDDEN.items():
        if name == prefix or name.startswith(f"{prefix}."):
            for found in imported(path):
                for other in others:
                    assert not (f"{found}.").startswith(f"famus_tf.{other}."), f"{name} imports {found}"


@pytest.mark.parametrize("path", MODULES, ids=module_name)
def test_flags_only_in_main_and_command_line(path):
    if path.name not in ("main.py", "command_line.py"):
        assert not any(name.startswith("absl") for name in imported(path))
        assert "FLAGS" not in path.read_text()


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


def test_build_is_what_the_imports_say():
    written = runpy.run_path(str(ROOT / "launch" / "build_file.py"))["text"]()
    compile(written, "BUILD", "exec")  # its syntax is a subset of Python's
    assert (ROOT / "BUILD").read_text() == written, "run python launch/build_file.py"
