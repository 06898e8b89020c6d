"""The package without the rest of the checkout, as pip installs it."""

import importlib.metadata
import shutil
import tomllib

import pytest

import famus_tf
from tests import documented_commands, fresh_python

ROOT = documented_commands.ROOT


@pytest.fixture(scope="module")
def site(tmp_path_factory):
    """A folder that holds the package alone."""
    folder = tmp_path_factory.mktemp("site")
    shutil.copytree(ROOT / "famus_tf", folder / "famus_tf", ignore=shutil.ignore_patterns("__pycache__"))
    return folder


def test_it_trains_and_compares(site):
    flags = "--dataset=digits", "--train_limit=64", "--batch_size=16", "--meta_per_class=1", "--train_steps=2"
    fresh_python.run(site, site, "-m", "famus_tf.main", *flags, "--method=cross_entropy", "--workdir=run")
    assert "cross-entropy" in fresh_python.run(site, site, "-m", "famus_tf.compare", "run")


def test_names_versions_and_types(site):
    said = fresh_python.run(site, site, "-c", "import famus_tf; print(famus_tf.__file__); print(*dir(famus_tf))")
    assert said.startswith(str(site))
    assert {*famus_tf.__all__, "__version__"} <= set(said.split())
    assert (site / "famus_tf" / "py.typed").exists()
    assert famus_tf.__version__ == importlib.metadata.version("famus_tf")
    assert f"version: {famus_tf.__version__}\n" in (ROOT / "CITATION.cff").read_text()


def test_the_console_script():
    scripts = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["scripts"]
    module, _, name = scripts["famus"].partition(":")
    assert (module, name) == ("famus_tf.main", "main") and callable(__import__(module, fromlist=[name]).main)
