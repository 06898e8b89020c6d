"""Where each network is cut, and one step of FaMUS on it at the size of its images.

python -m benchmarks.segments --json=benchmarks/results/segments.json
python -m benchmarks.segments --networks=resnet50 --image_size=64 --batch_size=2
"""

import argparse
import sys
import time

import keras
import numpy as np
import tensorflow as tf

import famus_tf
from benchmarks import record
from famus_tf import networks
from famus_tf.config import command_line
from famus_tf.errors import InputError
from famus_tf.files import closed_pipe
from famus_tf.reports import compare as table

# Height and width of the images that the paper and its references train each network on, and classes.
SIZES = {
    "small_preact": (28, 10),
    "preact_resnet18": (32, 10),
    "wrn40_2": (32, 10),
    "wrn28_10": (32, 10),
    "resnet32": (32, 10),
    "resnet50": (224, 14),
    "inception_resnet_v2": (299, 50),
}


def cut(name, image_size=0):
    """A method with the learned sampler on a network, and how it is cut.

    Args:
      name: a key of `SIZES`.
      image_size: height and width of the images; 0 for the network's own.

    Returns:
      (`famus_tf.FaMUS`, compiled; list of one dict for each segment with its `layers` and `gated_layers`, numbers, its
      `cost`, the share of the network's multiplications, and the name of its `last_layer`).
    """
    size, classes = SIZES[name]
    size = image_size or size
    network = networks.build(name, (size, size, 3), classes, [120.0] * 3, [60.0] * 3)
    method = famus_tf.FaMUS(network, selector=famus_tf.GradientSampler(expected_layers=4))
    method.compile(keras.optimizers.SGD(1e-3))
    rows = []
    for index, segment in enumerate(method.segments):
        rows.append(
            {
                "layers": len(segment.model.layers),
                "gated_layers": sum(layer.segment == index for layer in method.gated_layers),
                "cost": segment.cost,
                "last_layer": segment.model.outputs[0]._keras_history.operation.name,
            }
        )
    return method, rows


def one_step(method, batch_size):
    """One step of a method on random images.

    Returns:
      Dict of `seconds`, tracing included, `loss`, `meta_loss`, `selected` and `lowest_layer`.
    """
    rng = np.random.default_rng(0)
    shape = method.network.input_shape[1:]
    classes = method.network.output_shape[-1]

    def batch():
        images = rng.integers(0, 256, (batch_size, *shape)).astype(np.float32)
        return tf.constant(images), tf.constant(rng.integers(0, classes, batch_size))

    start = time.perf_counter()
    records = tf.function(method.step, autograph=False)((batch(), batch()))
    figures = {name: float(records[name]) for name in ("loss", "meta_loss", "lowest_layer")}
    selected = float(tf.reduce_sum(records["gates"]))
    return {"seconds": time.perf_counter() - start, "selected": selected, **figures}


def main(argv=None):
    """Runs one command line and returns the exit status."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.segments", description=__doc__.splitlines()[0])
    parser.add_argument("--networks", default=",".join(SIZES), help="names joined by commas (default: all)")
    parser.add_argument("--image_size", type=int, default=0, help="height and width; 0: each network's own")
    parser.add_argument("--batch_size", type=int, default=2, help="training images, and meta images, of the step")
    parser.add_argument("--json", help="file to write the figures to")
    arguments = parser.parse_args(argv)
    kept = record.Record(arguments)
    results = {}
    try:
        for name in arguments.networks.split(","):
            if name not in SIZES:
                raise InputError(f"--networks={name}: expected some of {', '.join(SIZES)}")
            method, rows = cut(name, arguments.image_size)
            step = one_step(method, arguments.batch_size)
            results[name] = {"input_shape": method.network.input_shape[1:], "segments": rows, "step": step}
            print(f"\n{name}, images of {'x'.join(map(str, method.network.input_shape[1:]))}:")
            header = ("segment", "layers", "gated layers", "share of the cost", "up to")
            lines = [
                (str(k), str(row["layers"]), str(row["gated_layers"]), f"{row['cost']:.1%}", row["last_layer"])
                for k, row in enumerate(rows)
            ]
            print(table.format_table([header, *lines], markdown=True))
            print(
                f"one step, tracing included: {step['seconds']:.1f} s, loss {step['loss']:.3f}, meta loss "
                f"{step['meta_loss']:.3f}, {step['selected']:.0f} of {len(method.gated_layers)} layers selected",
                flush=True,
            )
        if arguments.json:
            kept.write(arguments.json, results=results)
    except (InputError, OSError) as error:
        reason = f"--json={arguments.json}: {error.strerror}" if isinstance(error, OSError) else error
        print(f"benchmarks.segments: error: {command_line.with_flags(str(reason))}", file=sys.stderr)
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(closed_pipe.status_of(main))
