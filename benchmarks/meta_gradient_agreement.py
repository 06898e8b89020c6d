"""How far the meta gradient over a few layers points where that over all layers does, while a network trains.

    python -m benchmarks.meta_gradient_agreement --flagfile=flags/digits.cfg --method=mw_net --steps=25,100,400,800

The meta gradient is a sum over the layers (Eq. 9), so that of every selection is made of the same parts. At each of
`--steps` training pauses, and these are the means over `--batches` fresh pairs of batches for each selection:
  cosine            between its meta gradient and that of all layers, on the same batches
  cosine of means   between their means over the batches: what remains when the noise of single batches is averaged out
  relative variance its variance over the batches, divided by the squared norm of its mean
The other flags are those of `famus_tf.main`; training follows them.
"""

import argparse
import dataclasses
import functools
import pathlib
import sys

import numpy as np
import tensorflow as tf

import famus_tf
from benchmarks import paused
from benchmarks.record import Record
from famus_tf.config import command_line
from famus_tf.errors import InputError
from famus_tf.files import closed_pipe
from famus_tf.meta import layers
from famus_tf.profiling import stage_times
from famus_tf.reports import compare as table

_SELECTIONS = {
    "all layers": famus_tf.AllLayers,
    "the run's own": None,
    "last block": functools.partial(famus_tf.FixedBlock, -2),
    "classifier": functools.partial(famus_tf.FixedBlock, -1),
    "random 4 layers": functools.partial(famus_tf.RandomLayers, 4),
}


class GivenGates(famus_tf.GradientSampler):
    """A selector whose gates are set from outside."""

    learned = False

    def create_variables(self, layers):
        """Makes room for the gates of these layers."""
        super().create_variables(layers)
        self.gates = tf.Variable(tf.zeros([len(layers)]), trainable=False)

    def call(self, descriptors, step):
        """The gates that are set, float32 [L]."""
        del descriptors, step
        return self.gates.value()


def make_parts(method, data):
    """Makes the function that takes the meta gradient (Eq. 9) apart; L_g is left out.

    Args:
      method: a compiled `famus_tf.FaMUS` with the three-stage schedule and a learner that keeps theta.
      data: ((images, labels[, index]), (meta_images, meta_labels[, index])), one like those that it will be given.

    Returns:
      Function of data -> float32 [L, P], each layer's part, P the number of theta's entries; and a list of what the
      selector sees, L tensors. It leaves the method as it is.
    """
    strategy = tf.distribute.get_strategy()
    given = GivenGates()
    given.create_variables(method.gated_layers)
    backward = stage_times.compile_prefix(method, strategy, "Virtual-Train backward", data)
    before = method.selector, method.lambda_g
    method.selector = given
    method.lambda_g = 0.0
    tangent = stage_times.compile_prefix(method, strategy, "Meta-Train tangent", data)
    method.selector, method.lambda_g = before

    def parts(data):
        rows = []
        for gates in np.eye(len(method.gated_layers), dtype=np.float32):
            given.gates.assign(gates)
            with stage_times.unchanged(method):
                rows.append(np.concatenate([np.ravel(part) for part in tangent(data)]))
        with stage_times.unchanged(method):
            g = backward(data)
        return np.stack(rows), [layers.avg_pool(layer, g) for layer in method.gated_layers]

    return parts


def compare(selected, whole):
    """The figures of one selection.

    Args:
      selected, whole: float [B, P], the meta gradients over the selected and over all layers for B pairs of batches.

    Returns:
      Dict of `cosine`, `cosine_of_means` and `relative_variance`; None where a gradient is zero throughout.
    """
    mean, whole_mean = selected.mean(0), whole.mean(0)
    cosines = [_cosine(one, other) for one, other in zip(selected, whole, strict=True)]
    cosines = [value for value in cosines if value is not None]  # no layer selected, or no example wrong
    squared = float(mean @ mean)
    return {
        "cosine": float(np.mean(cosines)) if cosines else None,
        "cosine_of_means": _cosine(mean, whole_mean),
        "relative_variance": float(np.square(selected - mean).sum(1).mean()) / squared if squared else None,
    }


def _cosine(one, other):
    norms = float(np.linalg.norm(one) * np.linalg.norm(other))
    return float(one @ other) / norms if norms else None


def measure(config, steps, count):
    """Trains as `config` says, and compares the selections at each of `steps`.

    Args:
      config: `config.Config`; three-stage MW-Net.
      steps: increasing list of int, the numbers of training steps done.
      count: B, pairs of batches at each.

    Returns:
      List of dicts: `step`, `selection`, the mean number of `layers` selected, and the figures of `compare`.
    """
    run = paused.PausedRun(config)
    method = run.method
    selectors = {name: make() if make else method.selector for name, make in _SELECTIONS.items()}
    for selector in selectors.values():
        if selector is not method.selector:
            selector.create_variables(method.gated_layers)
    # Behind the run's last step are batches that it does not train on.
    probes = run.batches_behind_the_end(count)
    parts = make_parts(method, probes[0])
    results = []
    for done, _ in run.train(steps):
        results += _compare_all(selectors, [parts(probe) for probe in probes], done)
        print(f"step {done} of {steps[-1]}", file=sys.stderr, flush=True)
    return results


def _compare_all(selectors, probed, step):
    rows = np.stack([by_layer for by_layer, _ in probed])  # [B, L, P]
    results = []
    for name, selector in selectors.items():
        gates = np.stack([selector(seen, tf.constant(number)).numpy() for number, (_, seen) in enumerate(probed)])
        selected = np.einsum("bl,blp->bp", gates, rows)
        figures = compare(selected.astype(np.float64), rows.sum(1).astype(np.float64))
        results.append({"step": step, "selection": name, "layers": float(gates.sum(1).mean())} | figures)
    return results


def main(argv=None):
    """Runs one command line and returns the exit status: 2 for a mistake in it."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--steps", default="25,100,400,800", help="when to compare (default %(default)s)")
    parser.add_argument("--batches", type=int, default=32, help="pairs of batches each time (default %(default)s)")
    parser.add_argument("--json", type=pathlib.Path, help="file to write")
    arguments, others = parser.parse_known_args(argv)
    record = Record(argparse.Namespace(**vars(arguments), flags=others))
    try:
        if not all(text.isdecimal() and int(text) > 0 for text in arguments.steps.split(",")):
            raise InputError(f"--steps={arguments.steps}: expected positive whole numbers joined by commas")
        config = command_line.read_config(["famus_tf.main", *others])
        if (config.method.method, config.method.schedule, config.method.meta_every) != ("mw_net", "three_stage", 1):
            raise InputError("expected --method=mw_net, --schedule=three_stage and --meta_every=1")
        config = dataclasses.replace(config, run=dataclasses.replace(config.run, dtype_policy="float32"))
        results = measure(config, sorted({int(text) for text in arguments.steps.split(",")}), arguments.batches)
        if arguments.json:
            record.write(arguments.json, results=results)
    except (InputError, OSError) as error:
        print(f"meta_gradient_agreement: error: {command_line.with_flags(str(error))}", file=sys.stderr)
        return 2
    head = ["step", "selection", "layers", "cosine", "cosine of means", "relative variance"]
    names = ("cosine", "cosine_of_means", "relative_variance")
    rows = []
    for result in results:
        figures = [_two_digits(result[name]) for name in names]
        rows.append([str(result["step"]), result["selection"], f"{result['layers']:.1f}", *figures])
    print(table.format_table([head, *rows], markdown=True))
    return 0


def _two_digits(value):
    return "n/a" if value is None else f"{value:.2f}"


if __name__ == "__main__":
    sys.exit(closed_pipe.status_of(main))
