"""How many gates the learned sampler has on, and which, in the first hundreds of steps of a deep network.

    python -m benchmarks.gates resnet50
    python -m benchmarks.gates dense --trained=300 --objective=paper

scikit-learn's digits, scaled to 32x32, 60% of the labels redrawn, so many images in each batch. `dense` has 40 layers
of 256 units with BatchNorm: 81 gates. With --trained=n the network is trained n steps before the sampler's first. For
each 20 steps: mean number of gates on, mean lowest layer and the share of the network's cost above it.
"""

import argparse
import pathlib
import sys

import keras
import numpy as np
import tensorflow as tf
from sklearn import datasets

import famus_tf
from benchmarks.record import Record
from famus_tf import networks
from famus_tf.config import command_line
from famus_tf.errors import InputError
from famus_tf.files import closed_pipe
from famus_tf.meta import selectors
from famus_tf.reports import compare as table

WINDOW = 20
_SIZE = 32


def dense_network(depth=40, units=256):
    """Depth times Dense - BatchNormalization - ReLU and a classifier, on 32x32x3 images."""
    x = image = keras.Input((_SIZE, _SIZE, 3))
    x = keras.layers.Flatten()(keras.layers.Rescaling(1 / 16.0)(x))
    for number in range(depth):
        x = keras.layers.Dense(units, use_bias=False, name=f"dense{number}")(x)
        x = keras.layers.ReLU()(keras.layers.BatchNormalization(name=f"norm{number}")(x))
    return keras.Model(image, keras.layers.Dense(10, name="classifier")(x), name="dense")


def batches(batch_size, seed):
    """Endless pairs of batches of digits, 60% of the training labels redrawn; the last 500 images are trusted."""
    images, labels = datasets.load_digits(return_X_y=True)
    images = images.reshape(-1, 8, 8).repeat(_SIZE // 8, axis=1).repeat(_SIZE // 8, axis=2)
    images = np.repeat(images[..., np.newaxis], 3, axis=-1).astype(np.float32)
    rng = np.random.default_rng(seed)
    given = np.where(rng.random(len(labels)) < 0.6, rng.integers(0, 10, len(labels)), labels)
    trusted = len(labels) - 500
    while True:
        rows, meta_rows = rng.integers(0, trusted, batch_size), rng.integers(trusted, len(labels), batch_size)
        yield (images[rows], given[rows]), (images[meta_rows], labels[meta_rows])


def watch(network, objective, steps, trained, batch_size, expected_layers, seed):
    """Trains, and returns the gates of each of the `steps` steps behind the first `trained`.

    Returns:
      bool [steps, L], and the cost of reaching each layer, float [L].
    """
    keras.utils.set_random_seed(seed)
    made = (
        dense_network() if network == "dense" else networks.build(network, (_SIZE, _SIZE, 3), 10, [8.0] * 3, [6.0] * 3)
    )
    method = famus_tf.FaMUS(
        made,
        selector=famus_tf.GradientSampler(expected_layers, seed=seed, objective=objective),
        weight_decay=5e-4,
        meta_from=trained,
    )
    method.compile(keras.optimizers.SGD(0.1 if network == "dense" else 0.02, momentum=0.9))
    step = {
        kind: tf.function(lambda data, kind=kind: method.step(data, with_meta=kind), autograph=False)
        for kind in (False, True)
    }
    gates = []
    for number, batch in zip(range(trained + steps), batches(batch_size, seed), strict=False):
        records = step[number >= trained](tf.nest.map_structure(tf.constant, batch))
        if number >= trained:
            gates.append(records["gates"].numpy() > 0.5)
    return np.array(gates), np.array([layer.cost for layer in method.gated_layers])


def describe(gates, costs):
    """Dict of `windows`, the figures of each 20 steps, `different_sets` of the last 200 and `empty_after_50`, steps."""
    windows = []
    reached = np.where(gates.any(axis=1), (gates * costs).max(axis=1), 0.0)
    for start in range(0, len(gates) - WINDOW + 1, WINDOW):
        part = gates[start : start + WINDOW]
        windows.append(
            {
                "first_step": start,
                "gates": float(part.sum(axis=1).mean()),
                "lowest_layer": float(np.where(part.any(axis=1), part.argmax(axis=1), part.shape[1]).mean()),
                "cost": float(reached[start : start + WINDOW].mean()),
            }
        )
    return {
        "layers": gates.shape[1],
        "windows": windows,
        "different_sets": len(np.unique(gates[-200:], axis=0)),
        "empty_after_50": int((~gates[50:].any(axis=1)).sum()),
    }


def main(argv=None):
    """Runs one command line and returns the exit status: 2 for a mistake in it."""
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.gates", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("network", help="dense, or a name of --network")
    parser.add_argument("--objective", choices=selectors.OBJECTIVES, default=selectors.OBJECTIVES[0])
    parser.add_argument("--steps", type=int, default=300, help="of the sampler (default %(default)s)")
    parser.add_argument("--trained", type=int, default=0, help="steps before these (default %(default)s)")
    parser.add_argument("--batch_size", type=int, default=8, help="of both batches (default %(default)s)")
    parser.add_argument("--expected_layers", type=int, default=4, help="K (default %(default)s)")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--json", type=pathlib.Path, help="file to write")
    arguments = parser.parse_args(argv)
    record = Record(arguments)
    try:
        if arguments.network != "dense" and arguments.network not in networks.BUILDERS:
            raise InputError(f"{arguments.network}: expected dense, {', '.join(networks.BUILDERS)}")
        if min(arguments.batch_size, arguments.expected_layers) < 1 or arguments.trained < 0:
            raise InputError("--batch_size, --expected_layers: expected 1 or more, --trained 0 or more")
        if arguments.steps < WINDOW:
            raise InputError(f"--steps={arguments.steps}: expected {WINDOW} or more, over which gates are counted")
        options = vars(arguments)
        names = ("network", "objective", "steps", "trained", "batch_size", "expected_layers", "seed")
        results = describe(*watch(**{name: options[name] for name in names}))
        if arguments.json:
            record.write(arguments.json, **results)
    except (InputError, OSError) as error:
        print(f"gates: error: {command_line.with_flags(str(error))}", file=sys.stderr)
        return 2
    head = ["steps from", "gates on", f"lowest of {results['layers']} layers", "cost above it"]
    rows = [
        [str(one["first_step"]), f"{one['gates']:.1f}", f"{one['lowest_layer']:.0f}", f"{one['cost']:.2f}"]
        for one in results["windows"]
    ]
    print(table.format_table([head, *rows], markdown=True))
    print(f"different sets in the last {min(arguments.steps, 200)} steps: {results['different_sets']}")
    if arguments.steps > 50:
        print(f"nothing on after step 50: {results['empty_after_50']} times")
    return 0


if __name__ == "__main__":
    sys.exit(closed_pipe.status_of(main))
