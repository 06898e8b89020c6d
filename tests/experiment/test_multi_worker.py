"""Two worker processes: the weights of one process, kill and resume, who writes and speaks.

The network has no BatchNorm, so that nothing but rounding may differ from one process; in
test_multi_worker_batch_norm.py it has. How far longer runs are apart: `python -m benchmarks.workers`.
"""

import itertools
import re
import signal
import time

import numpy as np
import pytest
import tensorflow as tf

from tests import worker_processes


@pytest.fixture(scope="module", autouse=True)
def images(tmp_path_factory):
    """The digits."""
    with worker_processes.images_in(tmp_path_factory.mktemp("digits")):
        yield


@pytest.fixture(scope="module")
def runs(tmp_path_factory):
    """Run directories, all of the same flags but for the strategy: one process, and two workers."""
    folder = tmp_path_factory.mktemp("multi_worker")
    one = worker_processes.start(folder / "one", "--strategy=one_device")
    (output,) = worker_processes.end(one)
    assert one.returncode == 0, output
    pair = worker_processes.start_pair(folder / "two", worker_processes.by_tf_config())
    outputs = worker_processes.end(*pair)
    for process, output in zip(pair, outputs, strict=True):
        assert process.returncode == 0, output
    return folder / "one", folder / "two", outputs


def test_two_workers_have_the_weights_of_one_process(runs):
    one, two, _ = runs
    (expected, progress_of_one), (found, progress_of_two) = worker_processes.state(one), worker_processes.state(two)
    assert found.keys() == expected.keys()
    assert len(found) > 40
    for name, value in expected.items():
        np.testing.assert_allclose(found[name], value, rtol=1e-5, atol=2e-6, err_msg=name)
    # The chief knows the weights of all examples, also of those that the other worker has trained on.
    assert not np.isnan(progress_of_two["example_weight"]).any()
    np.testing.assert_allclose(progress_of_two["example_weight"], progress_of_one["example_weight"], rtol=1e-4)
    np.testing.assert_array_equal(progress_of_two["gate_sums"], progress_of_one["gate_sums"])
    assert 0 < progress_of_one["gate_sums"].sum() < 10 * len(progress_of_one["gate_sums"])  # gates were on and off


def test_two_workers_report_what_one_process_reports(runs):
    one, two, _ = runs
    expected, found = worker_processes.results(one), worker_processes.results(two)
    for ours, theirs in itertools.chain([(expected, found)], zip(expected["history"], found["history"], strict=True)):
        assert ours.keys() == theirs.keys()
        for name in ours.keys() - {
            "history",
            "example_weight",
            "dataset",
            "method",
            "selector",
            "selected_epoch",
            "other_tests",
        }:
            assert theirs[name] == pytest.approx(ours[name], rel=1e-4), name
    # Counts over the whole test set, so equal and not only near.
    assert found["test_accuracy"] == expected["test_accuracy"]
    assert found["example_weight"] == pytest.approx(expected["example_weight"], rel=1e-4)


def test_only_the_chief_writes_and_speaks(runs):
    _, two, (chief_said, other_said) = runs
    names = {
        "flags.cfg",
        "versions.json",
        "results.json",
        "best.weights.h5",
        "checkpoints",
        "tensorboard",
        "export",
        "class_accuracy.png",
        "curves.png",
        "data.json",
        "data.tsv.gz",
        "gates.png",
        "labels.csv",
        "labels.html",
    }
    assert {path.name for path in two.iterdir()} == names
    assert len(list((two / "tensorboard").iterdir())) == 1
    assert (two / "export" / "saved_model.pb").exists()
    for path in two.rglob("*"):
        assert path.stat().st_mode & 0o044, f"{path} was written by the other worker"
    assert not list(two.with_name("two_temporary").iterdir())
    assert re.search(r"waits for 2 workers: 127.0.0.1:\d+, 127.0.0.1:\d+\n", chief_said)
    assert "epoch 2/2, " in chief_said
    assert "test accuracy" in chief_said
    assert "images are read as 8x8" in chief_said
    assert not re.search("epoch|accuracy|workers|images|Traceback|[Ee]rror:", other_said)


def test_the_exported_network_is_the_chiefs(runs):
    images = tf.constant(np.random.default_rng(0).integers(0, 256, (5, 8, 8, 1), np.uint8))
    logits = []
    for workdir in runs[:2]:
        model = tf.saved_model.load(str(workdir / "export"))
        logits.append(model.signatures["serving_default"](images=images)["logits"])
    np.testing.assert_allclose(*logits, rtol=1e-4, atol=1e-5)


def test_both_killed_in_mid_epoch_they_go_on_and_end_with_the_same_weights(runs, tmp_path):
    _, two, _ = runs
    killed = tmp_path / "two"
    pair = worker_processes.start_pair(killed, worker_processes.by_slurm())
    state_file = killed / "checkpoints" / "checkpoint"
    deadline = time.time() + 240
    # Step 3 of 5 is in the middle of the first epoch.
    while not (state_file.exists() and "ckpt-3" in state_file.read_text()):
        assert all(process.poll() is None for process in pair), worker_processes.end(*pair)
        assert time.time() < deadline
        time.sleep(0.002)
    for process in pair:
        process.send_signal(signal.SIGKILL)
    worker_processes.end(*pair)
    assert not (killed / "results.json").exists()
    pair = worker_processes.start_pair(killed, worker_processes.by_slurm())
    outputs = worker_processes.end(*pair)
    for process, output in zip(pair, outputs, strict=True):
        assert process.returncode == 0, output
    assert re.search(r"goes on after step [3-9] of 10", outputs[0])
    (expected, whole_progress), (found, progress) = worker_processes.state(two), worker_processes.state(killed)
    for name, value in expected.items():
        np.testing.assert_array_equal(found[name], value, err_msg=name)
    for name, value in whole_progress.items():
        np.testing.assert_array_equal(progress[name], value, err_msg=name)
    whole, resumed = worker_processes.results(two), worker_processes.results(killed)
    for found in (whole, resumed):  # an entry of the history, which is compared below
        found["selected_epoch"] = found["selected_epoch"]["epoch"]
    # A mean over the epoch is restored in equal shares on both workers, so its sum may be rounded otherwise.
    for one, other in zip(whole.pop("history"), resumed.pop("history"), strict=True):
        assert other.pop("gates") == pytest.approx(one.pop("gates"))
        assert other == pytest.approx(one, rel=1e-6)
    assert resumed == whole


def test_workers_with_other_flags_and_batches_that_do_not_divide_are_refused(tmp_path):
    environments = worker_processes.by_tf_config()
    pair = [
        worker_processes.start(tmp_path / "run", "--strategy=multi_worker", f"--seed={seed}", environment=environment)
        for seed, environment in enumerate(environments)
    ]
    outputs = worker_processes.end(*pair)
    for process, output in zip(pair, outputs, strict=True):
        assert process.returncode == 2
        assert "famus_tf: error: --strategy=multi_worker: found workers with other flags" in output
    pair = worker_processes.start_pair(tmp_path / "odd", worker_processes.by_tf_config(), "--meta_batch_size=9")
    outputs = worker_processes.end(*pair)
    for process, output in zip(pair, outputs, strict=True):
        assert process.returncode == 2
        assert "famus_tf: error: --meta_batch_size=9: expected a multiple of the 2 devices in use" in output
    assert not (tmp_path / "odd").exists()
