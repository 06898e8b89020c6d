"""The examples in the docstrings of the names that a user of the library meets first."""

import doctest
import importlib

import pytest

MODULES = (
    "famus_tf.methods.famus",
    "famus_tf.meta.learners.mw_net",
    "famus_tf.meta.selectors",
    "famus_tf.losses.ldam",
    "famus_tf.methods.baselines.co_teaching",
)


@pytest.mark.parametrize("name", MODULES)
def test_examples(name):
    found = doctest.testmod(importlib.import_module(name), optionflags=doctest.NORMALIZE_WHITESPACE)
    assert found.attempted >= 2 and found.failed == 0
