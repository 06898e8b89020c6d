"""A user's own network from a `.keras` file, checked before anything is trained on it."""

import os
import pathlib
import zipfile

import keras

from famus_tf import errors
from famus_tf.networks import ends, logits

SUFFIX = ".keras"
# Weights hardly become smaller when they are packed; what becomes so many times as large holds something else.
_MOST_UNPACKED = 2**28
_MOST_TIMES = 4


def load(path, input_shape, num_classes, head="linear"):
    """Loads a functional network that `keras.Model.save` wrote, with its weights, at which training starts.

    Nothing is put in front of it: raw images, 0..255, go in, and normalising them is the network's own part. Its
    layers keep the dtype policies that were saved with them.

    Args:
      path: of the file.
      input_shape: (height, width, channels) of the images.
      num_classes: c.
      head: "cosine" where the last layer must be an `ends.CosineClassifier`, which the loss is made for.

    Returns:
      Functional `keras.Model`, images -> logits float32 [n, c].

    Raises:
      InputError: no such file, not readable as a Keras model, not functional, several inputs or outputs, or other
        images, classes or classifier than these.
    """
    option = f"option `network`={path}"
    network = read(path, option)
    _check_single(network, option)
    _check_input(network, option, input_shape)
    _check_output(network, option, num_classes)
    if head == "cosine" and not isinstance(network.outputs[0]._keras_history.operation, ends.CosineClassifier):
        raise errors.InputError(
            f"{option} with option `loss`=ldam: ends in layer {network.outputs[0]._keras_history.operation.name!r}; "
            "expected a famus_tf.CosineClassifier"
        )
    if network.outputs[0].dtype in ("float32", "float64"):
        return network
    result = keras.layers.Activation("linear", dtype="float32", name="float32_logits")(network.outputs[0])
    return keras.Model(network.inputs[0], result, name=network.name)


def read(path, option):
    """A Keras file's model, as it is.

    Args:
      path: of the file.
      option: the flag that names it, for sentences.

    Raises:
      InputError: no such file, damaged, or not readable as a Keras model.
    """
    if not pathlib.Path(path).is_file():
        raise errors.InputError(f"{option}: no such file; expected one that keras.Model.save wrote")
    if not zipfile.is_zipfile(path):
        raise errors.InputError(f"{option}: not a Keras file; expected one that keras.Model.save wrote")
    expected = "one that keras.Model.save wrote"
    # Keras reads the weights here and there, which checks no sums; HDF5 takes what it is given on trust.
    with errors.reading(option, expected), zipfile.ZipFile(path) as archive:
        unpacked = sum(member.file_size for member in archive.infolist())
        if unpacked > max(_MOST_UNPACKED, _MOST_TIMES * os.path.getsize(path)):
            raise errors.InputError(f"{option}: unpacks to {unpacked:,} bytes; refused: expected {expected}")
        damaged = archive.testzip()
        if damaged:
            raise errors.InputError(f"{option}: its part {damaged} is damaged; expected {expected}")
    try:
        return keras.saving.load_model(path, compile=False, safe_mode=True)
    except Exception as error:
        # A layer of the user's own whose class is not registered, a Lambda, a file of another Keras version; what is
        # damaged can end in almost anything.
        reason = str(error).strip().split("\n")[0]
        raise errors.InputError(f"{option}: Keras cannot load it ({reason})") from error


def _check_single(network, option):
    inputs, outputs = getattr(network, "inputs", None), getattr(network, "outputs", None)
    if not inputs or not outputs:
        raise errors.InputError(
            f"{option}: holds a {type(network).__name__} without a graph of layers; expected a functional keras.Model "
            "or a built keras.Sequential"
        )
    if len(inputs) != 1 or len(outputs) != 1:
        raise errors.InputError(
            f"{option}: has {len(inputs)} inputs and {len(outputs)} outputs; expected one of each, images -> logits"
        )


def _check_input(network, option, input_shape):
    takes = tuple(network.inputs[0].shape[1:])
    fits = len(takes) == len(input_shape) and all(
        size is None or size == given for size, given in zip(takes, input_shape, strict=True)
    )
    if not fits:
        raise errors.InputError(f"{option}: takes images of shape {takes}; the data set has {tuple(input_shape)}")


def _check_output(network, option, num_classes):
    gives = tuple(network.outputs[0].shape[1:])
    if gives != (num_classes,):
        raise errors.InputError(
            f"{option}: gives outputs of shape {gives}; expected ({num_classes},), one for each class"
        )
    end = logits.probability_end(network)
    if end:
        raise errors.InputError(f"{option}: ends in {end}, which gives probabilities; expected logits")
