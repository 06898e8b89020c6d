"""What replicas and workers share: the parts of batches, records of a step, statistics, and who writes."""

import contextlib
import pathlib
import tempfile
import zlib

import tensorflow as tf

from famus_tf import errors
from famus_tf.devices import cluster as clusters
from famus_tf.devices import replicas


def distribute_batches(strategy, batches, *, whole=True):
    """Iterates over global batches, of which each replica of each worker gets an equal share.

    Args:
      strategy: a `tf.distribute.Strategy`.
      batches: iterable of batches of one size, as a `tf.data.Dataset` is.
      whole: whether they are global ones, of a multiple of the number of replicas and the same on every worker, which
        keeps the shares of its own replicas; or each worker's are its share of the global ones already.

    Returns:
      Iterator of batches that `strategy.run` takes apart.
    """
    # Not `experimental_distribute_dataset`: its iterators have a tuner that cannot be turned off, and to delete one
    # takes up to a minute (TensorFlow 2.21).
    if strategy.num_replicas_in_sync == 1:
        return iter(batches)
    replicas = strategy.num_replicas_in_sync
    first = 0
    if not whole:
        replicas //= clusters.num_workers(strategy)
        first = clusters.position(strategy) * replicas
    return (_share_out(strategy, first, replicas, batch) for batch in batches)


def _share_out(strategy, first, replicas, batch):
    def share(context):
        number = context.replica_id_in_sync_group - first
        size = len(tf.nest.flatten(batch)[0]) // replicas
        return tf.nest.map_structure(lambda rows: rows[number * size : (number + 1) * size], batch)

    with tf.device("CPU:0"):  # where the batch is
        return strategy.experimental_distribute_values_from_function(share)


def complete_records(strategy, records, *, rows, shares):
    """Turns what one replica knows of a step into what all know, where the replicas belong to several workers.

    To be called in a replica's context, and not inside `tf.cond`.

    Args:
      strategy: a `tf.distribute.Strategy`.
      records: dict of tensors.
      rows: names of those with an entry for each example of the replica, [n]; they become [n * replicas].
      shares: names of those whose sum over the replicas is the value for the global batch; they become the sum.

    Returns:
      A dict of the same names. Records in neither list are alike on all replicas. With one worker it is `records`.
    """
    if clusters.num_workers(strategy) == 1:
        return records
    completed = dict(records)
    for name in records:  # in the same order on all workers
        if name in rows:
            completed[name] = replicas.all_gather(records[name])
        elif name in shares:
            completed[name] = replicas.all_reduce_sum(records[name])
    return completed


def make_averager(strategy, variables):
    """Makes the function that brings together what each replica has kept for itself, as BatchNorm's statistics.

    Args:
      strategy: a `tf.distribute.Strategy`.
      variables: list of its floating-point `tf.Variable`s, in the same order on all workers.

    Returns:
      Function () that sets every replica's copy of each variable to the mean over all replicas of all workers, to be
      called by all workers; it does nothing where there is one replica. Variables that TensorFlow keeps alike on all
      replicas, by an aggregation of their own, stay as they are.
    """
    local = [variable for variable in variables if _is_local(variable)]
    if strategy.num_replicas_in_sync == 1 or not local:
        return lambda: None

    def average():
        for variable, mean in zip(local, replicas.all_reduce_mean(local), strict=True):
            variable.assign(mean)

    @tf.function(autograph=False)
    def average_on_every_replica():
        strategy.run(average)

    return average_on_every_replica


def _is_local(variable):
    """Whether each replica keeps a value for itself."""
    on_read = tf.VariableSynchronization.ON_READ
    return variable.synchronization == on_read or variable.aggregation == tf.VariableAggregation.NONE


def values_of_workers(strategy, value):
    """Tells each worker what all of them have; every worker must call it, and waits for the others.

    Args:
      strategy: a `tf.distribute.Strategy`.
      value: this worker's value, an int below 2**63.

    Returns:
      List of int, one for each worker, the chief's first.
    """
    cluster = clusters.cluster_of(strategy)
    if len(cluster.workers) == 1:
        return [value]

    @tf.function(autograph=False)
    def collect():
        def row():
            return tf.one_hot(cluster.position, len(cluster.workers), tf.constant(value, tf.int64), dtype=tf.int64)

        return strategy.reduce(tf.distribute.ReduceOp.SUM, strategy.run(row), axis=None)

    # A worker's replicas have each added the same.
    return [int(total) // (strategy.num_replicas_in_sync // len(cluster.workers)) for total in collect()]


def check_workers_agree(strategy, flag_lines, data, step):
    """Stops workers that would train on without an error, and wrongly; every worker must call it.

    Args:
      strategy: a `tf.distribute.Strategy`.
      flag_lines: this worker's flags, list of str.
      data: a text that is the same where this worker's images and labels are.
      step: the step of the checkpoint that this worker has restored, 0 where it found none.

    Raises:
      InputError: the workers' flags, data or steps are not the same.
    """
    if len(set(values_of_workers(strategy, zlib.crc32("\n".join(flag_lines).encode())))) > 1:
        raise errors.InputError(
            "option `strategy`=multi_worker: found workers with other flags; expected the same for all"
        )
    if len(set(values_of_workers(strategy, zlib.crc32(data.encode())))) > 1:
        raise errors.InputError("the workers have other images or labels than each other; expected the same for all")
    steps = values_of_workers(strategy, step)
    if len(set(steps)) > 1:
        raise errors.InputError(
            f"option `workdir`: the workers find the checkpoints of steps {', '.join(map(str, steps))} there; expected "
            "a folder that all of them share"
        )


@contextlib.contextmanager
def place_to_write(strategy, path):
    """Gives the chief `path`, and every other worker a place of the same name that is thrown away afterwards.

    All workers take part in saving variables, so those that must not write have to save somewhere else.
    """
    path = pathlib.Path(path)
    if clusters.is_chief(strategy):
        yield path
        return
    with tempfile.TemporaryDirectory() as folder:
        yield pathlib.Path(folder, path.name)
