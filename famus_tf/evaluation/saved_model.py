"""Writes a trained network as a SavedModel that takes raw uint8 images, its preprocessing inside."""

import json
import pathlib
import shutil

import keras
import tensorflow as tf

from famus_tf import errors
from famus_tf.files import plain_text, whole_files

_CLASS_NAMES = "class_names.json"
_DATA = "data.json"
_TOP = 5
_ENCODED = tf.TensorSpec((None,), tf.string, name="encoded")


def export(network, path, image_shape, class_names, data=None, *, decode=None, metadata=None):
    """Exports `network` as a SavedModel that needs nothing but TensorFlow.

    Its signatures, each with a first dimension of any size:
      serving_default  `images` uint8 [n, height, width, channels]
      float_images     `images` float32 of the same shape, 0 to 255
      encoded_images   `encoded` string [n], the contents of JPEG or PNG files; where there is `decode`
    Each gives `logits` and `probabilities` float32 [n, c], `class_id` int64 [n], `class_name` string [n], and of the
    most likely classes, 5 or all there are, `top_class_ids`, `top_class_names` and `top_probabilities` [n, 5].

    The folder appears whole or not at all: an interrupted export, or one for which there is no room, leaves the last
    one in place.

    Args:
      network: functional `keras.Model`, images -> logits, with the normalisation inside.
      path: folder to write; an older export there is replaced.
      image_shape: (height, width, channels) of the images that it will take.
      class_names: names of the classes, written to `class_names.json` and, one to a line, to `labels.txt` there.
      data: dict that JSON can hold, what the network was trained on, written to `data.json` there; None: not known.
      decode: function of a file's content, a string scalar -> uint8 [height, width, channels], of TensorFlow's
        operations alone; None: no third signature.
      metadata: dict that JSON can hold, written to `metadata.json` there with the input and the classes; None: none.

    Raises:
      InputError: it cannot be written.
    """
    path = pathlib.Path(path)
    class_names = list(class_names)
    fresh = path.with_name(path.name + ".partial")
    shutil.rmtree(fresh, ignore_errors=True)
    consequence = "the checkpoints have the network; once that is mended the same command writes it"
    with whole_files.explained(path, consequence):
        try:
            signatures = _write(network, fresh, image_shape, class_names, decode)
            (fresh / _CLASS_NAMES).write_text(json.dumps(class_names, ensure_ascii=False) + "\n", "utf-8")
            (fresh / "labels.txt").write_text("".join(f"{plain_text.escaped(name)}\n" for name in class_names), "utf-8")
            if data is not None:
                whole_files.write_json(fresh / _DATA, data)
            if metadata is not None:
                height, width, channels = image_shape
                size = {"height": height, "width": width, "channels": channels, "values": "0 to 255"}
                about = {"input": size, "signatures": signatures, "classes": class_names}
                whole_files.write_json(fresh / "metadata.json", about | metadata)
            if path.exists():
                # Renamed, not removed bit by bit: of the old one and the new one there is always one that is whole.
                path.rename(fresh.with_suffix(".old"))
            fresh.rename(path)
        finally:
            for left in (fresh, fresh.with_suffix(".old")):
                shutil.rmtree(left, ignore_errors=True)


def class_names_of(path):
    """The names of the classes of an exported network, a list by class id; None where it does not say.

    Args:
      path: `pathlib.Path` of the folder that `export` wrote.

    Raises:
      InputError: its list of names is damaged.
    """
    names_file = path / _CLASS_NAMES
    if not names_file.exists():
        return None
    with errors.reading(names_file, "a list of class names, as the export has it"):
        names = json.loads(names_file.read_text(encoding="utf-8"))
        if not isinstance(names, list) or not all(isinstance(name, str) for name in names):
            raise ValueError("no list of texts")
    return names


def load_exported(path):
    """Loads an exported SavedModel.

    Args:
      path: the folder that `export` wrote.

    Returns:
      Function uint8 images [n, h, w, ch] -> logits [n, c].

    Raises:
      InputError: the folder holds no SavedModel, or one that was not made by `export`.
    """
    return _output_of(path, "logits")


def load_classifier(path):
    """An exported network as a function, and the names of its classes.

    Args:
      path: `pathlib.Path` of the folder that `export` wrote.

    Returns:
      Function uint8 images [n, height, width, channels] -> probabilities [n, c]; list of c names.

    Raises:
      InputError: there is no SavedModel, or none of ours.
    """
    probabilities, names = _output_of(path, "probabilities"), class_names_of(path)
    if names is None:
        raise errors.InputError(f"{path}: does not say which classes it has; expected an export of this program")
    return probabilities, names


def _output_of(path, name):
    """Function uint8 images -> that output of the signature `serving_default`."""
    try:
        loaded = tf.saved_model.load(str(path))
    except (OSError, ValueError, tf.errors.OpError) as error:
        inside = pathlib.Path(path, "export")
        there = f", though {inside} may be one" if inside.is_dir() else ""
        raise errors.InputError(
            f"{path}: no SavedModel to evaluate{there}; option `mode`=train or option `mode`=export makes one"
        ) from error
    signature = getattr(loaded, "signatures", {}).get("serving_default")
    if signature is None or name not in signature.structured_outputs:
        raise errors.InputError(f"{path}: expected a SavedModel with a signature 'serving_default' that gives {name!r}")

    def predict(images):
        return signature(images=images)[name]

    predict.model = loaded  # the signature holds the variables only weakly
    return predict


def preprocessing_of(path):
    """What is done to a file before an exported network sees it.

    Args:
      path: `pathlib.Path` of the folder that `export` wrote.

    Returns:
      Dict: `height`, `width` and `channels` of what it sees, `shorter_side`, `mode` and `bits` as in
      `data.images.image_files.Transform`.

    Raises:
      InputError: the export does not say, as those of earlier versions.
    """
    place = path / "metadata.json"
    if not place.exists():
        raise errors.InputError(
            f"{place}: not there; expected an export of this version: option `mode`=export writes it"
        )
    with errors.reading(place, "the metadata of an export"):
        about = json.loads(place.read_text(encoding="utf-8"))
        sizes = {name: int(about["input"][name]) for name in ("height", "width", "channels")}
        return sizes | {name: about["preprocessing"][name] for name in ("shorter_side", "mode", "bits")}


def _write(network, fresh, image_shape, class_names, decode):
    """Writes the SavedModel; returns the signatures' names."""
    archive = keras.export.ExportArchive()
    archive.track(network)
    names = tf.constant(class_names)
    count = min(_TOP, len(class_names))

    def serve(images):
        # The sides are not part of the signatures, which nobody would hold a caller to.
        shape = tf.shape(images)
        fits = tf.reduce_all(tf.equal(shape[1:], image_shape))
        message = ["found images of shape", shape, f"expected (n, {', '.join(map(str, image_shape))})"]
        with tf.control_dependencies([tf.debugging.Assert(fits, message, summarize=9)]):
            images = tf.ensure_shape(tf.identity(images), (None, *image_shape))
        logits = tf.cast(network(images, training=False), tf.float32)
        probabilities = tf.nn.softmax(logits)
        top, ids = tf.math.top_k(probabilities, count)
        best = tf.argmax(logits, axis=-1)
        return {
            "logits": logits,
            "probabilities": probabilities,
            "class_id": best,
            "class_name": tf.gather(names, best),
            "top_class_ids": ids,
            "top_class_names": tf.gather(names, ids),
            "top_probabilities": top,
        }

    any_size = (None,) * 4
    endpoints = {
        "serving_default": (serve, tf.TensorSpec(any_size, tf.uint8, name="images")),
        "float_images": (serve, tf.TensorSpec(any_size, tf.float32, name="images")),
    }
    if decode is not None:
        decode_all = _traced(decode, image_shape)
        endpoints["encoded_images"] = (lambda encoded: serve(decode_all(encoded)), _ENCODED)
    for name, (function, signature) in endpoints.items():
        archive.add_endpoint(name, function, input_signature=[signature])
    archive.write_out(str(fresh), verbose=False)
    return list(endpoints)


def _traced(decode, image_shape):
    """`decode` for a batch, traced here: what writes a signature would trace it twice, for seconds."""

    def decode_all(encoded):
        return tf.map_fn(decode, encoded, fn_output_signature=tf.TensorSpec(image_shape, tf.uint8))

    return tf.function(decode_all, autograph=False).get_concrete_function(_ENCODED)
