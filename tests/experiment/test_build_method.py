"""What the flags make: losses, schedules and selectors."""

import numpy as np
import pytest
import tensorflow as tf

from famus_tf import errors, losses
from famus_tf.config import config
from famus_tf.experiment import build_data, build_run
from famus_tf.methods import meta_learned
from famus_tf.training import learning_rates

_SETTINGS = {"dataset": "digits", "imbalance": 20, "meta_per_class": 5, "batch_size": 50, "epochs": 10}


def _made(**flags):
    settings = config.from_values(_SETTINGS | flags)
    dataset = build_data.make_dataset(settings.data, settings.run.seed)
    return settings, dataset, build_run.make_supervision(settings, dataset).make_loss()


def test_losses_know_the_classes_sizes():
    assert _made()[2] is None
    settings, dataset, loss = _made(loss="ldam", drw_epoch=8, class_balanced_beta=0.9, ldam_margin=0.3)
    counts = np.bincount(dataset.train_labels)
    assert counts.max() / counts.min() > 10
    per_epoch = build_data.steps_per_epoch(settings.optimization, dataset)
    assert isinstance(loss, losses.ClassWeighted) and loss.first_step == 8 * per_epoch
    np.testing.assert_allclose(loss.weights, losses.effective_number_weights(counts, 0.9))
    assert loss.loss.counts == counts.tolist() and loss.loss.margins.max() == pytest.approx(0.3)
    _, _, loss = _made(loss="class_balanced_focal", focal_form="sigmoid", focal_gamma=2)
    assert type(loss.loss) is losses.SigmoidFocal and loss.loss.gamma == 2 and loss.first_step == 0
    _, _, loss = _made(loss="focal", focal_gamma=0.5)
    assert type(loss) is losses.Focal and loss.gamma == 0.5
    _, _, loss = _made(drw_epoch=8)
    labels, logits = tf.constant([9, 0]), tf.random.normal([2, 10])
    plain = tf.nn.sparse_softmax_cross_entropy_with_logits(labels, logits)
    np.testing.assert_allclose(loss(labels, logits, tf.constant(0)), plain, rtol=1e-5)
    later = loss(labels, logits, tf.constant(10_000))
    assert later[0] > plain[0] and later[1] < plain[1]  # class 0 is the largest


def test_the_trainer_has_the_schedule():
    settings, dataset, _ = _made(loss="ldam", meta_from_epoch=2, warmup_epochs=3, lr_boundaries=(4, 8))
    trainer = build_run.make_method(settings, build_run.make_supervision(settings, dataset))
    per_epoch = build_data.steps_per_epoch(settings.optimization, dataset)
    assert trainer.meta_from == 2 * per_epoch
    assert type(trainer.network.layers[-1]).__name__ == "CosineClassifier"
    rate = trainer.optimizer._learning_rate
    assert isinstance(rate, learning_rates.WarmUp)
    found = [float(rate(epoch * per_epoch)) for epoch in (0, 3, 5, 9)]
    np.testing.assert_allclose(found, [0.1 / (3 * per_epoch), 0.1, 0.01, 0.001], rtol=1e-5)


def test_agreement_has_its_flags():
    settings, _, _ = _made(selector="agreement", agreement_every=7, agreement_price=0.7, agreement_per_class=True)
    found = meta_learned.make_selector(settings.method, seed=0).get_config()
    assert (found["every"], found["price"], found["per_class"]) == (7, 0.7, True)


@pytest.mark.parametrize(("block", "found"), [("3", 3), ("-2", -2), ("stage2", "stage2"), ("--2", "--2"), ("-", "-")])
def test_a_block_is_a_number_or_the_start_of_names(block, found):
    settings, dataset, _ = _made(selector="block", block=block)
    assert meta_learned.make_selector(settings.method, seed=0).block == found
    if found in ("--2", "-"):
        with pytest.raises(errors.InputError, match=f"block '{found}': expected the start of a layer's name, one of "):
            build_run.make_method(settings, build_run.make_supervision(settings, dataset))
