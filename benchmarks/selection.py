"""Which layers can tell right labels from wrong ones while a network trains, and what can be seen of it without truth.

    python -m benchmarks.selection digits
    python -m benchmarks.selection fashion_mnist --noise=asymmetric --noise_rate=0.4

The data set's flags are those of its flag file, for CIFAR-10 those of flags/fashion_mnist.cfg with 10,000 images,
50 + 50 in a step and 20 epochs; further flags are those of `famus_tf.main` and override them. Human labels:
--noise=file --noise_rate=0 --noise_file=CIFAR-10_human.pt --noise_key=worse_label. After each of `--at` epochs training
pauses, and these are means over `--batches` pairs of batches, of each layer, of each segment and of some sets of
layers, for the scores s_li = <u_l, g_li> of the training examples:
  auc                      of the scores for right against wrong labels; null where nobody knows
  repeatability            correlation of the scores by two halves of the meta batch; no truth is needed
  repeatability_per_class  the same, each class's mean score taken out
  repeatability_theta      that of the gradient of theta which follows from the scores; of MW-Net
  product                  <u_l, g_l>, g of the mean loss: what the paper's sampler sees
  share                    of the root mean squares of all layers' scores
and of the sampler's gradient the norms over the gates of its three parts, by the paper's objective and by ours.
"""

import argparse
import dataclasses
import pathlib
import sys

import keras
import numpy as np
import tensorflow as tf

from benchmarks import paused, selection_picture, selection_sampler, studies
from benchmarks.record import Record, own_folder
from famus_tf.config import command_line
from famus_tf.config.method import METHODS
from famus_tf.errors import InputError
from famus_tf.files import closed_pipe
from famus_tf.meta import learners, objectives, repeatability, selectors
from famus_tf.reports import compare as table

_CIFAR10 = ("--dataset=cifar10", "--train_limit=10000", "--epochs=20", "--batch_size=50", "--meta_batch_size=50")
SETTINGS = {
    "digits": ("--flagfile=flags/digits.cfg", *studies.COMMON["digits"]),
    "fashion_mnist": ("--flagfile=flags/fashion_mnist.cfg", *studies.COMMON["fashion_mnist"]),
    "cifar10": ("--flagfile=flags/fashion_mnist.cfg", "--method=mw_net", *_CIFAR10),
}
_PAUSES = 8


def auc(scores, is_right):
    """The probability that a right label has a higher score than a wrong one, ties half.

    Args:
      scores: float [n, k].
      is_right: bool [n].

    Returns:
      float [k]; NaN where all labels are alike.
    """
    right, wrong = scores[is_right], scores[~is_right]
    if not len(right) or not len(wrong):
        return np.full(scores.shape[1], np.nan)
    above = (right[:, np.newaxis] > wrong).mean((0, 1))
    return above + 0.5 * (right[:, np.newaxis] == wrong).mean((0, 1))


def rank_correlation(one, other):
    """Spearman's correlation of two lists of numbers; None where one is constant or has a NaN."""
    ranks = [np.argsort(np.argsort(values)) for values in (one, other)]
    if any(np.isnan(values).any() or np.ptp(values) == 0 for values in (one, other)):
        return None
    return float(np.corrcoef(*ranks)[0, 1])


class Measured:
    """The scores of all layers in several pairs of batches at the same weights.

    Args:
      first, second: float [B, n, L], the scores by either half of the meta batch.
      labels: int [B, n], given labels.
      is_right: bool [B, n]; None where nobody knows.
      weight_gradients: float [B, n, P], of each example's weight by theta; None without such.
    """

    def __init__(self, first, second, labels, is_right, weight_gradients=None):
        self._halves = first.astype(np.float64), second.astype(np.float64)
        self._labels = labels
        self._is_right = is_right
        self._weight_gradients = weight_gradients

    def figures(self, sets):
        """The figures of the module's docstring but `share`, for the sums of scores over some sets of layers.

        Args:
          sets: bool [k, L].

        Returns:
          Dict name -> list of k numbers; `auc` is None where nobody knows, `repeatability_theta` without theta.
        """
        sums = [one @ np.asarray(sets, np.float64).T for one in self._halves]  # [B, n, k]
        whole = sums[0] + sums[1]
        found = {"auc": None}
        if self._is_right is not None:
            found["auc"] = np.nanmean([auc(*pair) for pair in zip(whole, self._is_right, strict=True)], axis=0).tolist()
        for name, per_class in (("repeatability", False), ("repeatability_per_class", True)):
            means = self._moments(sums, per_class)
            found[name] = repeatability.of_layers(*means).numpy().tolist()
        found["repeatability_theta"] = self._of_theta(sums)
        found["product"] = whole.mean((0, 1)).tolist()
        return found

    def _of_theta(self, sums):
        """2 <a, b> / (|a|^2 + |b|^2), a and b the halves' gradients of theta, summed over the batches; list of k."""
        if self._weight_gradients is None:
            return None
        first, second = (np.einsum("bnk,bnp->bkp", one, self._weight_gradients) for one in sums)
        sizes = np.square(first).sum((0, 2)) + np.square(second).sum((0, 2))
        return (2.0 * (first * second).sum((0, 2)) / np.maximum(sizes, 1e-300)).tolist()

    def shares(self):
        """Each layer's share of the root mean squares of all layers' scores, list of L numbers."""
        sizes = np.sqrt(np.square(self._halves[0] + self._halves[1]).mean((0, 1)))
        return (sizes / max(sizes.sum(), 1e-30)).tolist()

    def chosen(self, layers, per_class=False):
        """The set that `AgreementSelector` would choose by these measurements, bool [L]."""
        segments = [layer.segment for layer in layers]
        costs = [layer.cost for layer in layers]
        moments = self._moments(self._halves, per_class)
        price = selectors.AgreementSelector().price
        return repeatability.choose(*moments, segments, tf.constant(costs), price).numpy() > 0.5

    def sampled(self, layers):
        """The set that a Gumbel-softmax sampler would learn from the same measurements, bool [L]."""
        moments = self._moments(self._halves, per_class=False)
        price = selectors.AgreementSelector().price
        return selection_sampler.learnt(*moments, [layer.cost for layer in layers], price)

    def _moments(self, halves, per_class):
        classes = int(self._labels.max()) + 1 if per_class else 1
        labels = self._labels if per_class else np.zeros_like(self._labels)
        each = [
            repeatability.moments(tf.constant(first), tf.constant(second), tf.one_hot(ids, classes, dtype=tf.float64))
            for first, second, ids in zip(*halves, labels, strict=True)
        ]
        return [tf.reduce_mean(tf.stack(parts), axis=0) for parts in zip(*each, strict=True)]


def make_measure(method, dataset, batches):
    """The function () -> `Measured` of a method at its present weights, which leaves it as it is.

    Args:
      method: a compiled `famus_tf.FaMUS` with a meta step.
      dataset: `data.dataset.Dataset`.
      batches: list of pairs of a training batch (images, labels, index) and a meta batch.
    """

    @tf.function(autograph=False)
    def scores(training, meta):
        return *method.layer_scores(*training[:2], *meta[:2]), weight_gradients(training)

    def weight_gradients(training):
        learner = method.meta_learner
        if not has_theta:
            return tf.zeros([])
        theta = learner.parameters(None)
        with keras.StatelessScope():  # BatchNorm's means stay
            logits = method.network(training[0], training=True)
        with tf.GradientTape() as tape:
            tape.watch(theta)
            weights = learner.example_weights(logits, training[1], theta)
        parts = tape.jacobian(weights, theta)
        return tf.concat([tf.reshape(part, [tf.shape(weights)[0], -1]) for part in parts], axis=1)

    has_theta = type(method.meta_learner) is learners.MWNet
    index = np.stack([training[2].numpy() for training, _ in batches])
    labels = dataset.train_labels[index]
    truth = dataset.train_true_labels
    is_right = None if truth is None else labels == truth[index]

    def measure():
        first, second, gradients = (np.stack(parts) for parts in zip(*(scores(*pair) for pair in batches), strict=True))
        return Measured(first, second, labels, is_right, gradients if has_theta else None)

    return measure


def describe(measured, method):
    """All figures at one pause, a dict that JSON can hold."""
    layers = method.gated_layers
    segments = sorted({layer.segment for layer in layers})
    by_layer = measured.figures(np.eye(len(layers), dtype=bool)) | {"share": measured.shares()}
    in_segment = [[layer.segment == segment for layer in layers] for segment in segments]
    last_block = next((layer.block for layer in reversed(layers) if layer.block), None)
    sets = {
        "all layers": [True] * len(layers),
        "last block": [layer.block == last_block for layer in layers],
        "classifier": [layer is layers[-1] for layer in layers],
        "largest product": np.arange(len(layers)) == np.argmax(by_layer["product"]),
        "repeats best": np.arange(len(layers)) == np.argmax(by_layer["repeatability"]),
        "repeats best per class": np.arange(len(layers)) == np.argmax(by_layer["repeatability_per_class"]),
        "agreement": measured.chosen(layers),
        "agreement per class": measured.chosen(layers, per_class=True),
        "sampler on repeatability": measured.sampled(layers),
    }
    if by_layer["auc"] is not None:
        sets["best by the truth"] = np.arange(len(layers)) == np.nanargmax(by_layer["auc"])
    figures = measured.figures(np.array(list(sets.values())))
    rows = {}
    for number, (name, chosen) in enumerate(sets.items()):
        values = {key: value and value[number] for key, value in figures.items()}
        values["cost"] = max((layers[one].cost for one in np.flatnonzero(chosen)), default=0.0)
        rows[name] = {"layers": [layers[one].name for one in np.flatnonzero(chosen)], **values}
    signals = ("repeatability", "repeatability_per_class", "repeatability_theta", "product")
    truth = by_layer["auc"]
    seen = [name for name in signals if by_layer[name]]
    ranks = {name: rank_correlation(by_layer[name], truth) for name in seen} if truth else None
    return {
        "layers": by_layer,
        "segments": {"segment": segments, **measured.figures(in_segment)},
        "sets": rows,
        "rank_correlation_with_auc": ranks,
    }


def sampler_gradient(config, method, products, records):
    """Norms over the gates of the three parts of the sampler's gradient, by each objective of `GradientSampler`.

    Args:
      config: `config.Config`.
      method: the `famus_tf.FaMUS`.
      products: list of L numbers, <u_l, g_l>.
      records: list of the records of the last steps, whose gates L_r and L_cost see.

    Returns:
      Dict objective -> dict of the norms of L_r, L_cost and L_c.
    """
    flags = config.method
    costs = tf.constant([layer.cost for layer in method.gated_layers])
    gates = tf.constant([record["gates"] for record in records if "gates" in record])
    scaled = np.array(products) / max(np.abs(products).max(), 1e-30)
    of_loss = {"paper": last_rate(method.optimizer) * np.array(products), "scale_free": selectors.LOSS_SHARE * scaled}
    found = {}
    for objective in selectors.OBJECTIVES:
        selector = selectors.GradientSampler(flags.expected_layers, objective=objective)
        parts = {
            "L_r": lambda r: flags.lambda_r * objectives.expected_layers_loss(r, flags.expected_layers),
            "L_cost": lambda r, of=selector.cost: flags.lambda_cost * of(r, costs),
        }
        norms = {name: np.mean([_gradient_norm(part, r) for r in gates] or [0.0]) for name, part in parts.items()}
        norms |= {"L_c": np.linalg.norm(of_loss[objective])}
        found[objective] = {name: float(norm) for name, norm in norms.items()}
    return found


def _gradient_norm(function, r):
    with tf.GradientTape() as tape:
        tape.watch(r)
        value = function(r)
    return np.linalg.norm(tape.gradient(value, r))


def last_rate(optimizer):
    """alpha in the last step; where a schedule has come to its end the next one's is 0."""
    rate = optimizer._learning_rate
    return float(rate(optimizer.iterations - 1) if callable(rate) else rate)


def measure(config, epochs, count):
    """Trains as `config` says, and measures after each of `epochs`.

    Args:
      config: `config.Config` of a method with a meta step.
      epochs: increasing list of int; None for some, spread over the run.
      count: B, pairs of batches at each.

    Returns:
      Dict: `layers`, a dict of `name`, `segment`, `cost` and `block` for each; `pauses`, for each a dict of `epoch`,
      `step`, what `describe` returns, and `sampler_gradient`.
    """
    run = paused.PausedRun(config)
    last = run.epochs
    epochs = epochs or sorted({*np.linspace(1, last, min(last, _PAUSES)).round().astype(int).tolist()})
    training = run.train_epochs(epochs)
    method = run.method
    look = make_measure(method, run.dataset, run.batches_behind_the_end(count))
    pauses = []
    for epoch, step, records in training:
        found = describe(look(), method)
        parts = sampler_gradient(config, method, found["layers"]["product"], records)
        pauses.append({"epoch": epoch, "step": step, **found, "sampler_gradient": parts})
        print(f"epoch {epoch} of {epochs[-1]}", file=sys.stderr, flush=True)
    names = ("name", "segment", "cost", "block")
    return {
        "layers": [{name: getattr(layer, name) for name in names} for layer in method.gated_layers],
        "pauses": pauses,
    }


def main(argv=None):
    """Runs one command line and returns the exit status: 2 for a mistake in it."""
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.selection", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("dataset", choices=tuple(SETTINGS))
    parser.add_argument("--at", default="", help="epochs joined by commas (default: eight, spread over the run)")
    parser.add_argument("--batches", type=int, default=20, help="pairs of batches each time (default %(default)s)")
    where = "(default: runs/studies/selection_<data set>_<noise>[_<network>]"
    parser.add_argument("--json", type=pathlib.Path, help=f"file to write {where}.json)")
    parser.add_argument("--plot", type=pathlib.Path, help=f"PNG file to write {where}.png)")
    arguments, others = parser.parse_known_args(argv)
    record = Record(argparse.Namespace(**vars(arguments), flags=others))
    try:
        texts = arguments.at.split(",") if arguments.at else []
        if not all(text.isdecimal() and int(text) > 0 for text in texts) or arguments.batches < 1:
            raise InputError(f"--at={arguments.at}, --batches={arguments.batches}: expected positive whole numbers")
        config = command_line.read_config(["famus_tf.main", *SETTINGS[arguments.dataset], *others])
        kind = METHODS[config.method.method]
        if not kind.needs_meta_set or kind.networks > 1 or config.co_divide.meta_set != "clean":
            raise InputError("expected a --method of one network with a meta step, and --meta_set=clean")
        config = dataclasses.replace(config, run=dataclasses.replace(config.run, dtype_policy="float32"))
        name = f"selection_{arguments.dataset}_{'human' if config.data.noise == 'file' else config.data.noise}"
        name += "" if config.run.network == "small_preact" else f"_{pathlib.Path(config.run.network).stem}"
        results = measure(config, sorted(map(int, texts)), arguments.batches)
        folder = own_folder()
        record.write(arguments.json or folder / f"{name}.json", **results)
        selection_picture.draw(arguments.plot or folder / f"{name}.png", results, name.replace("_", " "))
    except (InputError, OSError) as error:
        print(f"selection: error: {command_line.with_flags(str(error))}", file=sys.stderr)
        return 2
    print(_table(results["pauses"]))
    return 0


def _table(pauses):
    """AUC (repeatability) of each set over the epochs."""
    head = ["AUC (repeatability) at epoch", *(str(pause["epoch"]) for pause in pauses)]
    rows = []
    for name in pauses[0]["sets"]:
        cells = [pause["sets"][name] for pause in pauses]
        rows.append([name, *(f"{_digits(cell['auc'])} ({_digits(cell['repeatability'])})" for cell in cells)])
    return table.format_table([head, *rows], markdown=True)


def _digits(value):
    return "n/a" if value is None else f"{value:.3f}"


if __name__ == "__main__":
    sys.exit(closed_pipe.status_of(main))
