"""Which processes train together, and which of them this one is: TF_CONFIG, Slurm.

Several workers are several processes, as a rule on several machines, that hold the same weights and train in step, each
on its share of every global batch. One of them is the chief: it alone writes the run directory; the others read the
checkpoints in it.
"""

import dataclasses
import itertools
import json

import tensorflow as tf

from famus_tf import errors

_FORM = 'as {"cluster": {"worker": ["host0:2222", "host1:2222"]}, "task": {"type": "worker", "index": 0}}'
# What `srun` sets for each task, and TensorFlow's resolver reads.
_SLURM = ("SLURM_PROCID", "SLURM_STEP_NUM_TASKS", "SLURM_STEP_NODELIST", "SLURM_STEP_TASKS_PER_NODE")


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
        f"option `strategy`=multi_worker: found neither TF_CONFIG nor the variables of a task that srun has started; "
        f"expected TF_CONFIG in each worker's environment, {_FORM}, with the worker's own index"
    )


def num_workers(strategy):
    """Number of processes that train in step; 1 for every strategy but multi_worker."""
    return len(cluster_of(strategy).workers)


def is_chief(strategy):
    """Whether this process is the one that writes the run directory (always, where there is one process)."""
    return position(strategy) == 0


def position(strategy):
    """This process's place among the workers; 0 is the chief."""
    return cluster_of(strategy).position


def cluster_of(strategy):
    """The `Cluster` of a strategy; of one process for every strategy but multi_worker."""
    if not isinstance(strategy, tf.distribute.MultiWorkerMirroredStrategy):
        return Cluster({"worker": [""]}, "worker", 0)
    resolver = strategy.cluster_resolver
    return Cluster(resolver.cluster_spec().as_dict(), resolver.task_type, resolver.task_id)


def _cluster_of_tf_config(text):
    try:
        parsed = json.loads(text)
        jobs = parsed["cluster"]
        task_type = parsed["task"]["type"]
        task_id = parsed["task"]["index"]
        workers = list(itertools.chain.from_iterable(jobs.values()))
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
        variables = ", ".join(f"{name}={environment[name]}" for name in _SLURM)
        raise errors.InputError(
            f"{variables}: expected the variables of a task that srun has started ({error})"
        ) from error
    # The resolver sorts the hosts by name (n10 before n9), Slurm numbers its tasks in another order.
    if "SLURMD_NODENAME" in environment and "SLURM_LOCALID" in environment:
        address = f"{environment['SLURMD_NODENAME']}:{first_port + int(environment['SLURM_LOCALID'])}"
        if address in jobs[task_type]:
            task_id = jobs[task_type].index(address)
    return Cluster(jobs, task_type, task_id)
