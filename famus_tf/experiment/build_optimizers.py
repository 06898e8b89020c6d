"""The optimizers of a run and the course of the learning rate, from their group of flags."""

import functools

import keras

from famus_tf.training import learning_rates


def base(optimization, rate):
    """The optimizer of w; `rate` is a number or a schedule."""
    return keras.optimizers.SGD(rate, momentum=optimization.momentum, nesterov=optimization.nesterov)


def meta(optimization):
    """The optimizer of theta."""
    makers = {
        "adam": keras.optimizers.Adam,
        "sgd": functools.partial(keras.optimizers.SGD, momentum=0.9, nesterov=True),
    }
    return makers[optimization.meta_optimizer](optimization.meta_learning_rate)


def sampler(optimization):
    """The optimizer of eta."""
    return keras.optimizers.SGD(optimization.sampler_learning_rate, momentum=0.9)


def learning_rate(optimization, total_steps, steps_per_epoch):
    """alpha by the number of steps done, a number or a schedule, from a `config.optimization.OptimizationConfig`."""
    course = _course(optimization, total_steps, steps_per_epoch)
    warmup = optimization.warmup_epochs * steps_per_epoch
    return learning_rates.WarmUp(course, warmup) if warmup else course


def rate_of_epoch(optimization):
    """Function of an epoch, counted from 0, -> alpha in it: where epochs differ in their number of steps.

    The course is taken in the middle of the epoch, the warm-up as (epoch + 1) / warmup_epochs, as LDAM's code has it.
    """
    course = _course(optimization, optimization.epochs, 1)
    warmup = max(optimization.warmup_epochs, 1)

    def rate(epoch):
        alpha = float(course(epoch + 0.5)) if callable(course) else course
        return alpha * min((epoch + 1) / warmup, 1.0)

    return rate


def _course(optimization, total_steps, steps_per_epoch):
    alpha = optimization.base_learning_rate
    if optimization.lr_schedule == "cosine":
        return keras.optimizers.schedules.CosineDecay(alpha, total_steps)
    if optimization.lr_schedule == "step" and optimization.lr_boundaries:
        unit = steps_per_epoch if optimization.epochs else 1
        boundaries = [round(boundary * unit) for boundary in optimization.lr_boundaries]
        return learning_rates.StepDecay(alpha, boundaries, optimization.lr_decay)
    return alpha
