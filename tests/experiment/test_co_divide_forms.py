"""DivideMix, the simple form, meta steps now and then, epochs of a sample, two replicas; each in a few steps."""

import re

import numpy as np
import pytest

from famus_tf.config import config
from famus_tf.devices import strategy as strategies
from famus_tf.evaluation import saved_model
from famus_tf.experiment import build_data
from famus_tf.experiment import modes as experiment
from famus_tf.methods import clean_split
from famus_tf.profiling import stage_times
from tests import co_divide_runs, small_networks

N, EPOCHS, SAVE = co_divide_runs.N, {"meta_from_epoch": 1, "epochs": 2}, saved_model.export


@pytest.fixture(scope="module")
def networks(tmp_path_factory):
    """Files of a network with BatchNorm and of one without."""
    folder = tmp_path_factory.mktemp("networks")
    return {bn: small_networks.save_convolutions(folder / f"{bn}.keras", batch_norm=bn) for bn in (True, False)}


@pytest.fixture(autouse=True)
def quick(monkeypatch):
    co_divide_runs.without_pictures(monkeypatch)


def check(results, workdir, count, meta_steps):
    """What holds for every form: finite losses, splits after the warm-up alone, so many meta steps of each network.

    `meta_steps` has for each network their number, or their numbers by epoch after the warm-up.
    """
    divisions, done = co_divide_runs.state_of(workdir, count)
    alone = [results] if count == 1 else results["networks"]
    assert len(alone) == count and results["steps"] == sum(one["steps"] for one in alone)
    for one, progress, said in zip(alone, done, meta_steps, strict=True):
        after = len(one["history"]) - 1
        by_epoch = said if isinstance(said, list) else [said] * after
        expected = sum(said) if isinstance(said, list) else said
        assert all(np.isfinite(epoch["loss"]) for epoch in one["history"])
        assert progress.gate_steps == expected and (one["selected_layers"] is not None) == (expected > 0)
        assert [("gates" in epoch) for epoch in one["history"]] == [False, *(steps > 0 for steps in by_epoch)]
        assert np.nanmin(progress.example_weight) >= 0
    history = results["history"]
    assert ["split" in epoch for epoch in history] == [False] + [True] * (len(history) - 1)
    assert divisions.epoch == len(history) - 1 and len(history[-1]["split"]) == count
    return divisions, done


def accuracy_said(text):
    return float(re.search(r"test accuracy ([\d.]+)", text).group(1))


@pytest.mark.slow
def test_the_stages_of_a_step_with_guessed_labels_are_timed(tmp_path, networks):
    flags = EPOCHS | {"network": networks[True], "log_stage_times": True, "selector": "block"}
    results = co_divide_runs.run(tmp_path / "timed", **flags)
    plain = co_divide_runs.run(tmp_path / "plain", **flags | {"log_stage_times": False})
    for timed, one in zip(results["networks"], plain["networks"], strict=True):
        (entry,) = timed["stage_times"]
        assert entry["step"] == timed["steps"] and next(iter(entry["seconds"])) == stage_times.LABEL_GUESSING
        assert timed["history"] == one["history"]


def test_with_the_cross_entropy_for_a_learner_it_is_dividemix(tmp_path, networks, monkeypatch, capsys):
    """No meta step, and all examples weigh the same; the better network is exported."""
    monkeypatch.setattr(saved_model, "export", SAVE)
    flags = EPOCHS | {"method": "cross_entropy", "export_network": "better", "network": "small_preact"}
    results = co_divide_runs.run(tmp_path / "run", **flags)
    _, done = check(results, tmp_path / "run", 2, (0, 0))
    for progress in done:
        seen = progress.example_weight[~np.isnan(progress.example_weight)]
        np.testing.assert_array_equal(seen, np.ones(N))
    accuracies = [one["test_accuracy"]["last"] for one in results["networks"]]
    assert f"exported: network {np.argmax(accuracies) + 1}, " in capsys.readouterr().out
    flags |= {"workdir": str(tmp_path / "run"), "mode": "evaluate"}
    experiment.run(config.from_values(co_divide_runs.ALGORITHM_2 | flags))
    assert accuracy_said(capsys.readouterr().out) == pytest.approx(max(accuracies), abs=5e-5)


def test_two_networks_in_the_simple_form(tmp_path, networks):
    flags = EPOCHS | {"network": networks[True], "semi_supervised": False, "selector": "all"}
    results = co_divide_runs.run(tmp_path / "run", **flags)
    steps = N // 8
    divisions, done = check(results, tmp_path / "run", 2, (steps, steps))
    assert [one["steps"] for one in results["networks"]] == [2 * steps, 2 * steps]
    assert (divisions.splits[0].clean != divisions.splits[1].clean).any()
    for one, progress in zip(results["networks"], done, strict=True):
        # All images are trained on, not the pseudo-clean ones alone.
        assert np.nanmin(progress.example_weight) > 0 and np.ptp(progress.example_weight) > 0
        assert not np.isnan(progress.example_weight).any() and 0 < one["history"][-1]["accuracy"] < 1


def test_layers_chosen_by_agreement(tmp_path, networks):
    """Of each network by its own measurements, on mixed images and labels, every third of its steps."""
    flags = EPOCHS | {"network": networks[True], "selector": "agreement", "agreement_every": 3}
    results = co_divide_runs.run(tmp_path / "run", **flags)
    for number, one in enumerate(results["networks"]):
        last = one["history"][-1]
        assert last["gates"] and len(last["repeatability"]) == one["layers"] == 3
        assert np.abs(last["repeatability"]).max() <= 1 and np.ptp(last["repeatability"]) > 0
        assert one["selected_layers"] >= 1, number


@pytest.mark.parametrize("method", ["memory_weight_net", "running_score", "running_probability"])
def test_weights_by_what_is_remembered(tmp_path, networks, method):
    """Of mixed images and guessed labels; each network remembers for itself, every example that its epochs had."""
    results = co_divide_runs.run(
        tmp_path / "run", **EPOCHS | {"network": networks[True], "method": method, "epochs": 4}
    )
    numbers = co_divide_runs.weights(tmp_path / "run")
    visits = [value for name, value in sorted(numbers.items()) if "_visits" in name and ".ATTRIBUTES" in name]
    assert len(visits) == 2 and all(len(table) == N and table.max(axis=1).min() >= 1 for table in visits)
    sums = [value for name, value in sorted(numbers.items()) if "/_sums" in name]
    assert np.abs(sums[0] - sums[1]).max() > 1e-3
    for one in results["networks"]:
        last = one["history"][-1]
        assert last["trust_probability"] > 0 and np.isfinite(last["loss"])


@pytest.mark.parametrize("method", ["memory_weight_net", "cmw_net", "soft_labels"])
def test_other_learners_on_pseudo_clean_sets(tmp_path, networks, method):
    flags = EPOCHS | {"network": networks[True], "algorithm": "single", "method": method, "selector": "block"}
    results = co_divide_runs.run(tmp_path / "run", **flags)
    check(results, tmp_path / "run", 1, [N // 8])


def test_l2r_on_a_networks_own_pseudo_clean_set(tmp_path, networks):
    flags = EPOCHS | {"network": networks[True], "algorithm": "single", "method": "l2r", "selector": "block"}
    results = co_divide_runs.run(tmp_path / "run", **flags)
    _, (progress,) = check(results, tmp_path / "run", 1, [N // 8])
    assert results["steps"] == 2 * N // 8 and not np.isnan(progress.example_weight).any()
    assert 0.02 < (progress.example_weight == 0).mean() < 0.98


def test_one_loop_with_meta_steps_now_and_then_on_epochs_of_a_sample(tmp_path, networks, monkeypatch):
    """Only the epoch's sample is scanned and split, the same by both networks; it is another one in each epoch."""
    sizes = {"batches_per_epoch": 9, "sampling": "balanced", "meta_every": 3, "epochs": 3, "meta_from_epoch": 1}
    sizes |= {"schedule": "one_loop", "selector": "all"}
    split, seen = clean_split.split, []

    def watched(losses, *arguments):
        seen.append(~np.isnan(losses))
        return split(losses, *arguments)

    monkeypatch.setattr(clean_split, "split", watched)
    results = co_divide_runs.run(tmp_path / "run", networks[False], **sizes)
    warm_up, meta_steps = 72 // 16, []
    for number, one in enumerate(results["networks"]):
        per_epoch = [epoch["split"][1 - number]["clean"] // 8 for epoch in results["history"][1:]]
        assert one["steps"] == warm_up + sum(per_epoch)
        ends = np.cumsum([0, *per_epoch])  # every third step is a meta step, whatever the epoch
        meta_steps.append(np.diff(-(-ends // 3)).tolist())
    divisions, _ = check(results, tmp_path / "run", 2, meta_steps)
    settings = config.from_values(co_divide_runs.ALGORITHM_2 | sizes | {"network": networks[False]})
    dataset = build_data.make_dataset(settings.data, settings.run.seed)
    feed = build_data.make_feed(
        settings.optimization, dataset, strategies.make_strategy("one_device"), settings.run.seed, 500
    )
    scanned = seen[:2], seen[2:]  # in each epoch by both networks
    assert len(seen) == 4
    for epoch, found in enumerate(scanned, start=1):
        for network in found:
            np.testing.assert_array_equal(np.flatnonzero(network), feed.sample(epoch))
        counts = np.bincount(dataset.train_labels[found[0]], minlength=10)
        assert counts.sum() == 72 and np.ptp(counts) <= 1
    assert (scanned[0][0] != scanned[1][0]).any()
    for split, said in zip(divisions.splits, results["history"][-1]["split"], strict=True):
        np.testing.assert_array_equal(split.scanned, scanned[1][0])
        assert said["clean"] + said["noisy"] == 72


def test_one_replica_is_two_replicas(tmp_path, networks, two_replicas, monkeypatch):
    flags, scanned = EPOCHS | {"network": networks[False], "train_limit": 100}, []
    with co_divide_runs.scans(scanned):
        one = co_divide_runs.run(tmp_path / "one", **flags)
        monkeypatch.setattr(strategies, "make_strategy", lambda *of: two_replicas)
        two = co_divide_runs.run(tmp_path / "two", **flags)
    numbers, others = (co_divide_runs.weights(tmp_path / name) for name in ("one", "two"))
    names, other_names = ({name for name in found if name.startswith("trainers/")} for found in (numbers, others))
    assert names == other_names and len(names) > 50
    for name in names:
        np.testing.assert_allclose(others[name], numbers[name], rtol=1e-4, atol=1e-5, err_msg=name)
    (divisions, done), (other_divisions, other_done) = (
        co_divide_runs.state_of(tmp_path / name, 2, count=100) for name in ("one", "two")
    )
    assert len(scanned) == 6  # of each run the two of the last epoch and that of the label report
    np.testing.assert_allclose(scanned[3:], scanned[:3], rtol=1e-4)
    for mine, theirs in zip(divisions.splits, other_divisions.splits, strict=True):
        np.testing.assert_array_equal(mine.clean, theirs.clean)
    for mine, theirs in zip(done, other_done, strict=True):
        assert mine.gate_steps == theirs.gate_steps > 2
        np.testing.assert_allclose(theirs.example_weight, mine.example_weight, rtol=1e-3)
        np.testing.assert_array_equal(theirs.gate_sums, mine.gate_sums)
    for mine, theirs in zip(one["history"], two["history"], strict=True):
        assert theirs["test_loss"] == pytest.approx(mine["test_loss"], rel=1e-4)
    for mine, theirs in zip(one["networks"], two["networks"], strict=True):
        for found, expected in zip(theirs["history"], mine["history"], strict=True):
            assert found["loss"] == pytest.approx(expected["loss"], rel=1e-4)
            if "meta_loss" in expected:
                assert found["meta_loss"] == pytest.approx(expected["meta_loss"], rel=1e-4)
