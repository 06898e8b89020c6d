"""Which workers there are, by TF_CONFIG and by Slurm's variables; one process; the launch script's bookkeeping."""

import json
import os
import pathlib
import signal
import subprocess
import sys
import time

import numpy as np
import pytest
import tensorflow as tf

from famus_tf import errors
from famus_tf.devices import cluster as clusters
from famus_tf.devices import sharing
from famus_tf.devices import strategy as strategies

ROOT = pathlib.Path(__file__).resolve().parents[2]
TWO = {"worker": ["a:2222", "b:2222"]}


def tf_config(jobs, task_type="worker", task_id=0):
    """An environment with this TF_CONFIG."""
    return {"TF_CONFIG": json.dumps({"cluster": jobs, "task": {"type": task_type, "index": task_id}})}


def slurm(nodes, tasks_per_node, number, **more):
    """An environment as `srun` makes it for one task."""
    names = {"STEP_NODELIST": nodes, "STEP_TASKS_PER_NODE": tasks_per_node, "PROCID": number, **more}
    return {f"SLURM_{name}": str(value) for name, value in names.items()}


def test_what_each_replica_keeps_for_itself_is_averaged(two_replicas):
    with two_replicas.scope():
        kept = tf.Variable([0.0, 0.0], trainable=False)

    def update():
        replica = tf.distribute.get_replica_context().replica_id_in_sync_group
        kept.assign(tf.cast(replica, tf.float32) * [2.0, -6.0])

    two_replicas.run(tf.function(update))
    copies = two_replicas.experimental_local_results(kept)
    assert [copy.numpy().tolist() for copy in copies] == [[0.0, 0.0], [2.0, -6.0]]
    sharing.make_averager(two_replicas, [kept])()
    assert [copy.numpy().tolist() for copy in copies] == [[1.0, -3.0], [1.0, -3.0]]


def test_workers_of_tf_config():
    cluster = clusters.find_cluster(tf_config(TWO, task_id=1))
    assert cluster.workers == ["a:2222", "b:2222"]
    assert (cluster.position, cluster.task_type, cluster.task_id) == (1, "worker", 1)


def test_a_worker_named_chief_comes_first():
    jobs = {"worker": ["a:1", "b:1"], "chief": ["c:1"]}
    positions = [
        clusters.find_cluster(tf_config(jobs, *task)).position for task in (("chief", 0), ("worker", 0), ("worker", 1))
    ]
    assert positions == [0, 1, 2]
    assert clusters.find_cluster(tf_config(jobs)).workers == ["c:1", "a:1", "b:1"]


@pytest.mark.parametrize(
    "text",
    [
        "{",
        "[]",
        "{}",
        json.dumps({"cluster": TWO}),
        json.dumps({"cluster": TWO, "task": {"type": "worker", "index": 2}}),
        json.dumps({"cluster": TWO, "task": {"type": "worker", "index": -1}}),
        json.dumps({"cluster": TWO, "task": {"type": "worker", "index": "0"}}),
        json.dumps({"cluster": TWO, "task": {"type": "ps", "index": 0}}),
        json.dumps({"cluster": {**TWO, "ps": ["c:1"]}, "task": {"type": "worker", "index": 0}}),
        json.dumps({"cluster": {"worker": "a:2222"}, "task": {"type": "worker", "index": 0}}),
        json.dumps({"cluster": {"worker": ["a:1", "a:1"]}, "task": {"type": "worker", "index": 0}}),
        json.dumps({"cluster": {"worker": ["a"]}, "task": {"type": "worker", "index": 0}}),
        json.dumps({"cluster": {"worker": ["a:99999"]}, "task": {"type": "worker", "index": 0}}),
        json.dumps({"cluster": {"worker": ["a:1"], "chief": ["b:1", "c:1"]}, "task": {"type": "worker", "index": 0}}),
    ],
)
def test_unusable_tf_config_is_one_sentence_with_the_form(text):
    with pytest.raises(errors.InputError) as caught:
        clusters.find_cluster({"TF_CONFIG": text})
    message = str(caught.value)
    assert message.startswith(f"TF_CONFIG={text}: expected ")
    assert '{"cluster": {"worker": ["host0:2222"' in message
    assert "\n" not in message


def test_no_workers_named():
    environment = slurm("n1", 1, 0)  # a batch script that srun has not started has no number of tasks
    for given in ({}, {"TF_CONFIG": ""}, environment):
        with pytest.raises(errors.InputError, match=r'neither TF_CONFIG nor .*"task": {"type": "worker", "index": 0}'):
            clusters.find_cluster(given)


@pytest.fixture
def environment(monkeypatch):
    """Function that sets variables of this process, whose Slurm variables are removed first."""
    for name in [name for name in os.environ if name.startswith("SLURM") or name == "TF_CONFIG"]:
        monkeypatch.delenv(name)

    def put(variables):
        for name, value in variables.items():
            monkeypatch.setenv(name, value)
        return os.environ

    return put


def test_workers_of_slurm(environment):
    given = environment(slurm("n[1-2],m5", "2(x2),1", 3, STEP_NUM_TASKS=5, JOB_ID=7))
    cluster = clusters.find_cluster(given)
    hosts = [address.split(":")[0] for address in cluster.workers]
    assert hosts == ["m5", "n1", "n1", "n2", "n2"]
    assert len(set(cluster.workers)) == 5
    assert all(20000 <= int(address.split(":")[1]) < 32768 for address in cluster.workers)
    assert cluster.position == 3


def test_jobs_on_one_machine_have_other_ports(environment):
    given = slurm("n1", "2", 0, STEP_NUM_TASKS=2)
    one, other = (clusters.find_cluster(environment({**given, "SLURM_JOB_ID": job})) for job in ("41", "42"))
    assert not set(one.workers) & set(other.workers)


def test_slurm_tasks_know_their_own_machine(environment):
    # Sorted by name n10 comes before n9, but Slurm's first task runs on n9.
    given = environment(slurm("n[9-10]", "1(x2)", 0, STEP_NUM_TASKS=2, LOCALID=0) | {"SLURMD_NODENAME": "n9"})
    cluster = clusters.find_cluster(given)
    assert cluster.workers[cluster.position].startswith("n9:")


def test_tf_config_comes_before_slurm(environment):
    given = environment(slurm("n1", "2", 0, STEP_NUM_TASKS=2) | tf_config(TWO))
    assert clusters.find_cluster(given).workers == TWO["worker"]


@pytest.mark.parametrize(("nodes", "tasks"), [("n1", "3"), ("n[1", "2"), ("n1", "two")])
def test_unusable_slurm_variables(environment, nodes, tasks):
    with pytest.raises(errors.InputError, match="expected the variables of a task that srun has started"):
        clusters.find_cluster(environment(slurm(nodes, tasks, 0, STEP_NUM_TASKS=2)))


def test_one_process_is_its_own_chief(two_replicas, tmp_path):
    dataset = tf.data.Dataset.range(8).batch(4, drop_remainder=True)
    one = strategies.make_strategy("one_device")
    for strategy in (one, two_replicas):
        assert clusters.num_workers(strategy) == 1
        assert clusters.is_chief(strategy)
        assert sharing.values_of_workers(strategy, 7) == [7]
        records = {"index": tf.range(3)}
        assert sharing.complete_records(strategy, records, rows=("index",), shares=()) is records
        with sharing.place_to_write(strategy, tmp_path / "export") as place:
            assert place == tmp_path / "export"
        sharing.check_workers_agree(strategy, ["--seed=1"], "data", 3)
    of_one = [batch.numpy().tolist() for batch in sharing.distribute_batches(one, dataset)]
    assert of_one == [[0, 1, 2, 3], [4, 5, 6, 7]]


@pytest.mark.parametrize(("other", "said"), [(0, "other flags"), (1, "other images or labels"), (2, "of steps 3, 4")])
def test_workers_that_do_not_agree(monkeypatch, other, said):
    calls = iter(range(3))

    def values(strategy, value):
        return [value, value + (next(calls) == other)]

    monkeypatch.setattr(sharing, "values_of_workers", values)
    with pytest.raises(errors.InputError, match=said):
        sharing.check_workers_agree(None, ["--seed=1"], "data", 3)


def test_each_replica_gets_the_share_that_tensorflow_would_give_it(two_replicas):
    rows = np.arange(24, dtype=np.float32).reshape(12, 2)
    dataset = tf.data.Dataset.from_tensor_slices(((rows, rows + 100), np.arange(12))).batch(4, drop_remainder=True)
    ours = sharing.distribute_batches(two_replicas, dataset)
    for mine, theirs in zip(ours, two_replicas.experimental_distribute_dataset(dataset), strict=True):
        for part, expected in zip(tf.nest.flatten(mine), tf.nest.flatten(theirs), strict=True):
            parts, wanted = (two_replicas.experimental_local_results(value) for value in (part, expected))
            np.testing.assert_array_equal(np.stack(parts), np.stack(wanted))


def test_only_several_workers_can_lose_one():
    error = tf.errors.UnavailableError(None, None, "Socket closed")
    explained = pytest.raises(errors.InputError, match="another worker has stopped")
    with explained, strategies.lost_workers_explained("multi_worker"):
        raise error
    with pytest.raises(tf.errors.UnavailableError), strategies.lost_workers_explained("mirrored"):
        raise error


@pytest.fixture
def stand_in(tmp_path):
    """A Python that passes the script's own questions on, and for a worker writes down what it was given."""
    script = tmp_path / "python"
    script.write_text(
        f"""#!/bin/bash
if [[ "$1" != -m ]]; then exec {sys.executable} "$@"; fi
index=$(sed 's/.*"index": \\([0-9]*\\).*/\\1/' <<<"$TF_CONFIG")
echo "$TF_CONFIG" >"{tmp_path}/config$index"
echo "$CUDA_VISIBLE_DEVICES|$*" >"{tmp_path}/arguments$index"
echo "I am $index"
if [[ "$index" == "$FAILS" ]]; then exit 3; fi
if [[ "$DEAF" ]]; then trap '' TERM; while sleep 0.2; do :; done; fi
if [[ "$FAILS" ]]; then exec sleep 100; fi
"""
    )
    script.chmod(0o755)

    def start(*arguments, fails="", deaf=""):
        return subprocess.Popen(
            ["./launch/multi_worker.sh", *arguments],
            cwd=ROOT,
            env=os.environ | {"PYTHON": str(script), "FAILS": fails, "DEAF": deaf, "PATIENCE": "1"},
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            start_new_session=True,
            # A shell that was itself started with SIGINT ignored, as in the background, cannot trap it.
            preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
        )

    return start


def test_launch_script_gives_each_worker_its_place(stand_in, tmp_path):
    workdir = tmp_path / "a run"
    done = stand_in("3", "--flagfile=flags/digits.cfg", f"--workdir={workdir}")
    output, said = done.communicate(timeout=60)
    assert done.returncode == 0, said
    assert output == "I am 0\n"
    found = []
    for index in range(3):
        environment = {"TF_CONFIG": (tmp_path / f"config{index}").read_text()}
        found.append(clusters.find_cluster(environment))
        assert (tmp_path / f"arguments{index}").read_text() == (
            f"|-m famus_tf.main --flagfile=flags/digits.cfg --workdir={workdir} --strategy=multi_worker\n"
        )
    assert [cluster.position for cluster in found] == [0, 1, 2]
    assert found[0].workers == found[1].workers == found[2].workers
    assert len(found[0].workers) == 3
    assert [(workdir / f"worker{index}.log").read_text() for index in (1, 2)] == ["I am 1\n", "I am 2\n"]


@pytest.mark.parametrize(("fails", "deaf"), [("0", ""), ("1", ""), ("0", "yes")])
def test_launch_script_stops_the_rest_when_one_fails(stand_in, tmp_path, fails, deaf):
    """Also one that does not hear a first signal."""
    started = time.time()
    done = stand_in("2", "--epochs=1", f"--workdir={tmp_path / 'run'}", fails=fails, deaf=deaf)
    _, said = done.communicate(timeout=60)
    assert done.returncode == 3
    assert said.startswith("multi_worker.sh: error: a worker ended with status 3")
    assert said.count("\n") == 1
    assert time.time() - started < 60
    deadline = time.time() + 20
    while running_in_group(done.pid):  # nobody of the script's group is left
        assert time.time() < deadline
        time.sleep(0.05)


def running_in_group(group):
    """Processes of a group that run; a killed one whose parent is gone may stay listed as a zombie."""
    listed = subprocess.run(["ps", "-eo", "pgid=,stat="], capture_output=True, text=True, check=True).stdout
    rows = (line.split() for line in listed.splitlines())
    return [state for number, state in rows if int(number) == group and not state.startswith("Z")]


def test_launch_script_interrupted_stops_all(stand_in, tmp_path):
    done = stand_in("2", "--epochs=1", f"--workdir={tmp_path / 'run'}", fails="none")
    while not all((tmp_path / f"arguments{index}").exists() for index in range(2)):
        assert done.poll() is None
        time.sleep(0.01)
    os.kill(done.pid, signal.SIGINT)
    done.communicate(timeout=60)
    assert done.returncode == 130
    with pytest.raises(ProcessLookupError):
        os.killpg(done.pid, 0)


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["2", "--epochs=1", "--colour=red"], "colour"),
        (["2"], "expected a number of workers and flags"),
        (["--flagfile=flags/digits.cfg", "2"], "expected a number of workers and flags"),
    ],
)
def test_launch_script_answers_a_mistake_in_one_line(stand_in, arguments, said):
    done = stand_in(*arguments)
    output, message = done.communicate(timeout=60)
    assert done.returncode == 2
    assert said in message
    assert message.count("\n") == 1
    assert output == ""


def test_slurm_script_starts_the_command_without_tf_config(tmp_path):
    srun = tmp_path / "srun"
    srun.write_text('#!/bin/bash\necho "$PWD|${TF_CONFIG-unset}"\nprintf "%s\\n" "$@"\n')
    srun.chmod(0o755)
    environment = os.environ | tf_config(TWO) | {"PATH": f"{tmp_path}:{os.environ['PATH']}", "PYTHON": "python"}
    environment |= {"SLURM_SUBMIT_DIR": str(ROOT)}
    script = ["bash", str(ROOT / "launch" / "slurm.sbatch")]
    done = subprocess.run([*script, "--workdir=a run"], cwd=tmp_path, env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    where, *arguments = done.stdout.splitlines()
    assert where == f"{ROOT}|unset"
    assert arguments[-5:] == ["python", "-m", "famus_tf.main", "--strategy=multi_worker", "--workdir=a run"]
    del environment["SLURM_SUBMIT_DIR"]
    done = subprocess.run([*script, "--epochs=1"], cwd=tmp_path, env=environment, capture_output=True, text=True)
    assert done.returncode != 0
    assert "expected to be run by Slurm" in done.stderr
