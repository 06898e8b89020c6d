"""Rules of the layout: who may import whom, where flags are read, sizes, and that BUILD lists what is there."""

import ast
import pathlib

import pytest

ROOT = pathlib.Path(__file__).resolve().parent.parent
MODULES = sorted(path for folder in ("famus_tf", "benchmarks") for path in (ROOT / folder).rglob("*.py"))
# A module whose path starts with the key never imports one that starts with a name on the right.
FORBIDDEN = {
    "benchmarks.table": ("errors", "config", "experiment", "famus", "flag_defs", "training"),
    "famus_tf.meta": ("config", "data", "experiment", "flag_defs", "main", "famus", "training"),
    "famus_tf.networks": ("config", "data", "experiment", "flag_defs", "main", "famus", "training"),
    "famus_tf.famus": ("config", "data", "experiment", "flag_defs", "main", "training"),
    "famus_tf.trainer": ("config", "data", "experiment", "flag_defs", "main", "famus", "training"),
    "famus_tf.data": ("networks", "famus", "config", "experiment", "flag_defs", "main", "meta", "training"),
    "famus_tf.training": ("config", "data", "experiment", "flag_defs", "main", "networks"),
    "famus_tf.distribution": ("config", "data", "experiment", "famus", "flag_defs", "main", "networks", "training"),
    "famus_tf.config": ("data", "experiment", "famus", "flag_defs", "main", "meta", "networks", "training"),
    "famus_tf.feed": ("config", "experiment", "famus", "flag_defs", "main", "meta", "networks", "training"),
    "famus_tf.flag_defs": ("data", "experiment", "famus", "main", "meta", "networks", "training"),
}


def module_name(path):
    """famus_tf/meta/sampler.py -> famus_tf.meta.sampler."""
    return ".".join(path.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__")


def imported(path):
    """Names of everything a file imports, `from a import b` as a.b."""
    names = set()
    for node in ast.walk(ast.parse(path.read_text())):
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
def test_flags_only_in_main_and_flag_defs(path):
    if path.name not in ("main.py", "flag_defs.py"):
        assert not any(name.startswith("absl") for name in imported(path))
        assert "FLAGS" not in path.read_text()


def test_config_needs_only_the_standard_library():
    allowed = {"dataclasses", "math", "collections", "typing", "famus_tf"}
    found = {name.split(".")[0] for name in imported(ROOT / "famus_tf" / "config.py")}
    assert found <= allowed


@pytest.mark.parametrize("path", MODULES, ids=module_name)
def test_sizes(path):
    text = path.read_text()
    assert path.name != "utils.py"
    assert text.count("\n") <= {"famus.py": 250, "main.py": 100}.get(path.name, 400)
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            assert node.end_lineno - node.lineno < 60, f"{node.name} is longer than 60 lines"
        if isinstance(node, ast.FunctionDef | ast.ClassDef) and node.col_offset == 0 and node.name[0] != "_":
            assert ast.get_docstring(node), f"{node.name} has no docstring"


def build_rules():
    """{(rule, name): {attribute: value}} of BUILD, whose syntax is a subset of Python's."""
    rules, text = {}, (ROOT / "BUILD").read_text()
    compile(text, "BUILD", "exec")  # a word given twice is no error to `ast.parse`
    for node in ast.parse(text).body:
        call = node.value if isinstance(node, ast.Expr) else None
        if isinstance(call, ast.Call) and call.func.id.startswith("py_"):
            # `data` holds a call of glob, which is no literal.
            attributes = {word.arg: ast.literal_eval(word.value) for word in call.keywords if word.arg != "data"}
            rules[call.func.id, attributes["name"]] = attributes
    return rules


def test_build_has_a_library_for_each_module_with_its_imports_as_deps():
    rules = build_rules()
    libraries = {tuple(rule.get("srcs", ())): rule for (kind, _), rule in rules.items() if kind == "py_library"}
    by_module = {}
    for path in MODULES:
        source = str(path.relative_to(ROOT))
        assert (source,) in libraries, f"BUILD has no py_library for {source}"
        by_module[module_name(path)] = libraries[(source,)]
    for path in MODULES:
        name = module_name(path)
        found = {n for n in imported(path) if n.startswith(("famus_tf.", "benchmarks."))}
        needed = {max((m for m in by_module if f"{n}.".startswith(f"{m}.")), key=len) for n in found}
        expected = {f":{by_module[m]['name']}" for m in needed - {name, "famus_tf", "benchmarks"}}
        assert expected <= set(by_module[name].get("deps", [])), f"BUILD: deps of {name}"


def test_build_has_a_test_for_each_test_file_and_a_binary_for_main():
    rules = build_rules()
    runner = "tests/run_pytest.py"
    tests = {source for (kind, _), rule in rules.items() if kind == "py_test" for source in rule["srcs"]} - {runner}
    assert tests == {str(path.relative_to(ROOT)) for path in (ROOT / "tests").rglob("test_*.py")}
    assert rules["py_binary", "main"]["main"] == "famus_tf/main.py"
