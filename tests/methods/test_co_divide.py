"""Algorithm 2's plan with runners and feeds that say what they are asked for; what is saved."""

import types
import warnings

import numpy as np
import pytest
import tensorflow as tf

from famus_tf import errors
from famus_tf.config.co_divide import CoDivideConfig
from famus_tf.methods import clean_split, co_divide, mixmatch
from famus_tf.training import example_history
from famus_tf.training import plan as plans

N = 60
RIGHT = [np.arange(N) % 3 > 0, np.arange(N) % 4 > 0]  # what network 1 and network 2 will find: 40 and 45 of 60
OTHERS = {1: [0], 2: [1, 0]}  # the network whose split each network gets


class Feed:
    """Batches that say what they are: (stream, step) in place of images and of the index."""

    num_examples, steps_per_epoch = N, 7

    def __init__(self, samples=None):
        self.asked, self._samples = [], samples or {}

    def sample(self, epoch):
        return self._samples.get(epoch)

    def training(self, first, last):
        self.asked.append(types.SimpleNamespace(stream="training", first=first, last=last))
        return (("training", step) for step in range(first, last))

    def drawn(self, stream, among, size, first_step, last_step, *, views=0, values=None):
        self.asked.append(
            types.SimpleNamespace(
                stream=stream, among=among, size=size, first=first_step, last=last_step, views=views, values=values
            )
        )
        for step in range(first_step, last_step):
            yield ((stream, step), "labels", *([] if values is None else ["values"]), (stream, step))

    def named(self, stream):
        """What was asked for under that name, the only time."""
        (found,) = (one for one in self.asked if one.stream == stream)
        return found


def make_runner(is_meta_step=lambda step: True):
    return types.SimpleNamespace(
        method=types.SimpleNamespace(optimizer=types.SimpleNamespace(learning_rate=None), is_meta_step=is_meta_step),
        progress=types.SimpleNamespace(step=0, epoch_step=0, examples=example_history.ExampleHistory(N)),
    )


class Scan:
    """Losses of each network, another draw each time; what it takes for right has the small ones."""

    def __init__(self):
        self.asked, self.found = [], []

    def __call__(self, number, sample):
        rng = np.random.default_rng(len(self.asked))
        losses = np.where(RIGHT[number], rng.uniform(0, 0.4, N), rng.uniform(2, 4, N)).astype(np.float32)
        if sample is not None:
            losses[np.setdiff1d(np.arange(N), sample)] = np.nan
        self.asked.append((number, sample))
        self.found.append(losses)
        return co_divide.Scan(losses, -losses, 0.25 + number / 2)


def as_scan(losses, accuracy):
    return co_divide.Scan(losses, -losses, accuracy)


def make_plan(count=2, divisions=None, scan=None, samples=None, is_meta_step=lambda step: True, **changes):
    """A plan with fakes in all places, and the fakes."""
    sizes = {"warmup_epochs": 2, "batch_size": 8, "meta_batch_size": 4}
    sizes |= {name: changes.pop(name) for name in sizes if name in changes}
    options = {name: changes.pop(name) for name in ("learning_rate", "is_clean") if name in changes}
    parts = types.SimpleNamespace(
        runners=[make_runner(is_meta_step) for _ in range(count)],
        feeds=[Feed(samples) for _ in range(count)],
        scan=scan or Scan(),
        divisions=divisions or co_divide.CoDivideState(count, N),
        flags=CoDivideConfig(algorithm="co_divide", meta_set="pseudo_clean", **changes),
        sizes=co_divide.Sizes(**sizes),
    )
    if parts.flags.mixes:
        options.setdefault("learning_rate", lambda epoch: 0.1)
    form = co_divide.UnlabelledPlan if parts.flags.mixes else co_divide.GivenLabelsPlan
    plan = form(
        parts.runners, parts.feeds, parts.scan, parts.divisions, parts.flags, parts.sizes, seed=3, epochs=6, **options
    )
    return plan, parts


def restored(divisions):
    again = co_divide.CoDivideState(len(divisions.splits), N)
    again.deserialize(divisions.serialize())
    return again


def test_the_training_set_is_split_once_an_epoch_after_the_warm_up():
    plan, parts = make_plan()
    for epoch in (0, 1):
        plan.begin_epoch(epoch)
    assert parts.scan.asked == [] and parts.divisions.epoch == -1
    for _ in range(2):
        plan.begin_epoch(2)
        assert parts.scan.asked == [(0, None), (1, None)]
    resumed, others = make_plan(divisions=restored(parts.divisions))
    resumed.begin_epoch(2)
    assert others.scan.asked == []
    resumed.begin_epoch(3)
    assert others.scan.asked == [(0, None), (1, None)] and others.divisions.epoch == 3
    for split, right in zip(parts.divisions.splits, RIGHT, strict=True):
        np.testing.assert_array_equal(split.clean, right)


@pytest.mark.parametrize(
    ("sample", "settings", "said"),
    [
        (None, {"batch_size": 31}, "at least 31 clean and 31 others, and halves have 30 and 30"),
        (None, {"meta_batch_size": 31}, "at least 31 clean and 8 others, and halves have 30 and 30"),
        (None, {"batch_size": 99, "meta_batch_size": 31, "semi_supervised": False}, "at least 31 clean and 0 others, "),
        (np.arange(10, 51), {"batch_size": 21}, "at least 21 clean and 21 others, and halves have 21 and 20"),
    ],
)
def test_too_few_examples_for_any_split_are_refused_before_the_warm_up(sample, settings, said):
    samples = None if sample is None else {0: sample, 2: sample}
    count = N if sample is None else len(sample)
    with pytest.raises(errors.InputError, match=f"^{count} training examples in an epoch: expected {said}"):
        make_plan(samples=samples, **settings)
    fewer = {name: value - 1 for name, value in settings.items() if name != "semi_supervised"}
    plan, parts = make_plan(samples=samples, **(settings | fewer))
    plan.begin_epoch(2)
    assert all(split.clean.any() for split in parts.divisions.splits)


def test_of_a_sample_only_what_is_in_it_is_split():
    sample = np.arange(10, 50)
    plan, parts = make_plan(samples={2: sample})
    plan.begin_epoch(2)
    assert [(number, list(found)) for number, found in parts.scan.asked] == [(0, list(sample)), (1, list(sample))]
    for split, right in zip(parts.divisions.splits, RIGHT, strict=True):
        np.testing.assert_array_equal(np.flatnonzero(split.scanned), sample)
        np.testing.assert_array_equal(split.clean_index, np.intersect1d(np.flatnonzero(right), sample))


def test_the_networks_train_on_each_others_split():
    plan, parts = make_plan()
    plan.begin_epoch(3)
    phases = plan.phases(3)
    assert [(phase.number, phase.steps) for phase in phases] == [(0, 45 // 8), (1, 40 // 8)]
    for phase, other in zip(phases, OTHERS[2], strict=True):
        batches, split, feed = list(phase.batches(0)), parts.divisions.splits[other], parts.feeds[phase.number]
        assert len(batches) == phase.steps
        right = np.flatnonzero(RIGHT[other])
        for stream, among, size in (
            ("labelled 3", right, 8),
            ("unlabelled 3", np.setdiff1d(np.arange(N), right), 8),
            ("pseudo-clean 3", right, 4),
        ):
            asked = feed.named(stream)
            np.testing.assert_array_equal(asked.among, among)
            assert (asked.size, asked.first, asked.last, asked.views) == (size, 0, phase.steps, 2)
            if stream == "unlabelled 3":
                assert asked.values is None
            else:
                np.testing.assert_array_equal(asked.values, split.clean_probability)
        for step, (batch, meta) in enumerate(batches):
            known = (("labelled 3", step), "labels", "values", ("labelled 3", step))
            assert batch.labelled == mixmatch.Labelled(*known)
            assert batch.unlabelled == mixmatch.Unlabelled(*[("unlabelled 3", step)] * 2)
            trusted = (("pseudo-clean 3", step), "labels", "values", ("pseudo-clean 3", step))
            assert meta == mixmatch.Labelled(*trusted)


@pytest.mark.parametrize("count", [1, 2])
def test_the_simple_form_trusts_the_others_split_or_its_own(count):
    plan, parts = make_plan(count, semi_supervised=False)
    for epoch in (3, 4):  # of one iterator, which is not begun again
        plan.begin_epoch(epoch)
        phases = plan.phases(epoch)
        assert [(phase.number, phase.steps) for phase in phases] == [(number, 7) for number in range(count)]
        for phase, other in zip(phases, OTHERS[count], strict=True):
            stream = f"pseudo-clean {epoch}"
            expected = [
                (("training", 7 * epoch + step), ((stream, step), "labels", (stream, step))) for step in range(7)
            ]
            assert list(phase.batches(0)) == expected
            asked = parts.feeds[phase.number].named(stream)
            np.testing.assert_array_equal(asked.among, np.flatnonzero(RIGHT[other]))
            assert (asked.size, asked.views, asked.values) == (4, 0, None)
            asked = parts.feeds[phase.number].named("training")
            assert (asked.first, asked.last) == (21, 42)


def test_the_warm_up_is_plain_training_in_batches_of_both_kinds_together():
    plan, parts = make_plan(samples={1: np.arange(5, 29)})
    for epoch, among, steps in ((0, np.arange(N), 60 // 16), (1, np.arange(5, 29), 1)):
        for phase in plan.phases(epoch):
            assert phase.steps == steps
            stream = f"warm-up {epoch}"
            expected = [(((stream, step), "labels", (stream, step)), None) for step in range(steps)]
            assert list(phase.batches(0)) == expected
            asked = parts.feeds[phase.number].named(stream)
            np.testing.assert_array_equal(asked.among, among)
            assert (asked.size, asked.views, asked.values) == (16, 0, None)
    simple, parts = make_plan(1, semi_supervised=False, is_meta_step=lambda step: step >= 14)
    (phase,) = simple.phases(1)
    assert list(phase.batches(0)) == [(("training", 7 + step), None) for step in range(7)]
    assert [one.stream for one in parts.feeds[0].asked] == ["training"]


@pytest.mark.parametrize("length", [0, 1, 3])
def test_lambda_u_rises_from_the_end_of_the_warm_up_on(length):
    plan, _ = make_plan(lambda_u_ramp_epochs=length)
    found, passed = [], []
    for epoch in (2, 3, 5):
        plan.begin_epoch(epoch)
        first, _ = plan.phases(epoch)
        found += [float(batch.ramp) for batch, _ in first.batches(0)]
        passed += [epoch - 2 + step / 5 for step in range(5)]
    expected = np.clip(np.array(passed) / length, 0, 1) if length else np.ones(15)
    np.testing.assert_allclose(found, expected, rtol=1e-6)


def test_the_learning_rate_is_that_of_the_epoch():
    plan, parts = make_plan(learning_rate=lambda epoch: 0.1 / (1 + epoch))
    plan.begin_epoch(2)
    for epoch in (0, 2):
        plan.phases(epoch)
        assert [one.method.optimizer.learning_rate for one in parts.runners] == [0.1 / (1 + epoch)] * 2
    plan, parts = make_plan(semi_supervised=False)  # whose optimizers have a schedule of their own
    plan.phases(0)
    assert [one.method.optimizer.learning_rate for one in parts.runners] == [None, None]


@pytest.mark.parametrize("last", [1, 2, 3])
def test_the_mixture_is_fitted_to_the_mean_of_the_last_epochs_scaled_losses(last):
    plan, parts = make_plan(loss_epochs=last)
    for epoch in range(2, 6):
        plan.begin_epoch(epoch)
    for number in range(2):
        losses = np.float64(parts.scan.found[number::2])  # [epochs, N]
        low, high = losses.min(1, keepdims=True), losses.max(1, keepdims=True)
        expected = ((losses - low) / (high - low))[-last:]
        np.testing.assert_allclose(parts.divisions.losses[number], expected, atol=1e-6)
        probability, fitted = clean_split.clean_probability(expected.mean(0), seed=3)
        np.testing.assert_allclose(parts.divisions.splits[number].clean_probability, probability, atol=1e-4)
        np.testing.assert_allclose(parts.divisions.mixtures[number].means, fitted.means, rtol=1e-5)
        for other in {1, 2, 3} - {last}:
            other = clean_split.clean_probability(((losses - low) / (high - low))[-other:].mean(0), seed=3)[1]
            assert abs(other.means[1] - fitted.means[1]) > 1e-3


def test_losses_that_are_all_alike_or_infinite_or_not_scanned():
    losses = np.stack([np.full(N, 1.5), np.linspace(0, 1, N)]).astype(np.float32)
    losses[1, [0, 7]] = np.inf, np.nan
    plan, parts = make_plan(scan=lambda number, sample: as_scan(losses[number], 0.5))
    plan.begin_epoch(2)
    same, spread = parts.divisions.losses[:, 0]
    np.testing.assert_array_equal(same, np.zeros(N))
    first, second = parts.divisions.splits
    assert parts.divisions.mixtures[0] is None and first.clean.sum() == N // 2 and "half" in first.fallback
    low = losses[1, 1]
    np.testing.assert_allclose(spread[1:], (losses[1, 1:] - low) / (1 - low), rtol=1e-5)
    assert spread[0] == 1.0 and np.isnan(spread[7])
    np.testing.assert_array_equal(np.flatnonzero(~second.scanned), [7])
    assert not second.clean[0] and second.clean[1]
    plan, _ = make_plan(scan=lambda number, sample: as_scan(np.full(N, np.nan, np.float32), 0.5))
    with warnings.catch_warnings(), pytest.raises(errors.InputError, match=r"^0 scanned examples"):
        warnings.simplefilter("error")
        plan.begin_epoch(2)


@pytest.mark.parametrize("right", [5, 57])
@pytest.mark.parametrize("semi", [True, False])
def test_a_set_that_fills_no_batch_makes_the_split_one_of_halves(semi, right):
    """Of eight labelled and eight unlabelled images; the simple form needs four to trust, and nothing else."""
    losses = np.where(np.arange(N) < right, 0.1, 3) + np.linspace(0, 0.2, N)
    plan, parts = make_plan(semi_supervised=semi, scan=lambda number, sample: as_scan(losses.astype(np.float32), 0.5))
    plan.begin_epoch(2)
    for split in parts.divisions.splits:
        assert split.clean.sum() == (N // 2 if semi else right) and bool(split.fallback) is semi


@pytest.mark.parametrize(("semi", "count"), [(True, 2), (False, 2), (False, 1)])
def test_a_turn_goes_on_in_its_middle_with_the_same_batches(semi, count):
    """Meta batches come in meta steps alone, one after the other; the step is that of the network, not of the run."""

    def is_meta_step(step):
        return step >= 100 and (step - 100) % 3 == 0

    def batches_from(first, done):
        plan, parts = make_plan(count, divisions, semi_supervised=semi, is_meta_step=is_meta_step)
        plan.begin_epoch(3)
        assert parts.scan.asked == []
        phase = plan.phases(3)[-1]
        progress = parts.runners[-1].progress
        progress.step, progress.epoch_step = done + first, first
        for batch in phase.batches(first):
            progress.step, progress.epoch_step = progress.step + 1, progress.epoch_step + 1
            yield tf.nest.map_structure(lambda part: part.numpy() if tf.is_tensor(part) else part, batch)

    plan, parts = make_plan(count, semi_supervised=semi)
    plan.begin_epoch(3)
    divisions, steps = restored(parts.divisions), plan.phases(3)[-1].steps
    for done in (98, 100, 101, 200):
        whole = list(batches_from(0, done))
        assert len(whole) == steps
        meta = [trusted[0] for _, trusted in whole if trusted is not None]
        assert [trusted is not None for _, trusted in whole] == [is_meta_step(done + step) for step in range(steps)]
        assert meta == [("pseudo-clean 3", step) for step in range(len(meta))]
        for first in range(1, steps):
            assert list(batches_from(first, done)) == whole[first:]


def test_the_history_says_how_good_the_splits_are():
    is_clean = np.arange(N) % 2 > 0
    plan, _ = make_plan(is_clean=is_clean)
    assert plan.describe_epoch() == {}
    plan.begin_epoch(2)
    found = plan.describe_epoch()["split"]
    assert [one["clean"] for one in found] == [40, 45] and [one["noisy"] for one in found] == [20, 15]
    for number, (one, right) in enumerate(zip(found, RIGHT, strict=True)):
        assert one["precision"] == (is_clean & right).sum() / right.sum()
        assert one["recall"] == (is_clean & right).sum() / is_clean.sum()
        assert one["given_label_accuracy"] == 0.25 + number / 2
    plan, _ = make_plan()
    plan.begin_epoch(2)
    assert set(plan.describe_epoch()["split"][0]) == {"clean", "noisy", "fallback", "given_label_accuracy"}


def _divided():
    """Two networks, one of which has constant losses: no mixture, and a fallback that says so."""
    losses = [np.linspace(0, 1, N).astype(np.float32) ** 4, np.full(N, 2, np.float32)]
    losses[0][5] = np.nan
    plan, parts = make_plan(loss_epochs=2, scan=lambda number, sample: as_scan(losses[number], 0.125))
    for epoch in (2, 3):
        plan.begin_epoch(epoch)
    parts.divisions.history += [{"epoch": 1, "test_accuracy": 0.5, "split": [{"auc": None, "fallback": "é"}]}]
    assert parts.divisions.mixtures[0] is not None and parts.divisions.mixtures[1] is None
    assert "half" in parts.divisions.splits[1].fallback
    return parts.divisions


@pytest.mark.parametrize("make", [lambda: co_divide.CoDivideState(2, N), _divided], ids=["before", "after"])
def test_divisions_are_saved_and_come_back(make, tmp_path):
    divisions = make()
    tf.train.Checkpoint(state=divisions).write(str(tmp_path / "saved"))
    again = co_divide.CoDivideState(2, N)
    tf.train.Checkpoint(state=again).read(str(tmp_path / "saved")).assert_consumed()
    assert (again.epoch, again.history, again.accuracy) == (divisions.epoch, divisions.history, divisions.accuracy)
    assert again.mixtures == divisions.mixtures
    np.testing.assert_array_equal(again.losses, divisions.losses)
    assert again.losses.dtype == np.float32
    for found, expected in zip(again.splits, divisions.splits, strict=True):
        assert (found is None) == (expected is None)
        if expected is not None:
            np.testing.assert_array_equal(found.clean, expected.clean)
            np.testing.assert_array_equal(found.clean_probability, expected.clean_probability)
            assert found.fallback == expected.fallback


def test_a_plan_makes_turns_as_the_loop_takes_them():
    plan, _ = make_plan()
    plan.begin_epoch(2)
    assert plan.epochs == 6
    for epoch in (0, 2):
        assert all(isinstance(phase, plans.Phase) for phase in plan.phases(epoch))


@pytest.mark.parametrize("semi", [True, False])
def test_what_is_said_of_labels_that_no_step_has_counts_as_a_visit(semi):
    """With unlabelled images, that is; else the steps have the given labels."""
    plan, parts = make_plan(semi_supervised=semi, samples={3: np.arange(5, N)})
    for epoch in (2, 3):
        plan.begin_epoch(epoch)
    for number, runner in enumerate(parts.runners):
        examples = runner.progress.examples
        np.testing.assert_array_equal(examples.visits, np.where(np.arange(N) < 5, 1, 2) * semi)
        if semi:
            probability = np.exp(-np.float64(parts.scan.found[2 + number]))
            np.testing.assert_allclose(examples.last_probability[5:], probability[5:], rtol=1e-5)
    plan.begin_epoch(3)  # as behind a resume
    assert parts.runners[0].progress.examples.visits.max() == 2 * semi
