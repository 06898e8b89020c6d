"""Writes BUILD from the imports of the Python files.

    python launch/build_file.py            # writes BUILD
    python launch/build_file.py --check    # exit status 1 where BUILD is not what it would write

Every package is a py_library, and so is every module at the top of famus_tf/; every test file is a py_test. Third-party
packages are those of requirements.txt, installed in the Python that runs the targets.
"""

import ast
import graphlib
import pathlib
import sys

ROOT = pathlib.Path(__file__).resolve().parent.parent
_HEAD = '''"""Bazel targets. Written by launch/build_file.py from the imports; do not edit."""

load("@rules_python//python:py_binary.bzl", "py_binary")
load("@rules_python//python:py_library.bzl", "py_library")
load("@rules_python//python:py_test.bzl", "py_test")

package(default_visibility = ["//visibility:public"])

licenses(["notice"])  # Apache-2.0

exports_files(["LICENSE"])

filegroup(
    name = "texts",
    srcs = glob([
        "*.md",
        "*.toml",
        "*.txt",
        "BUILD",
        "MODULE.bazel",
        "benchmarks/results/*.json",
        "docs/*",
        "flags/*",
        "launch/*",
    ]),
)
'''


def text():
    """What BUILD must contain."""
    paths = [path for name in ("famus_tf", "benchmarks", "tests") for path in (ROOT / name).rglob("*.py")]
    sources = {_module(path): path for path in paths}
    tests = {module for module, path in sources.items() if path.name.startswith("test_")}
    libraries = {}  # {rule: its modules}
    for module, path in sources.items():
        if module not in tests:
            libraries.setdefault(_library_of(module, path), []).append(module)
    rule_of = {module: rule for rule, modules in libraries.items() for module in modules}
    uses = {module: _used(path, sources) for module, path in sources.items()}
    deps = {}
    for rule, modules in libraries.items():
        used_modules = set().union(*(uses[module] for module in modules))
        deps[rule] = {rule_of[used] for used in used_modules if used in rule_of} - {rule}
    list(graphlib.TopologicalSorter(deps).static_order())  # CycleError where libraries need each other
    rules = [_HEAD]
    for rule, modules in sorted(libraries.items()):
        files = sorted(_path(sources[module]) for module in modules)
        beside = sorted(_path(page) for module in modules for page in sources[module].parent.glob("pages/*.html"))
        others = {"data": list(dict.fromkeys(beside)), "testonly": rule.startswith("tests")}
        rules.append(_rule("py_library", rule, files, deps[rule], **others))
    rules.append(
        _rule("py_binary", "main", ["famus_tf/main.py"], deps[rule_of["famus_tf.main"]], main="famus_tf/main.py")
    )
    for module in sorted(tests):
        path = _path(sources[module])
        others = {_path(sources[used]) for used in uses[module] if used in tests}
        needed = {rule_of[used] for used in _reached(module, uses, tests) if used in rule_of} | {"tests"}
        extra = {"args": [path], "main": "tests/run_pytest.py", "data": [":texts"]}
        rules.append(
            _rule("py_test", module.replace(".", "_"), sorted({path, *others, "tests/run_pytest.py"}), needed, **extra)
        )
    return "\n".join(rules)


def _module(path):
    return ".".join(path.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__")


def _path(path):
    return str(path.relative_to(ROOT))


def _library_of(module, path):
    """famus_tf.meta.layers -> meta, famus_tf.feed -> feed; the packages benchmarks and tests are one library each."""
    top, *rest = module.split(".")
    if top != "famus_tf":
        return top
    if not rest:
        return "famus_tf"
    return rest[0] if rest[0] != "main" else "main_lib"


def imported(path):
    """Names of everything that a file imports when it runs, `from a import b` as a.b."""
    names = set()
    tree = ast.parse(path.read_text())
    # Bazel needs what a file imports for its types as little as Python does.
    ifs = [node for node in ast.walk(tree) if isinstance(node, ast.If)]
    for_types = [node for node in ifs if ast.unparse(node.test) == "TYPE_CHECKING"]
    unused = set().union(*map(ast.walk, for_types))
    for node in set(ast.walk(tree)) - unused:
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            names |= {f"{node.module}.{alias.name}" for alias in node.names}
    return names


def _used(path, sources):
    """Our own modules among them."""
    ours = [name for name in imported(path) if name.split(".")[0] in ("famus_tf", "benchmarks", "tests")]
    return {_longest(name, sources) for name in ours} - {None, _module(path)}


def _longest(name, sources):
    while name and name not in sources:
        name = name.rpartition(".")[0]
    return name or None


def _reached(module, uses, tests):
    """What a test file imports, and what the test files that it imports do."""
    return uses[module].union(*(uses[used] for used in uses[module] & tests))


def _rule(kind, name, files, deps, **others):
    words = {"name": name, "srcs": files} | others | {"deps": sorted(f":{dep}" for dep in deps)}
    lines = [f"    {word} = {_value(value)}," for word, value in words.items() if value]
    return "\n".join([f"{kind}(", *lines, ")", ""])


def _value(value):
    if not isinstance(value, list):
        return f'"{value}"' if isinstance(value, str) else str(value)
    if len(value) == 1:
        return f'["{value[0]}"]'
    return "\n".join(["[", *(f'        "{one}",' for one in value), "    ]"])


def main(arguments):
    """Writes BUILD, or says whether it is up to date."""
    place = ROOT / "BUILD"
    if "--check" not in arguments:
        place.write_text(text())
    elif place.read_text() != text():
        print("BUILD is not what the imports say: run python launch/build_file.py", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
