"""Training that has come to numbers that are not finite, or to weights and gates that say nothing any more.

What is looked at costs a step nothing: its records are on the host already, and all variables are looked at once an
epoch and once a checkpoint, on the device, of which one vector of truth values is fetched.
"""

import logging

import keras
import numpy as np
import tensorflow as tf

from famus_tf import errors

_LOG = logging.getLogger(__name__)

# A method's optimizer -> the option with its learning rate.
_RATES = {"base": "base_learning_rate", "meta": "meta_learning_rate", "sampler": "sampler_learning_rate"}
# Records of a step in the order in which it makes them, what they are called, and whose learning rate is to blame.
_RECORDS = (
    ("meta_loss", "the meta loss", "base"),  # at the look-ahead weights
    ("meta_gradient", "the meta gradient", "base"),
    ("gates", "a gate", "sampler"),
    ("example_weight", "an example's weight", "meta"),
    ("loss", "the training loss", "base"),
)
_ENOUGH = 50  # meta steps, before which nothing is said of weights and gates
_NEAR_ZERO = 0.01
_ALIKE = 0.01  # of the mean weight


class Diverged(errors.InputError):
    """Numbers are not finite any more: there is nothing to go on from but an earlier checkpoint."""


def check_records(records, method, step):
    """Raises `Diverged` where what a step returned is not finite.

    Args:
      records: `step.StepRecords` gathered over the replicas, dict of arrays.
      method: the `methods.base.Method`.
      step: the number of its steps done, for the sentence.
    """
    for name, words, cause in _RECORDS:
        if name in records and not np.isfinite(records[name]).all():
            value = records[name]
            found = np.ravel(value)[~np.isfinite(np.ravel(value))][0]
            raise Diverged(f"{words} of step {step:,} is {found}; {_likely_cause(method, cause, step)}")


def check_variables(methods, strategy, step):
    """Raises `Diverged` where a weight, or a state of an optimizer, is not finite.

    Args:
      methods: list of `methods.base.Method`.
      strategy: theirs.
      step: the number of steps done, for the sentence.
    """
    names = []
    finite = []
    for method in methods:
        for owner, variable in _variables(method):
            if tf.as_dtype(variable.dtype).is_floating:
                value = strategy.experimental_local_results(variable.value)[0]
                names.append((method, owner, variable.path))
                finite.append(tf.reduce_all(tf.math.is_finite(value)))
    if not finite:
        return
    kept = tf.stack(finite).numpy()
    if not kept.all():
        method, owner, path = names[int(np.argmin(kept))]
        found = f"{path} is not finite after step {step:,}" if step else f"{path} is not finite at the start"
        raise Diverged(f"{found}; {_likely_cause(method, owner, step)}")


def check_logs(evaluated, methods, step):
    """Raises `Diverged` where a loss of an evaluation is not finite.

    Args:
      evaluated: list of dicts of logs.
      methods: list of `methods.base.Method`.
      step: the number of steps done, for the sentence.
    """
    for logs in evaluated:
        for name, value in logs.items():
            if name.endswith("_loss") and not np.isfinite(value):
                words = name.replace("_", " ")
                raise Diverged(f"the {words} after step {step:,} is {value}; {_likely_cause(methods[0], 'base', step)}")


def note_collapse(progress, method):
    """Says once a run that the weights are all alike or all near 0, and once that the sampler selects all or none.

    Args:
      progress: `progress.Progress` whose epoch has just ended.
      method: its `methods.base.Method`.
    """
    if progress.gate_steps < _ENOUGH:
        return
    for name, text in (("weights", _of_weights(progress, method)), ("gates", _of_gates(progress, method))):
        if text and name not in progress.noted:
            progress.noted.append(name)
            _LOG.info(f"after epoch {len(progress.history)}: {text}")


def _of_weights(progress, method):
    weights = progress.example_weight[~np.isnan(progress.example_weight)]
    learner = getattr(method, "meta_learner", None)
    if not getattr(learner, "weighs_examples", False) or not len(weights):
        return None
    if len(progress.history) <= getattr(learner, "least_visits", 0):
        return None  # alike by design until each example has been visited so often
    rate = _rate(method, "meta")
    if weights.max() < _NEAR_ZERO:
        return f"all example weights are below {_NEAR_ZERO}, so that next to nothing is learned; {rate}"
    if weights.max() - weights.min() < _ALIKE * weights.mean():
        return f"all example weights are alike, {weights.mean():.3f}, as if there were no meta-learner; {rate}"
    return None


def _of_gates(progress, method):
    selector = getattr(method, "selector", None)
    shares = np.array(progress.history[-1].get("gates", ()))
    if not getattr(selector, "learned", False) or not len(shares):
        return None
    rate = _rate(method, "sampler")
    if not shares.any():
        return f"the sampler has selected no layer in any step, so that the meta-learner learns nothing; {rate}"
    if (shares == 1).all() and selector.expected_layers < len(shares):
        return f"the sampler has selected all {len(shares)} layers in every step, which saves nothing; {rate}"
    return None


def _variables(method):
    """Pairs of the optimizer that is answerable and a variable."""
    for network in method.networks:
        yield from (("base", variable) for variable in network.variables)
    for owner, part in (("meta", "meta_learner"), ("sampler", "selector")):
        yield from ((owner, variable) for variable in getattr(getattr(method, part, None), "variables", ()))
    for owner, optimizer in method.optimizers.items():
        yield from ((owner, variable) for variable in optimizer.variables)


def _likely_cause(method, owner, step):
    if step == 0:
        return "likely cause: the weights that training starts from"
    if owner == "base" and min(1.0, _learning_rate(method, owner)) * method.weight_decay > 1.0:
        return f"likely cause: steps larger than the weights, option `weight_decay` is {method.weight_decay:.3g}"
    rate = f"likely cause: too high a learning rate, {_rate(method, owner)}"
    return f"{rate}, or a network that is not finite on these images" if step == 1 and owner == "base" else rate


def _rate(method, owner):
    option = _RATES[owner if owner in method.optimizers else "base"]
    return f"option `{option}` is {_learning_rate(method, owner):.3g}"


def _learning_rate(method, owner):
    optimizer = method.optimizers.get(owner) or method.optimizers["base"]
    return float(keras.ops.convert_to_numpy(optimizer.learning_rate))
