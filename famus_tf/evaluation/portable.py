"""A trained network as a Keras file, for LiteRT (TensorFlow Lite) and for ONNX, and whether each says the same."""

from __future__ import annotations

import contextlib
import dataclasses
import importlib.util
import logging
import os
import pathlib
import warnings
from collections.abc import Callable, Collection, Iterator
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from famus_tf import errors
from famus_tf.files import whole_files

FILES = {"keras": "model.keras", "tflite": "model.tflite", "onnx": "model.onnx"}
_PACKAGES = ("onnx", "onnxruntime", "tf2onnx")
# Of a probability. All compute in float32, in another order; beyond this it is another network.
_MOST_DIFFERENCE = 1e-3


def check_packages(formats: Collection[str]) -> None:
    """Raises InputError where a format needs packages that are not installed.

    Args:
      formats: of `FILES`, those that are wanted.
    """
    missing = [name for name in _PACKAGES if importlib.util.find_spec(name) is None]
    if "onnx" in formats and missing:
        raise errors.InputError(
            f"option `export_format`=onnx needs {', '.join(missing)}: expected them installed, by "
            'pip install "famus-tf[onnx]"'
        )


def in_float32(network: keras.Model) -> keras.Model:
    """The same network with all layers in float32, whatever their policies; its variables are copies.

    Args:
      network: functional `keras.Model`, networks within it included.
    """

    def copied(layer: keras.Layer) -> keras.Layer:
        # Operations such as a padding have no variables and no policy of their own.
        policy = {"dtype": "float32"} if isinstance(layer, keras.Layer) else {}
        return type(layer).from_config(layer.get_config() | policy)

    copy = keras.models.clone_model(network, clone_function=copied, recursive=True)
    copy.set_weights(network.get_weights())
    return copy


def write(network: keras.Model, folder: pathlib.Path, formats: Collection[str], image_shape: tuple[int, ...]) -> None:
    """Writes the files of some formats, each whole or not at all.

    All take `images` uint8 [n, height, width, channels] and compute in float32. `model.keras` gives logits [n, c];
    `model.tflite`, by its signature `serving_default`, and `model.onnx` give `logits` and `probabilities` float32
    [n, c] and `class_id` int64 [n].

    Args:
      network: functional `keras.Model`, images -> logits, with the normalisation inside.
      folder: where they go.
      formats: of `FILES`.
      image_shape: (height, width, channels).

    Raises:
      InputError: a file cannot be written, or a package is missing.
    """
    check_packages(formats)
    network = in_float32(network)
    if "keras" in formats:
        with whole_files.written(folder / FILES["keras"]) as fresh:
            network.save(fresh)
    if "tflite" in formats or "onnx" in formats:
        function = _function_of(network, image_shape)
        with _quiet():
            if "tflite" in formats:
                # The signatures of a file are kept only where the functions have an owner.
                converter = tf.lite.TFLiteConverter.from_concrete_functions([function], tf.Module())
                whole_files.write_bytes(folder / FILES["tflite"], converter.convert())
            if "onnx" in formats:
                whole_files.write_bytes(folder / FILES["onnx"], _onnx_of(function))


def _function_of(network, image_shape):
    """The network as a graph with its weights as constants, which both converters want."""
    trainable = [variable.numpy() for variable in network.trainable_variables]
    others = [variable.numpy() for variable in network.non_trainable_variables]

    @tf.function(input_signature=[tf.TensorSpec((None, *image_shape), tf.uint8, name="images")])
    def serve(images):
        constants = [tf.constant(value) for value in trainable], [tf.constant(value) for value in others]
        logits, _ = network.stateless_call(*constants, images, training=False)
        logits = tf.cast(logits, tf.float32)
        return {"logits": logits, "probabilities": tf.nn.softmax(logits), "class_id": tf.argmax(logits, axis=-1)}

    return serve.get_concrete_function()


def _onnx_of(function):
    import tf2onnx  # an optional package, which takes a second to import

    # Not tf2onnx's `from_function`, which takes the constants of the normalisation for inputs.
    outputs = {tensor.name: name for name, tensor in function.structured_outputs.items()}
    model, _ = tf2onnx.convert.from_graph_def(
        function.graph.as_graph_def(),
        input_names=["images:0"],
        output_names=list(outputs),
        tensors_to_rename={"images:0": "images"} | outputs,
    )
    return model.SerializeToString()


def load(path: pathlib.Path) -> Callable[[np.ndarray], np.ndarray]:
    """What a file of `write` says of images.

    Args:
      path: the file; its suffix tells the format.

    Returns:
      Function uint8 images [n, height, width, channels] -> probabilities float32 [n, c].
    """
    if path.suffix == ".keras":
        network = keras.saving.load_model(path, compile=False)
        return lambda images: tf.nn.softmax(network(images, training=False)).numpy()
    if path.suffix == ".onnx":
        import onnxruntime

        session = onnxruntime.InferenceSession(str(path), providers=["CPUExecutionProvider"])
        return lambda images: session.run(["probabilities"], {"images": images})[0]

    def interpret(images: np.ndarray) -> np.ndarray:
        with _quiet():
            plain = tf.lite.experimental.OpResolverType.BUILTIN_WITHOUT_DEFAULT_DELEGATES
            interpreter: Any = tf.lite.Interpreter(
                str(path), num_threads=os.cpu_count(), experimental_op_resolver_type=plain
            )
        interpreter.resize_tensor_input(interpreter.get_input_details()[0]["index"], images.shape)
        return interpreter.get_signature_runner("serving_default")(images=images)["probabilities"]

    return interpret


@dataclasses.dataclass(frozen=True)
class Agreement:
    """How far a file says the same as the network that it was made of.

    Attributes:
      images: number of images that both were asked about.
      same_class: number of those for which both name the same class.
      largest_difference: of a probability.
    """

    images: int
    same_class: int
    largest_difference: float

    def __str__(self) -> str:
        return (
            f"the same class for {self.same_class} of {self.images} images, probabilities differ by at most "
            f"{self.largest_difference:.1e}"
        )


def agreement(path: pathlib.Path, images: np.ndarray, probabilities: np.ndarray) -> Agreement:
    """Asks a file of `write` about images.

    Args:
      path: the file.
      images: uint8 [n, height, width, channels].
      probabilities: float32 [n, c], what the network says of them in float32.

    Raises:
      InputError: it says something else; the file is removed.
    """
    said = load(path)(images)
    found = Agreement(
        len(images),
        int((said.argmax(axis=1) == probabilities.argmax(axis=1)).sum()),
        float(np.abs(said - probabilities).max()),
    )
    if not found.largest_difference <= _MOST_DIFFERENCE:
        path.unlink()
        raise errors.InputError(
            f"{path}: {found}; expected at most {_MOST_DIFFERENCE:.0e}, so it is not kept; the SavedModel beside it is"
        )
    return found


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """Silences what the converters say about themselves: deprecations of their own parts, and each pass."""
    loggers = [logging.getLogger(name) for name in ("tensorflow", "tf2onnx", "absl")]
    levels = [logger.level for logger in loggers]
    try:
        for logger in loggers:
            logger.setLevel(logging.ERROR)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        for logger, level in zip(loggers, levels, strict=True):
            logger.setLevel(level)
