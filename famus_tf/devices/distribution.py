"""Which devices and processes a run uses (`tf.distribute`), and what several workers need beyond one process.

Several workers are several processes, as a rule on several machines, that hold the same weights and train in step, each
on its share of every global batch. One of them is the chief: it alone writes the run directory; the others read the
checkpoints in it.
"""

import contextlib
import dataclasses
import json
import os
import pathlib
import signal
import tempfile
import threading
import zlib

import tensorflow as tf

from famus_tf import errors
from famus_tf.devices import rendezvous, replicas

_FORM = 'as {"cluster": {"worker": ["host0:2222", "host1:2222"]}, "task": {"type": "worker", "index": 0}}'
# What `srun` sets for each task, and TensorFlow's resolver reads.
_SLURM = ("SLURM_PROCID", "SLURM_STEP_NUM_TASKS", "SLURM_STEP_NODELIST", "SLURM_STEP_TASKS_PER_NODE")

# How TensorFlow says that it cannot reach a worker, and who finds out that it does not answer.
_LOST = (tf.errors.UnavailableError, tf.errors.AbortedError, tf.errors.DeadlineExceededError, tf.errors.CancelledError)
_WATCH = "CoordinationService"
_MOMENT = 120.0  # seconds in which TensorFlow's servers must find each other, once all workers are there


@dataclasses.dataclass(frozen=True)
class Cluster:
    """The workers of a run, and which of them this process is.

    Attributes:
      jobs: {"worker": addresses "host:port"}, and where a worker is named so, {"chief": [address]}.
      task_type: "worker" or "chief".
      task_id: position of this process among the addresses of its type.
    """

    jobs: dict[str, list[str]]
    task_type: str
    task_id: int

    @property
    def workers(self):
        """All addresses, the chief's first."""
        return [*self.jobs.get("chief", []), *self.jobs.get("worker", [])]

    @property
    def position(self):
        """This process's place among `workers`; 0 is the chief."""
        return self.task_id + (len(self.jobs.get("chief", [])) if self.task_type == "worker" else 0)


def make_strategy(name, worker_timeout=0.0):
    """The `tf.distribute.Strategy` called `name`.

    GPUs are used where there are any; `mirrored` without GPUs runs on the logical CPU devices, and a worker without
    GPUs on its CPU. `multi_worker` waits until all workers are there, and must come before the first operation that
    TensorFlow runs in the process.

    Args:
      name: one_device, mirrored, auto (mirrored with several GPUs), or multi_worker (`find_cluster`).
      worker_timeout: seconds that a worker waits for the others.

    Raises:
      InputError: multi_worker, and nothing says which workers there are, or not all of them came (`rendezvous.meet`).
    """
    if name == "multi_worker":
        return _multi_worker_strategy(find_cluster(os.environ), worker_timeout)
    gpus = [device.name for device in tf.config.list_logical_devices("GPU")]
    cpus = [device.name for device in tf.config.list_logical_devices("CPU")]
    devices = gpus or cpus
    if name == "mirrored" or (name == "auto" and len(gpus) > 1):
        return tf.distribute.MirroredStrategy(devices)
    return tf.distribute.OneDeviceStrategy(devices[0])


def find_cluster(environment):
    """The `Cluster` that TF_CONFIG names or, without it, Slurm.

    Args:
      environment: `os.environ`.

    Raises:
      InputError: there is neither, or it cannot be used.
    """
    if environment.get("TF_CONFIG"):
        return _cluster_of_tf_config(environment["TF_CONFIG"])
    if all(name in environment for name in _SLURM):
        return _cluster_of_slurm(environment)
    raise errors.InputError(
        f"--strategy=multi_worker: found neither TF_CONFIG nor the variables of a task that srun has started; expected "
        f"TF_CONFIG in each worker's environment, {_FORM}, with the worker's own index"
    )


def num_workers(strategy):
    """Number of processes that train in step; 1 for every strategy but multi_worker."""
    return len(_cluster(strategy).workers)


def is_chief(strategy):
    """Whether this process is the one that writes the run directory (always, where there is one process)."""
    return position(strategy) == 0


def position(strategy):
    """This process's place among the workers; 0 is the chief."""
    return _cluster(strategy).position


def batches(strategy, batches, *, whole=True):
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
    replicas, first = strategy.num_replicas_in_sync, 0
    if not whole:
        replicas //= num_workers(strategy)
        first = position(strategy) * replicas
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
    if num_workers(strategy) == 1:
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
    own = [variable for variable in variables if _is_each_replicas_own(variable)]
    if strategy.num_replicas_in_sync == 1 or not own:
        return lambda: None

    def average():
        for variable, mean in zip(own, replicas.all_reduce_mean(own), strict=True):
            variable.assign(mean)

    @tf.function(autograph=False)
    def average_on_every_replica():
        strategy.run(average)

    return average_on_every_replica


def _is_each_replicas_own(variable):
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
    cluster = _cluster(strategy)
    if len(cluster.workers) == 1:
        return [value]

    @tf.function(autograph=False)
    def collect():
        def own_row():
            return tf.one_hot(cluster.position, len(cluster.workers), tf.constant(value, tf.int64), dtype=tf.int64)

        return strategy.reduce(tf.distribute.ReduceOp.SUM, strategy.run(own_row), axis=None)

    # A worker's replicas have each added the same.
    return [int(total) // (strategy.num_replicas_in_sync // len(cluster.workers)) for total in collect()]


def check_workers_agree(strategy, flag_lines, step):
    """Stops workers that would train on without an error, and wrongly; every worker must call it.

    Args:
      strategy: a `tf.distribute.Strategy`.
      flag_lines: this worker's flags, list of str.
      step: the step of the checkpoint that this worker has restored, 0 where it found none.

    Raises:
      InputError: the workers' flags or steps are not the same.
    """
    if len(set(values_of_workers(strategy, zlib.crc32("\n".join(flag_lines).encode())))) > 1:
        raise errors.InputError("--strategy=multi_worker: found workers with other flags; expected the same for all")
    steps = values_of_workers(strategy, step)
    if len(set(steps)) > 1:
        raise errors.InputError(
            f"--workdir: the workers find the checkpoints of steps {', '.join(map(str, steps))} there; expected a "
            "folder that all of them share"
        )


@contextlib.contextmanager
def place_to_write(strategy, path):
    """Gives the chief `path`, and every other worker a place of the same name that is thrown away afterwards.

    All workers take part in saving variables, so those that must not write have to save somewhere else.
    """
    path = pathlib.Path(path)
    if is_chief(strategy):
        yield path
        return
    with tempfile.TemporaryDirectory() as folder:
        yield pathlib.Path(folder, path.name)


@contextlib.contextmanager
def lost_workers_explained(strategy_name):
    """Under multi_worker, says in one line, as an InputError, that another worker has gone away or does not answer."""
    try:
        yield
    except tf.errors.OpError as error:
        # What the service that watches over the workers has found reaches this one as any kind of error.
        if strategy_name != "multi_worker" or not (isinstance(error, _LOST) or _WATCH in str(error)):
            raise
        raise errors.InputError(
            "another worker has stopped or does not answer; expected all of them to run to the end: see what it says, "
            "then start all workers again, and they go on from the last checkpoint"
        ) from error


def _multi_worker_strategy(cluster, worker_timeout):
    # The GPUs of the machine, not what the cluster's source says of them: so far they are only listed, not in use.
    gpus = len(tf.config.list_physical_devices("GPU"))
    resolver = tf.distribute.cluster_resolver.SimpleClusterResolver(
        tf.train.ClusterSpec(cluster.jobs),
        task_type=cluster.task_type,
        task_id=cluster.task_id,
        num_accelerators={"GPU": gpus} if gpus else {},
        rpc_layer="grpc",
    )
    with _ended_by_signals():
        rendezvous.meet(cluster.workers, cluster.position, worker_timeout)
        # What is lost in the moment from here on TensorFlow waits for; SIGALRM ends that.
        signal.setitimer(signal.ITIMER_REAL, _MOMENT)
        try:
            return tf.distribute.MultiWorkerMirroredStrategy(cluster_resolver=resolver)
        finally:
            signal.setitimer(signal.ITIMER_REAL, 0)


@contextlib.contextmanager
def _ended_by_signals():
    """While the workers wait for each other there is nothing to save: Ctrl-C and SIGTERM end the process at once."""
    numbers = (signal.SIGINT, signal.SIGTERM) if threading.current_thread() is threading.main_thread() else ()
    before = {number: signal.getsignal(number) for number in numbers}
    for number, handler in before.items():
        if handler != signal.SIG_IGN:
            signal.signal(number, signal.SIG_DFL)
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def _cluster(strategy):
    if not isinstance(strategy, tf.distribute.MultiWorkerMirroredStrategy):
        return Cluster({"worker": [""]}, "worker", 0)
    resolver = strategy.cluster_resolver
    return Cluster(resolver.cluster_spec().as_dict(), resolver.task_type, resolver.task_id)


def _cluster_of_tf_config(text):
    try:
        parsed = json.loads(text)
        jobs, task_type, task_id = parsed["cluster"], parsed["task"]["type"], parsed["task"]["index"]
        workers = [address for addresses in jobs.values() for address in addresses]
        fits = (
            jobs.keys() <= {"chief", "worker"}
            and len(jobs.get("chief", [])) <= 1
            and all(isinstance(addresses, list) for addresses in jobs.values())
            and all(isinstance(address, str) and _is_address(address) for address in workers)
            and len(set(workers)) == len(workers)
            and isinstance(task_id, int)
            and 0 <= task_id < len(jobs[task_type])
        )
    except (ValueError, TypeError, KeyError, AttributeError):
        fits = False
    if not fits:
        raise errors.InputError(f"TF_CONFIG={' '.join(text.split())}: expected workers and one of them, {_FORM}")
    return Cluster(jobs, task_type, task_id)


def _is_address(text):
    host, _, port = text.rpartition(":")
    return bool(host) and port.isdecimal() and 0 < int(port) < 65536


def _cluster_of_slurm(environment):
    # Jobs that share a machine get ports of their own; all stay below those that systems hand out by themselves.
    first_port = 20000 + int(environment.get("SLURM_JOB_ID", 0)) % 1500 * 8
    try:
        resolver = tf.distribute.cluster_resolver.SlurmClusterResolver(
            port_base=first_port,
            # Slurm decides which GPUs a task sees. These keep the resolver from asking for them, without which it
            # finds no tasks on machines that have none.
            gpus_per_node=int(environment["SLURM_STEP_NUM_TASKS"]),
            gpus_per_task=1,
            auto_set_gpu=False,
        )
        jobs = resolver.cluster_spec().as_dict()
        task_type, task_id = resolver.get_task_info()
    except (RuntimeError, ValueError) as error:
        found = ", ".join(f"{name}={environment[name]}" for name in _SLURM)
        raise errors.InputError(f"{found}: expected the variables of a task that srun has started ({error})") from error
    # The resolver sorts the hosts by name (n10 before n9), Slurm numbers its tasks in another order.
    if "SLURMD_NODENAME" in environment and "SLURM_LOCALID" in environment:
        own = f"{environment['SLURMD_NODENAME']}:{first_port + int(environment['SLURM_LOCALID'])}"
        if own in jobs[task_type]:
            task_id = jobs[task_type].index(own)
    return Cluster(jobs, task_type, task_id)
