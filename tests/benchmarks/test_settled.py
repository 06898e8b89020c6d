"""The settled sampler's weights are kept, found again, and refused where they do not fit."""

import dataclasses

import keras
import numpy as np
import pytest

from benchmarks import mode_steps, modes, settled
from benchmarks.settings import Settings
from famus_tf import errors
from famus_tf.devices import strategy as strategies


def make_steps(settings):
    strategy = strategies.make_strategy("one_device")
    return mode_steps.make_steps(modes.find("famus_settled"), settings, "float32", strategy)


def test_the_second_time_the_weights_are_read(tmp_path, capsys):
    settings = Settings("small_preact", 8, 1, 3, 4, settle_steps=2, settled_folder=str(tmp_path))
    first, second = make_steps(settings), make_steps(settings)
    fresh = [keras.ops.convert_to_numpy(weight) for weight in second.method.selector.weights]
    first.settle()
    assert "step 2 of 2, lowest segment" in capsys.readouterr().err
    second.settle()
    assert capsys.readouterr().err == ""
    found = [keras.ops.convert_to_numpy(weight) for weight in second.method.selector.weights]
    for before, mine, theirs in zip(fresh, found, first.method.selector.weights, strict=True):
        np.testing.assert_array_equal(mine, theirs)
        assert np.abs(mine - before).max() > 0


def test_other_settings_have_a_file_of_their_own(tmp_path):
    settings = Settings(settled_folder=str(tmp_path))
    files = {
        settled.path("famus_settled", given, "float32")
        for given in (settings, dataclasses.replace(settings, lambda_cost=0.7), dataclasses.replace(settings, seed=1))
    }
    assert len(files) == 3
    assert settled.path("famus_settled", Settings(), "float32") is None


def test_a_file_that_does_not_fit_is_one_sentence(tmp_path):
    file = tmp_path / "weights.npz"
    settled.save(file, [np.zeros(3)])
    with pytest.raises(errors.InputError, match="another network"):
        settled.load(file, [np.zeros(2)])
    file.write_text("no weights")
    with pytest.raises(errors.InputError, match="cannot read it"):
        settled.load(file, [np.zeros(2)])
