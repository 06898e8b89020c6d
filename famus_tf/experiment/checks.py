"""What the devices in use decide, and the flags that they fill in."""

import pathlib

from famus_tf import errors
from famus_tf.config import checks as rules
from famus_tf.config.data import OWN_IMAGES
from famus_tf.config.method import METHODS
from famus_tf.devices import cluster as clusters
from famus_tf.experiment import build_network
from famus_tf.runs import directory as run_directory


def check_replicas(run, method, optimization, strategy):
    """Refuses, as an InputError, what does not go with the devices in use; takes the groups of flags of these names."""
    replicas = strategy.num_replicas_in_sync
    if clusters.num_workers(strategy) > 1:  # each would measure something else
        for name, found, wanted in (
            ("dtype_policy", run.dtype_policy, "auto"),
            ("layer_cost", method.layer_cost, "measured"),
        ):
            if found == wanted:
                raise errors.InputError(f"--{name}={found} with --strategy=multi_worker: expected another value")
    if run.jit_compile and replicas > 1:
        raise errors.InputError(f"--jit_compile on {replicas} devices: expected one; give --strategy=one_device")
    for name in ("batch_size", "meta_batch_size"):
        size = getattr(optimization, name)
        if size % replicas:
            raise errors.InputError(f"--{name}={size}: expected a multiple of the {replicas} devices in use")


def stages_that_never_come(config, epochs):
    """A sentence where a run of so many epochs ends before what its method is named for begins; None where not."""
    method, flags = config.method.method, config.baselines
    name, count = rules.before_stages(method, flags)
    if method == "d2l":
        name, count = "d2l_epochs", flags.d2l_epochs + 6
    if not count or count < epochs:
        return None
    shown = "and six more" if method == "d2l" else f"{count} in all"
    return (
        f"--{name} ({shown}) with {epochs} epochs in all: --method={method} ends before it does more than what comes "
        "before; expected fewer, or a longer run"
    )


def check_longer(config, run):
    """Refuses to go on with a run that ended inside an epoch, which a longer one would have gone through to its end."""
    steps = config.optimization.train_steps
    epochs = run.history.epochs
    per_epoch = run.supervised.steps_per_epoch
    if steps and epochs and epochs[-1]["step"] % per_epoch and run.history.step < steps:
        raise errors.InputError(
            f"--train_steps={steps}: the run ended after {epochs[-1]['step']} steps, inside an epoch of {per_epoch}, "
            "and was evaluated there, as a longer one is not; expected as many steps, or another --workdir"
        )


def with_dtype_policy(config, dataset=None):
    """`config` with `auto` replaced: by what the run was begun with, else by what is faster on the dataset's images."""
    run = config.run
    if run.dtype_policy != "auto":
        return config
    policy = run_directory.dtype_policy_of(pathlib.Path(run.workdir, "flags.cfg"))
    if policy is None and dataset is not None:
        policy = build_network.choose_dtype_policy(run, config.loss, dataset)
    return config.with_values({"dtype_policy": policy or "float32"})


def with_batch_sizes(config, dataset, replicas):
    """`config` with batches no larger than the sets that they are drawn from; of a user's own images alone.

    Args:
      config: `config.Config`.
      dataset: `data.dataset.Dataset`.
      replicas: number of devices in use.

    Returns:
      `config.Config`, and a sentence for each size that it lowers.

    Raises:
      InputError: a batch is larger than its set, of another data set, or of one that is too small for all devices.
    """
    sizes = [("batch_size", config.optimization.batch_size, len(dataset.train_labels), "training")]
    if METHODS[config.method.method].needs_meta_set and config.co_divide.meta_set == "clean":
        sizes.append(("meta_batch_size", config.optimization.meta_batch_size, len(dataset.meta_labels), "trusted"))
    values = {}
    sentences = []
    for name, size, count, kind in sizes:
        if size <= count:
            continue
        fitting = count - count % replicas
        if config.data.dataset not in OWN_IMAGES or not fitting:
            probes = f" besides the {dataset.num_probes:,} that --probe_share trains on"
            there = "there are" + (probes if kind == "trusted" and dataset.num_probes else "")
            raise errors.InputError(f"--{name}={size}: expected at most the {count:,} {kind} images {there}")
        values[name] = fitting
        sentences.append(f"--{name}={size} is more than the {count:,} {kind} images there are: {fitting} are taken")
    return config.with_values(values), sentences
