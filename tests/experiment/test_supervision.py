"""Each combination of flags gets the supervision that it asks for."""

import types

import numpy as np
import pytest

from famus_tf.config import config
from famus_tf.experiment import build_run, supervision

PSEUDO_CLEAN = {"meta_set": "pseudo_clean", "meta_per_class": 0, "meta_from_epoch": 1}
ALGORITHM_2 = PSEUDO_CLEAN | {"algorithm": "co_divide", "network": "small_preact"}


@pytest.mark.parametrize(
    ("flags", "kind", "methods", "splits"),
    [
        ({}, supervision.GivenLabels, 1, None),
        (PSEUDO_CLEAN, supervision.OwnPseudoCleanSet, 1, 1),
        (ALGORITHM_2 | {"semi_supervised": False}, supervision.PeersPseudoCleanSets, 2, 2),
        (ALGORITHM_2, supervision.UnlabelledImages, 2, 2),
    ],
)
def test_kinds(flags, kind, methods, splits):
    settings = config.from_values({"dataset": "digits", "noise": "symmetric", "noise_rate": 0.4, "epochs": 3} | flags)
    dataset = types.SimpleNamespace(train_labels=np.arange(200) % 10, num_classes=10, is_clean=None)
    supervised = build_run.make_supervision(settings, dataset)
    assert type(supervised) is kind
    assert len(supervised.seeds) == len(set(supervised.seeds)) == len(supervised.names) == methods
    assert supervised.kept is None if splits is None else len(supervised.kept.splits) == splits
    assert supervised.epochs == settings.optimization.epochs
    assert callable(supervised.validation_loss)
