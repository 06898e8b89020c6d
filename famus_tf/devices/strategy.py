"""Which devices a run uses (`tf.distribute`), and the error where another worker is lost."""

import contextlib
import os
import signal
import threading

import tensorflow as tf

from famus_tf import errors
from famus_tf.devices import cluster as clusters
from famus_tf.devices import rendezvous

# How TensorFlow says that it cannot reach a worker, and who finds out that it does not answer.
_LOST = (tf.errors.UnavailableError, tf.errors.AbortedError, tf.errors.DeadlineExceededError, tf.errors.CancelledError)
_WATCH = "CoordinationService"
_MOMENT = 120.0  # seconds in which TensorFlow's servers must find each other, once all workers are there


def make_strategy(name, worker_timeout=0.0):
    """The `tf.distribute.Strategy` called `name`.

    GPUs are used where there are any; `mirrored` without GPUs runs on the logical CPU devices, and a worker without
    GPUs on its CPU. `multi_worker` waits until all workers are there, and must come before the first operation that
    TensorFlow runs in the process.

    Args:
      name: one_device, mirrored, auto (mirrored with several GPUs), or multi_worker (`cluster.find_cluster`).
      worker_timeout: seconds that a worker waits for the others.

    Raises:
      InputError: multi_worker, and nothing says which workers there are, or not all of them came (`rendezvous.meet`).
    """
    if name == "multi_worker":
        return _multi_worker_strategy(clusters.find_cluster(os.environ), worker_timeout)
    gpus = [device.name for device in tf.config.list_logical_devices("GPU")]
    cpus = [device.name for device in tf.config.list_logical_devices("CPU")]
    devices = gpus or cpus
    if name == "mirrored" or (name == "auto" and len(gpus) > 1):
        return tf.distribute.MirroredStrategy(devices)
    return tf.distribute.OneDeviceStrategy(devices[0])


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
