"""Writes a trained network as a SavedModel that takes raw uint8 images, its preprocessing inside."""

import json
import pathlib
import shutil

import keras
import tensorflow as tf

from famus_tf import errors
from famus_tf.files import whole_files

_CLASS_NAMES = "class_names.json"
_DATA = "data.json"


def export(network, path, image_shape, class_names, data=None):
    """Exports `network` with the signature `serving_default`: images -> logits, probabilities and class id.

    The folder appears whole or not at all: an interrupted export, or one for which there is no room, leaves the last
    one in place.

    Args:
      network: functional `keras.Model`, images -> logits, with the normalisation inside.
      path: folder to write; an older export there is replaced.
      image_shape: (height, width, channels) of the uint8 images that it will take, in any batch size.
      class_names: names of the classes, written to `class_names.json` in that folder.
      data: dict that JSON can hold, what the network was trained on, written to `data.json` there; None: not known.

    Raises:
      InputError: it cannot be written.
    """
    path = pathlib.Path(path)
    fresh = path.with_name(path.name + ".partial")
    shutil.rmtree(fresh, ignore_errors=True)
    consequence = "the checkpoints have the network; once that is mended the same command writes it"
    with whole_files.explained(path, consequence):
        try:
            _write(network, fresh, image_shape)
            (fresh / _CLASS_NAMES).write_text(json.dumps(list(class_names), ensure_ascii=False) + "\n", "utf-8")
            if data is not None:
                whole_files.write_json(fresh / _DATA, data)
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


def _write(network, fresh, image_shape):
    archive = keras.export.ExportArchive()
    archive.track(network)

    def serve(images):
        logits = network(images, training=False)
        return {
            "logits": logits,
            "probabilities": tf.nn.softmax(logits),
            "class_id": tf.argmax(logits, axis=-1),
        }

    signature = [tf.TensorSpec((None, *image_shape), tf.uint8, name="images")]
    archive.add_endpoint("serving_default", serve, input_signature=signature)
    archive.write_out(str(fresh), verbose=False)
