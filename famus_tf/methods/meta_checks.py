"""What is looked through before Algorithm 1 trains: its learner beside the network and the data, its options."""

import keras

from famus_tf import errors
from famus_tf.meta import selectors

SCHEDULES = ("three_stage", "one_loop")


def check_classes(meta_learner, num_classes):
    """Raises InputError where a learner is made for another number of classes than the network's outputs."""
    wanted = meta_learner.num_classes
    if wanted and num_classes and wanted != num_classes:
        raise errors.InputError(
            f"{type(meta_learner).__name__} for {wanted} classes with a network of {num_classes} outputs: expected "
            f"{num_classes}"
        )


def check_examples(learner, count):
    """Raises InputError where a learner or a method is made for another number of training examples than there are."""
    wanted = learner.num_examples
    if wanted and wanted != count:
        raise errors.InputError(
            f"{type(learner).__name__} for num_examples={wanted:,}: expected {count:,}, the training examples "
            "that there are"
        )


def check_optimizers(**optimizers):
    """Raises InputError where one is neither None nor what Keras takes for an optimizer."""
    for name, given in optimizers.items():
        try:
            keras.optimizers.get("sgd" if given is None else given)
        except (ValueError, TypeError) as error:
            raise errors.InputError(
                f"compile(optimizer, meta_optimizer, sampler_optimizer, metrics): found {given!r} for {name}, expected "
                "an optimizer; the loss is the method's own, and metrics=[...] goes by its name"
            ) from error


def check_precision(network, meta_learner):
    """Raises InputError where the meta gradient would be taken in float16."""
    layers_in_half = [layer.name for layer in network._flatten_layers() if layer.compute_dtype == "float16"]
    if meta_learner.has_meta_step and layers_in_half:
        raise errors.InputError(
            f"network {network.name!r} computes in float16 (layer {layers_in_half[-1]!r}), in which the meta gradient "
            "vanishes: expected mixed_bfloat16, float32 or float64"
        )


def check_schedule(meta_learner, schedule, meta_every, meta_from=0):
    """Raises InputError where one of them is none that there is, or asks for a theta that is carried on."""
    if isinstance(meta_from, bool) or not isinstance(meta_from, int) or meta_from < 0:
        raise errors.InputError(f"meta_from={meta_from!r}: expected a whole number, 0 or more")
    if schedule not in SCHEDULES:
        raise errors.InputError(f"schedule={schedule!r}: expected one of {', '.join(SCHEDULES)}")
    if isinstance(meta_every, bool) or not isinstance(meta_every, int) or meta_every < 1:
        raise errors.InputError(f"meta_every={meta_every!r}: expected a positive whole number")
    if meta_learner.has_meta_step and not meta_learner.carries_theta:
        for name, value, expected in (("schedule", schedule, "three_stage"), ("meta_every", meta_every, 1)):
            if value != expected:
                raise errors.InputError(
                    f"{name}={value} with {type(meta_learner).__name__}, whose theta belongs to one step: expected "
                    f"{expected}"
                )


def lambda_g(given, selector, meta_learner):
    """lambda_2 of Eq. 12: what is given, and where that is None the paper's, or 0.

    It is 0 where L_g has no sampler to be trained beside, and for learners that take the scores of the examples.
    """
    if given is not None:
        return given
    without = isinstance(selector, selectors.AllLayers | selectors.AgreementSelector)
    return 0.0 if without or meta_learner.takes_scores else 0.1
