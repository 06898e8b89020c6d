"""Where the meta gradient pulls the mixture of what is remembered, by how many steps it looks ahead.

    python -m benchmarks.horizon fashion_mnist --noise=asymmetric --noise_rate=0.4

Trains `--method=memory_weight_net` as `benchmarks.selection` trains MW-Net, with the same data sets and further flags,
and pauses after each of `--at` epochs. There a, the mixture of the inputs, is put to its start, all inputs alike, and H
steps of SGD with momentum are made on further batches, weighed by the trust that follows from a. The validation loss of
a meta batch behind them is differentiated by a through all H steps, without any approximation. Of each H:
  pull    the mean of -d loss / d a over the windows, in units of its standard error
  auc     of the mixture for right against wrong labels when a has gone that way by `--step` of its length
beside the AUC of the start, of each input alone, of the mixture that the probes teach, and of Fisher's discriminant of
right against wrong labels, for which the truth is needed. "freed": the same with every example's loss gradient at the
logits scaled to the length 1, which is taken for a constant, so that examples with large gradients count no more than
others.
"""

import argparse
import pathlib
import sys

import numpy as np
import tensorflow as tf
from scipy import optimize

from benchmarks import paused, selection
from benchmarks.record import Record, own_folder
from famus_tf.config import command_line
from famus_tf.errors import InputError
from famus_tf.files import closed_pipe
from famus_tf.losses import softmax
from famus_tf.meta import batches as meta_batches
from famus_tf.reports import compare as table

_MOMENTUM = 0.9


def unrolled(network, weights, windows, meta, trust, rate, freed):
    """The validation loss behind some steps of SGD with momentum, a scalar that can be differentiated by `trust`.

    Args:
      network: `keras.Model`, images -> logits; its variables are left as they are.
      weights: list of tensors, its trainable variables' values.
      windows: list of H pairs (images, labels).
      meta: such a pair.
      trust: list of H tensors [n], V_i of each example; they are divided by their sum.
      rate: of SGD.
      freed: whether every example's gradient at the logits is scaled to the length 1.
    """
    rest = [variable.value for variable in network.non_trainable_variables]
    velocity = [tf.zeros_like(weight) for weight in weights]

    def forward(weights, images):
        return network.stateless_call(weights, rest, images, training=True)[0]

    for (images, labels), values in zip(windows, trust, strict=True):
        with tf.GradientTape() as tape:
            tape.watch(weights)
            logits = forward(weights, images)
            losses = softmax.cross_entropy(labels, logits)
            if freed:
                error = tf.nn.softmax(logits) - tf.one_hot(labels, logits.shape[-1])
                losses /= tf.stop_gradient(tf.maximum(tf.norm(error, axis=1), 1e-3))
            loss = tf.reduce_sum(losses * values) / tf.reduce_sum(values)
        gradients = tape.gradient(loss, weights)
        velocity = [_MOMENTUM * v + g for v, g in zip(velocity, gradients, strict=True)]
        weights = [w - rate * v for w, v in zip(weights, velocity, strict=True)]
    images, labels = meta
    return tf.reduce_mean(softmax.cross_entropy(labels, forward(weights, images)))


def make_pull(method, freed):
    """The function (list of H pairs of a training and a meta batch, rate) -> -d loss / d a at a = 1, float32 [F].

    Args:
      method: a compiled `famus_tf.FaMUS` with a `MemoryWeightNet`.
      freed: as in `unrolled`.
    """
    learner = method.meta_learner

    @tf.function(autograph=False)
    def pull(pairs, rate):
        known = [learner.parameters(meta_batches.Batch(*training))[-3:] for training, _ in pairs]
        a = tf.ones_like(known[0][0])
        with tf.GradientTape() as tape:
            tape.watch(a)
            trust = [learner.weigh([a, *others]) for _, *others in known]
            weights = [variable.value for variable in method.network.trainable_variables]
            windows = [training[:2] for training, _ in pairs]
            loss = unrolled(method.network, weights, windows, pairs[-1][1][:2], trust, rate, freed)
        return -tape.gradient(loss, a)

    return pull


def mixtures(rows, is_right):
    """The AUC of z = rows a for a the start, each input alone, and Fisher's discriminant held at 0 or more.

    Args:
      rows: float [n, F], the standardised inputs.
      is_right: bool [n].

    Returns:
      A list of AUCs, of the start, the F inputs and the discriminant; and the discriminant, [F].
    """
    right, wrong = rows[is_right], rows[~is_right]
    within = (np.cov(right.T) * len(right) + np.cov(wrong.T) * len(wrong)) / len(rows)
    root = np.linalg.cholesky(within + 1e-9 * np.eye(len(within)))
    fisher = optimize.nnls(root.T, np.linalg.solve(root, right.mean(0) - wrong.mean(0)))[0]
    candidates = [np.ones(rows.shape[1]), *np.eye(rows.shape[1]), fisher]
    return [auc_of(rows, mixture, is_right) for mixture in candidates], fisher


def auc_of(rows, mixture, is_right):
    """The AUC of z = rows a for right against wrong labels, rows [n, F], a [F]."""
    return float(selection.auc((rows @ mixture)[:, np.newaxis], is_right)[0])


def look(method, dataset, pairs, horizons, count, step, rate):
    """All figures at one pause.

    Args:
      method: as in `make_pull`.
      dataset: `data.dataset.Dataset` with known true labels; those of probes are not looked at.
      pairs: list of pairs of batches, as many as the longest of `horizons` needs for `count` windows.
      horizons: list of H.
      count: windows of each.
      step: length of the step of a along the pull, in lengths of the start.
      rate: of SGD.

    Returns:
      Dict that JSON can hold.
    """
    learner = method.meta_learner
    everybody = tf.range(len(dataset.train_labels))
    taught, rows = (
        part.numpy().astype(float) for part in learner.parameters(meta_batches.Batch(None, None, everybody))[-3:-1]
    )
    given, true = dataset.noisy_labels
    rows, is_right = rows[: len(given)], given == true
    aucs, fisher = mixtures(rows, is_right)
    found = {"start": aucs[0], "alone": dict(zip(learner.inputs, aucs[1:-1], strict=True)), "fisher": aucs[-1]}
    found |= {"fisher_mixture": (fisher / fisher.sum()).tolist(), "probes": auc_of(rows, taught, is_right)}
    found |= {"probes_mixture": (taught / taught.sum()).tolist(), "horizons": []}
    start = np.ones(len(learner.inputs))
    for freed in (False, True):
        pull = make_pull(method, freed)
        for horizon in horizons:
            windows = [pairs[number * horizon : (number + 1) * horizon] for number in range(count)]
            pulls = np.array([pull(window, tf.constant(rate, tf.float32)).numpy() for window in windows], float)
            mean = pulls.mean(0)
            error = pulls.std(0, ddof=1) / np.sqrt(count)
            moved = np.maximum(start + step * np.linalg.norm(start) * mean / max(np.linalg.norm(mean), 1e-30), 0.0)
            found["horizons"].append(
                {
                    "horizon": horizon,
                    "freed": freed,
                    "pull": mean.tolist(),
                    "standard_errors": (mean / np.maximum(error, 1e-30)).tolist(),
                    "moved": moved.tolist(),
                    "auc": auc_of(rows, moved, is_right),
                }
            )
    return found


def measure(config, epochs, horizons, count, step):
    """Trains as `config` says and looks after each of `epochs`.

    Returns:
      Dict: `inputs`, the names; `pauses`, a list of what `look` returns with `epoch`.
    """
    run = paused.PausedRun(config)
    if run.dataset.train_true_labels is None:
        raise InputError("expected a data set whose right labels are known")
    if not 0 < (run.dataset.train_labels == run.dataset.train_true_labels).mean() < 1:
        raise InputError(
            "expected training labels of which some are right and some are wrong, such as --noise_rate=0.4"
        )
    training = run.train_epochs(epochs)
    pairs = run.batches_behind_the_end(max(horizons) * count)
    pauses = []
    for epoch, _, _ in training:
        rate = selection.last_rate(run.method.optimizer)
        found = look(run.method, run.dataset, pairs, horizons, count, step, rate)
        pauses.append({"epoch": epoch, "rate": rate, **found})
        print(f"epoch {epoch} of {epochs[-1]}", file=sys.stderr, flush=True)
    return {"inputs": list(run.method.meta_learner.inputs), "pauses": pauses}


def main(argv=None):
    """Runs one command line and returns the exit status: 2 for a mistake in it."""
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.horizon", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("dataset", choices=tuple(selection.SETTINGS))
    parser.add_argument("--at", default="2,4", help="epochs joined by commas (default %(default)s)")
    parser.add_argument("--horizons", default="1,2,5,10", help="H joined by commas (default %(default)s)")
    parser.add_argument("--windows", type=int, default=20, help="windows of each H (default %(default)s)")
    parser.add_argument("--step", type=float, default=0.5, help="of a along the pull (default %(default)s)")
    where = "(default: runs/studies/horizon_<data set>_<noise>.json)"
    parser.add_argument("--json", type=pathlib.Path, help=f"file to write {where}")
    arguments, others = parser.parse_known_args(argv)
    record = Record(argparse.Namespace(**vars(arguments), flags=others))
    try:
        epochs, horizons = (sorted(_numbers(name, getattr(arguments, name))) for name in ("at", "horizons"))
        if arguments.windows < 2 or not arguments.step > 0:
            raise InputError(
                f"--windows={arguments.windows}, --step={arguments.step}: expected 2 or more, and a number above 0"
            )
        flags = (*selection.SETTINGS[arguments.dataset], "--method=memory_weight_net", "--dtype_policy=float32")
        config = command_line.read_config(["famus_tf.main", *flags, *others])
        if config.method.method != "memory_weight_net" or config.co_divide.meta_set != "clean":
            raise InputError("expected --method=memory_weight_net and --meta_set=clean")
        results = measure(config, epochs, horizons, arguments.windows, arguments.step)
        name = f"horizon_{arguments.dataset}_{'human' if config.data.noise == 'file' else config.data.noise}"
        record.write(arguments.json or own_folder() / f"{name}.json", **results)
    except (InputError, OSError) as error:
        print(f"horizon: error: {command_line.with_flags(str(error))}", file=sys.stderr)
        return 2
    print(_table(results))
    return 0


def _numbers(name, text):
    parts = text.split(",")
    if not all(part.isdecimal() and int(part) > 0 for part in parts):
        raise InputError(f"--{name}={text}: expected positive whole numbers, joined by commas")
    return [int(part) for part in parts]


def _table(results):
    head = ["", *results["inputs"], "AUC"]
    lines = [head]
    for pause in results["pauses"]:
        epoch = f"epoch {pause['epoch']}"
        lines.append([f"{epoch}: start", *("1" for _ in results["inputs"]), f"{pause['start']:.3f}"])
        for name, auc in pause["alone"].items():
            ones = ("1" if other == name else "0" for other in results["inputs"])
            lines.append([f"{epoch}: {name} alone", *ones, f"{auc:.3f}"])
        for name, key in (("as the probes teach", "probes"), ("by the truth", "fisher")):
            shares = (f"{share:.2f}" for share in pause[f"{key}_mixture"])
            lines.append([f"{epoch}: {name}", *shares, f"{pause[key]:.3f}"])
        for row in pause["horizons"]:
            name = f"{epoch}: pull over {row['horizon']}{', freed' if row['freed'] else ''} (standard errors)"
            lines.append([name, *(f"{number:+.1f}" for number in row["standard_errors"]), f"{row['auc']:.3f}"])
    return table.format_table(lines, markdown=True)


if __name__ == "__main__":
    sys.exit(closed_pipe.status_of(main))
