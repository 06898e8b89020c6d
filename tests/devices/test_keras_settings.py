"""Settings of Keras that a user has for other work change nothing here, or are refused in one sentence."""

import json
import os
import subprocess
import sys

import pytest

PROGRAM = """
from famus_tf.devices import keras_settings
print(keras_settings.load_pinned())
import keras
from famus_tf import networks
print(keras.config.backend(), keras.config.image_data_format(), keras.config.floatx(), keras.config.epsilon())
network = networks.build("small_preact", (8, 8, 1), 3, (0.0,), (1.0,))
print({layer.data_format for layer in network._flatten_layers() if hasattr(layer, "data_format")})
print(network.output.shape, network.output.dtype)
"""
LIBRARY = """
import famus_tf
try:
    print(famus_tf.MWNet)
except famus_tf.InputError as error:
    print(error)
"""
FIRST = {"image_data_format": "channels_first", "floatx": "float64", "epsilon": 1e-3, "backend": "theano"}


def python(code, folder, content, **environment):
    """Lines that a process prints with those settings of Keras."""
    if content is not None:
        (folder / "keras.json").write_text(content)
    changes = {"KERAS_HOME": str(folder), "TF_CPP_MIN_LOG_LEVEL": "3", **environment}
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=False, env=os.environ | changes
    )
    return done.stdout.splitlines(), done.stderr


def test_a_program_pins_what_makes_other_networks(tmp_path):
    said, error = python(PROGRAM, tmp_path, json.dumps(FIRST), KERAS_BACKEND="jax")
    assert said == [
        str(
            [
                "KERAS_BACKEND=jax does not hold here; it is tensorflow",
                "Keras's image_data_format=channels_first does not hold here; it is channels_last",
                "Keras's floatx=float64 does not hold here; it is float32",
                "Keras's epsilon=0.001 does not hold here; it is 1e-07",
            ]
        ),
        "tensorflow channels_last float32 1e-07",
        "{'channels_last'}",
        "(None, 3) float32",
    ], error


@pytest.mark.parametrize("content", ['{"floatx": "float8"}', "[]", '{"image_data_format": "x"}'])
def test_settings_that_keras_refuses_are_one_line(tmp_path, content):
    (tmp_path / "keras.json").write_text(content)
    done = subprocess.run(
        [sys.executable, "-m", "famus_tf.main", "--epochs=1", f"--workdir={tmp_path / 'run'}"],
        capture_output=True,
        text=True,
        check=False,
        env=os.environ | {"KERAS_HOME": str(tmp_path)},
    )
    assert done.returncode == 2 and done.stderr.count("\n") == 1, done.stderr
    assert done.stderr.startswith("famus_tf: error: Keras cannot be loaded (")
    assert f"and {tmp_path / 'keras.json'} as Keras writes it" in done.stderr


@pytest.mark.parametrize("backend", ["jax", "theano", "torch"])
def test_the_library_refuses_another_backend(tmp_path, backend):
    (said,), error = python(LIBRARY, tmp_path, json.dumps({"backend": backend}), KERAS_BACKEND="")
    assert said.startswith(("Keras cannot be loaded (", f"Keras computes with {backend}; ")), error
    assert said.split("; ")[-1].startswith("expected KERAS_BACKEND=tensorflow, and ")
