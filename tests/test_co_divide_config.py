"""What of Algorithm 2 goes with which other flags."""

import pytest

from famus_tf import config, errors

ALGORITHM_2 = {
    "epochs": 9,
    "algorithm": "co_divide",
    "meta_set": "pseudo_clean",
    "meta_per_class": 0,
    "meta_from_epoch": 2,
}
SIMPLE = ALGORITHM_2 | {"semi_supervised": False}


@pytest.mark.parametrize(
    ("values", "message"),
    [
        (ALGORITHM_2 | {"meta_set": "clean"}, "co_divide with --meta_set=clean: expected --meta_set=pseudo_clean"),
        (ALGORITHM_2 | {"meta_per_class": 10}, "--meta_per_class=10 with .*expected 0, as no label is trusted"),
        (
            ALGORITHM_2 | {"epochs": 0, "train_steps": 50},
            "--train_steps=50 with .*expected 0, and --epochs, as each epoch has its own meta set",
        ),
        (
            ALGORITHM_2 | {"loss_epochs": 5, "batches_per_epoch": 3},
            "--batches_per_epoch=3 with .*expected 0, with --loss_epochs > 1",
        ),
        (ALGORITHM_2 | {"loss": "focal"}, "--loss=focal with .*expected cross_entropy, with --semi_supervised"),
        (ALGORITHM_2 | {"drw_epoch": 2}, "--drw_epoch=2 with .*expected 0, with --semi_supervised"),
        (ALGORITHM_2 | {"meta_from_epoch": 0}, "--meta_from_epoch=0 with .*expected 1 or more, as the losses of"),
        (
            ALGORITHM_2 | {"method": "l2r"},
            "--method=l2r with .*, --algorithm=co_divide, --semi_supervised=true: expected one of mw_net, cross_e",
        ),
        (
            SIMPLE | {"method": "cross_entropy"},
            "--method=cross_entropy .*, --semi_supervised=false: expected one of mw_net, l2r, mlc",
        ),
        (
            SIMPLE | {"algorithm": "single", "method": "cross_entropy", "semi_supervised": True},
            "--method=cross_entropy .*, --algorithm=single, .*expected one of mw_net, l2r, mlc",
        ),
        ({"epochs": 9, "meta_per_class": 0}, "--meta_per_class=0 with --method=mw_net.*or --meta_set=pseudo_clean"),
        (ALGORITHM_2 | {"loss_epochs": 0}, "--loss_epochs=0: expected a positive whole number"),
        (ALGORITHM_2 | {"temperature": 0.0}, "--temperature=0.0: expected a number above 0"),
        (ALGORITHM_2 | {"clean_threshold": 1.5}, "--clean_threshold=1.5: expected a number"),
    ],
)
def test_flags_that_do_not_go_together(values, message):
    with pytest.raises(errors.InputError, match=message):
        config.from_values(values)


@pytest.mark.parametrize(
    ("values", "mixes"),
    [
        (ALGORITHM_2, True),
        (ALGORITHM_2 | {"method": "cross_entropy"}, True),
        (ALGORITHM_2 | {"batches_per_epoch": 3}, True),
        (SIMPLE | {"loss": "focal", "method": "l2r", "log_stage_times": True, "loss_epochs": 5}, False),
        (SIMPLE | {"method": "mlc"}, False),
        (SIMPLE | {"algorithm": "single", "semi_supervised": True}, False),
        ({"epochs": 9}, False),
    ],
)
def test_flags_that_go_together(values, mixes):
    assert config.from_values(values).co_divide.mixes is mixes
