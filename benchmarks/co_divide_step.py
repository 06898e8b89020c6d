"""The cost of a step of Algorithm 2 against plain training with the same forward passes, and where the time goes.

    python -m benchmarks.co_divide_step --network=preact_resnet18 --image_size=32 --batch_size=8 --rounds=7

A step takes n labelled and n unlabelled images, two views of each: the networks guess labels for them, the views are
mixed, and one network trains on 4 n images. The reference is that plain training step, on images and labels that are
there already, with the guesses' forward passes: what any training of this kind has to do. All are timed alternately in
one process. `--batch_size` is n, `--meta_batch_size` m (0: n), of which there are two views as well.
"""

import functools
import statistics
import sys

import keras
import matplotlib.figure
import numpy as np
import tensorflow as tf

import famus_tf
from benchmarks import command, mode_steps, modes, pools, timing
from benchmarks import settings as settings_module
from benchmarks.record import Record
from famus_tf import losses
from famus_tf.config.co_divide import CoDivideConfig
from famus_tf.devices import strategy as strategies
from famus_tf.files import closed_pipe
from famus_tf.losses import dividemix as semi_supervised_losses
from famus_tf.methods import co_divide, mixmatch
from famus_tf.reports import compare as table
from famus_tf.training import step as steps

# The meta-learner and the selector of each way of training; the first is DivideMix, which has no meta step.
_LEARNERS = {
    "DivideMix (no meta step)": (famus_tf.CrossEntropy, famus_tf.AllLayers),
    "MW-Net exact": (famus_tf.MWNet, famus_tf.AllLayers),
    "FaMUS, gates at the last block": (famus_tf.MWNet, functools.partial(modes.PinnedSampler, -2)),
}
# Those whose time is split up.
_SHOWN = tuple(_LEARNERS)[1:]


class Piece:
    """A part of a step that is run by itself.

    Args:
      function: compiled, of no arguments; its result is waited for.
    """

    period = 1

    def __init__(self, function):
        self._function = function

    def step(self):
        """Runs it once, finished when this returns."""
        tf.nest.map_structure(lambda value: value.numpy(), self._function())


def make_pieces(settings):
    """The steps and parts of steps that are compared.

    Args:
      settings: `settings.Settings`.

    Returns:
      Dict name -> `Piece`; "plain" is the training step on 4 n images alone, "reference" that with the guesses.
    """
    strategy = strategies.make_strategy("one_device")
    n = settings.batch_size
    m = settings.meta_size()
    batch, meta = _raw_batches(settings, n, m)
    pieces = {}
    compiled = {}
    for name, (learner, selector) in _LEARNERS.items():
        with strategy.scope():
            methods = [_method(settings, learner(loss=losses.SemiSupervised()), selector()) for _ in range(2)]
        prepare = co_divide.make_prepare(methods, 0, CoDivideConfig(), seed=0)
        step = steps.compile_step(strategy, methods[0], prepare=prepare)
        trusted = meta if methods[0].meta_learner.has_meta_step else None
        pieces[name] = Piece(functools.partial(_loss_of, step, batch, trusted))
        compiled[name] = methods, prepare
    methods, prepare = compiled["MW-Net exact"]
    guesses = _compiled(strategy, lambda: _guess([method.network for method in methods], batch, meta))
    pieces["label guessing"] = Piece(guesses)
    pieces["label guessing, refinement and MixUp"] = Piece(_compiled(strategy, lambda: prepare(batch, meta)))
    plain = _plain_step(settings, 4 * n)
    pieces["plain"] = Piece(plain)
    pieces["reference"] = Piece(lambda: (plain(), guesses()))
    return pieces


def _raw_batches(settings, n, m):
    images, labels, index = pools.make(
        settings.pool, settings.image_shape, settings.classes, settings.seed, wrong_labels=True
    )

    def views(rows):
        return tf.constant(np.stack([images[rows], images[rows][:, :, ::-1]], axis=1))

    def labelled(rows):
        probability = tf.fill([len(rows)], tf.constant(0.9))
        return mixmatch.Labelled(views(rows), tf.constant(labels[rows]), probability, tf.constant(index[rows]))

    first, second, third = np.split(np.arange(2 * n + m) % len(labels), [n, 2 * n])
    unlabelled = mixmatch.Unlabelled(views(second), tf.constant(index[second]))
    return mixmatch.TrainingBatch(labelled(first), unlabelled, tf.constant(1.0)), labelled(third)


def _method(settings, learner, selector):
    method = famus_tf.FaMUS(
        mode_steps.build_network(settings, "float32"),
        meta_learner=learner,
        selector=selector,
        lambda_cost=settings.lambda_cost,
        validation_loss=semi_supervised_losses.validation_loss(1.0),
    )
    method.compile(keras.optimizers.SGD(settings.learning_rate, momentum=0.9))
    return method


def _loss_of(step, batch, meta):
    records, _ = step(batch, meta)
    return steps.gather(records) and tf.constant(0.0)


def _compiled(strategy, function):
    return tf.function(lambda: strategy.run(function), autograph=False)


def _guess(networks, batch, meta):
    """The forward passes of a step's guesses: the trained network on all images, the other on the unlabelled ones."""
    images = tf.concat([_flat(batch.labelled.images), _flat(batch.unlabelled.images)], axis=0)
    logits = [networks[0](images, training=True), networks[0](_flat(meta.images), training=True)]
    return [*logits, networks[1](_flat(batch.unlabelled.images), training=False)]


def _flat(images):
    return tf.reshape(images, [-1, *images.shape[2:]])


def _plain_step(settings, size):
    """Plain Keras training on mixed images and labels, `size` of them, which are there already."""
    network = mode_steps.build_network(settings, "float32")
    optimizer = keras.optimizers.SGD(settings.learning_rate, momentum=0.9)
    optimizer.build(network.trainable_variables)
    rng = np.random.default_rng(0)
    images = tf.constant(rng.uniform(0, 255, (size, *settings.image_shape)).astype(np.float32))
    targets = tf.constant(rng.dirichlet(np.ones(settings.classes), size).astype(np.float32))
    loss = keras.losses.CategoricalCrossentropy(from_logits=True)

    @tf.function(autograph=False)
    def step():
        with tf.GradientTape() as tape:
            value = loss(targets, network(images, training=True))
        variables = network.trainable_variables
        optimizer.apply(tape.gradient(value, [v.value for v in variables]), variables)
        return value

    return step


def measure(settings, rounds, sample_seconds):
    """Times all pieces alternately.

    Returns:
      Dict name -> dict of `median_seconds`, the raw `seconds`, and `ratio` to the reference (`timing.ratio`).
    """
    pieces = make_pieces(settings)
    counts = {}
    for name, piece in pieces.items():
        timing.sample(piece, timing.WARM_STEPS)
        counts[name] = timing.steps_per_sample(piece, sample_seconds)
        print(f"{name}: ready", file=sys.stderr, flush=True)
    times = timing.rounds(pieces, counts, rounds)
    return {
        name: {
            "median_seconds": statistics.median(series.seconds),
            "seconds": series.seconds,
            "cpu_seconds": series.cpu_seconds,
            "ratio": timing.ratio(series.seconds, times["reference"].seconds),
        }
        for name, series in times.items()
    }


def report(results):
    """Two Markdown tables: whole steps with their ratios to the reference, and the parts of MW-Net's exact step."""
    lines = [("step", "ms", "ratio to plain with the same guesses", "quartiles")]
    for name in ("plain", "reference", *_LEARNERS):
        result = results[name]
        ratio = result["ratio"]
        label = {"plain": "plain training of the 4 n images", "reference": "the same with the guesses' forward passes"}
        lines.append(
            (
                label.get(name, name),
                f"{1000 * result['median_seconds']:.0f}",
                f"{ratio['median']:.2f}",
                f"{ratio['low']:.2f} - {ratio['high']:.2f}",
            )
        )
    head = ["part of a step"]
    for name in _SHOWN:
        head += [f"ms of {name}", "share"]
    parts = [head]
    for label, values in parts_of_steps(results).items():
        row = [label]
        for name, seconds in zip(_SHOWN, values, strict=True):
            row += [f"{1000 * seconds:.0f}", f"{seconds / results[name]['median_seconds']:.0%}"]
        parts.append(row)
    return f"{table.format_table(lines, markdown=True)}\n\n{table.format_table(parts, markdown=True)}"


def parts_of_steps(results):
    """Where the time of the steps with a meta step goes: dict part -> seconds of each of `_SHOWN`."""
    medians = {name: result["median_seconds"] for name, result in results.items()}
    guessing = medians["label guessing"]
    plain = medians["plain"]
    mixing = medians["label guessing, refinement and MixUp"] - guessing
    return {
        "label guessing": [guessing] * len(_SHOWN),
        "refinement and MixUp": [mixing] * len(_SHOWN),
        "plain training of the 4 n images": [plain] * len(_SHOWN),
        "meta step (what is left)": [medians[name] - guessing - mixing - plain for name in _SHOWN],
    }


def draw(path, results, title):
    """Draws the parts of the steps as stacked bars into a PNG file."""
    figure = matplotlib.figure.Figure(figsize=(8, 3.0), layout="constrained")
    axis = figure.subplots()
    left = np.zeros(len(_SHOWN))
    for label, values in parts_of_steps(results).items():
        axis.barh(_SHOWN, 1000 * np.array(values), left=left, label=label)
        left += 1000 * np.array(values)
    axis.axvline(1000 * results["reference"]["median_seconds"], color="black", linestyle="--", label="plain + guesses")
    axis.set(xlabel="ms", title=title)
    figure.legend(loc="outside lower center", ncols=3, fontsize=8)
    figure.savefig(path, dpi=110)


def _run(arguments):
    settings = settings_module.from_arguments(arguments)
    record = Record(arguments)
    results = measure(settings, arguments.rounds, arguments.sample_seconds)
    print(f"{settings.title()}: n = {settings.batch_size}, m = {settings.meta_size()}\n\n{report(results)}")
    if arguments.plot:
        draw(arguments.plot, results, settings.title())
    if arguments.json:
        record.write(arguments.json, results=results)


def main(argv=None):
    """Runs one command line (without the program's name) and returns the exit status."""
    parser = command.parser("benchmarks.co_divide_step", __doc__)
    parser.add_argument("--rounds", type=settings_module.positive, default=7, help="timings of each (default 7)")
    parser.add_argument("--sample_seconds", type=float, default=0.3, help="least length of one timing (default 0.3)")
    return command.run(parser, argv, _run)


if __name__ == "__main__":
    sys.exit(closed_pipe.status_of(main))
