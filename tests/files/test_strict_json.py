"""What is written is JSON for every reader, whatever the numbers."""

import json

import numpy as np
import pytest

from famus_tf.files import strict_json, whole_files

VALUE = {"loss": float("nan"), "list": [1.5, float("inf"), (-float("inf"), 2)], "numpy": np.float64("nan"), "text": "é"}
EXPECTED = {"loss": None, "list": [1.5, None, [None, 2]], "numpy": None, "text": "é"}


def strict(text):
    """Reads JSON as other languages do."""
    return json.loads(text, parse_constant=pytest.fail)


def test_numbers_that_are_not_finite_become_null(tmp_path):
    assert strict(strict_json.text_of(VALUE)) == EXPECTED
    whole_files.write_json(tmp_path / "results.json", VALUE)
    assert strict((tmp_path / "results.json").read_text(encoding="utf-8")) == EXPECTED


def test_finite_numbers_stay_to_the_last_bit():
    numbers = np.random.default_rng(0).normal(size=100).tolist()
    assert strict(strict_json.text_of(numbers)) == numbers
