"""What README and docs promise: their snippets run, and the flags and files that they name exist."""

import dataclasses
import pathlib
import re
import runpy

import numpy as np
import PIL.Image
import pytest

from benchmarks import settings
from famus_tf.config import config
from tests import fresh_python

ROOT = pathlib.Path(__file__).resolve().parent.parent
README = (ROOT / "README.md").read_text()
PAGES = {path: path.read_text() for path in (*ROOT.glob("*.md"), *(ROOT / "docs").glob("*.md"))}
OTHER_PROGRAMS = {"--logdir", "--help", "--name", "--check"}


@pytest.mark.parametrize("number", range(4))
def test_the_snippets_run(number, tmp_path):
    pages = [README, *((ROOT / "docs" / name).read_text() for name in ("api.md", "memory.md"))]
    snippets = re.findall(r"```python\n(.*?)```", "".join(pages), re.DOTALL)
    assert len(snippets) == 4
    rng = np.random.default_rng(0)
    for split, count in (("train", 12), ("trusted", 6), ("test", 4)):
        for name in "abc":
            (tmp_path / "my_images" / split / name).mkdir(parents=True)
            for k in range(count):
                pixels = rng.integers(0, 256, (40, 50, 3), np.uint8)
                PIL.Image.fromarray(pixels).save(tmp_path / "my_images" / split / name / f"{k}.png")
    fresh_python.run(ROOT, tmp_path, "-W", "error:network:UserWarning", "-c", snippets[number])
    assert (tmp_path / "saved_model" / "saved_model.pb").exists()


def test_named_flags_exist():
    names = {field.name for _, field in config.flag_fields()} | {"flagfile"}
    names |= {f"no{field.name}" for _, field in config.flag_fields() if field.type is bool}
    names |= {field.name for field in dataclasses.fields(settings.Settings)}
    for path in (*(ROOT / "benchmarks").glob("*.py"), ROOT / "famus_tf" / "reports" / "compare.py"):
        names |= set(re.findall(r'add_argument\(\s*"--([a-z_]+)"', path.read_text()))
    names |= {field.name for _, field in config.flag_fields()}
    for path, text in PAGES.items():
        found = set(re.findall(r"(?<![\w-])--[a-z_]+(?![\w-])", text)) - OTHER_PROGRAMS
        assert {flag.removeprefix("--") for flag in found} <= names, path


def test_linked_files_exist():
    count = 0
    for path, text in PAGES.items():
        for link in re.findall(r"\]\(([^)#]+)[^)]*\)", text):
            if not link.startswith("http"):
                assert (path.parent / link).exists(), (path, link)
                count += 1
    assert count > 40


def test_the_readme_is_short():
    assert README.count("\n") <= 170


def test_every_page_is_linked_from_the_readme():
    for path in PAGES:
        assert path.name == "README.md" or f"({path.relative_to(ROOT)})" in README, path


def test_the_list_of_flags_is_up_to_date():
    written = runpy.run_path(str(ROOT / "launch" / "flags_doc.py"))["text"]()
    assert (ROOT / "docs" / "flags.md").read_text() == written, "run python launch/flags_doc.py"


def test_every_flag_file_is_in_the_readme():
    for path in (ROOT / "flags").glob("*.cfg"):
        assert f"flags/{path.name}" in README
