"""Which flags do not go together, and that it is said before TensorFlow is loaded."""

import pytest

from famus_tf import errors
from famus_tf.config import config

ALGORITHM_2 = {
    "epochs": 9,
    "algorithm": "co_divide",
    "meta_set": "pseudo_clean",
    "meta_per_class": 0,
    "meta_from_epoch": 2,
}
NOISE = {"epochs": 9, "noise": "symmetric", "noise_rate": 0.2, "noise_protocol": "mw_net"}
FILE = {"epochs": 9, "noise": "file"}
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
            "--method=l2r with .*, --algorithm=co_divide, --semi_supervised=true: expected one of mw_net, .*, cross_e",
        ),
        (
            SIMPLE | {"method": "memory_weight_net", "probe_share": 0.4},
            "--probe_share=0.4 with --meta_set=pseudo_clean: expected 0, as no label is trusted",
        ),
        (
            SIMPLE | {"method": "cross_entropy"},
            "--method=cross_entropy .*, --semi_supervised=false: expected one of mw_net, .*, l2r, mlc",
        ),
        (
            SIMPLE | {"algorithm": "single", "method": "cross_entropy", "semi_supervised": True},
            "--method=cross_entropy .*, --algorithm=single, .*expected one of mw_net, .*, l2r, mlc",
        ),
        ({"epochs": 9, "meta_per_class": 0}, "--meta_per_class=0 with --method=mw_net.*or --meta_set=pseudo_clean"),
        ({"epochs": 9, "dataset": "list", "train_list": "a"}, "--dataset=list: expected --train_list and --test_list"),
        (
            {"epochs": 9, "dataset": "digits", "data_dir": "a"},
            "--data_dir=a with --dataset=digits, which comes with sc",
        ),
        (
            {"epochs": 9, "dataset": "folder", "train_list": "a"},
            "--train_list=a with --dataset=folder, .*--dataset=list",
        ),
        ({"epochs": 9, "ilsvrc_dir": "a"}, "--ilsvrc_dir=a with --dataset=digits, which does not read it: .*webvision"),
        ({"epochs": 9, "web_noise": "blue"}, "--web_noise=blue with --dataset=digits, .*expected --dataset=cnwl"),
        ({"data_dir": "a", "lr_boundaries": (3,)}, "--lr_boundaries=3.0: expected --epochs or --train_steps with it"),
        ({"data_dir": "a", "epochs": 9, "train_steps": 9}, "--epochs=9 with --train_steps=9: expected exactly one"),
        (
            {"epochs": 9, "resize_mode": "pad"},
            "--resize_mode=pad with --dataset=digits: expected crop, or --dataset=folder or list",
        ),
        (NOISE | {"noise": "pairflip"}, "--noise=pairflip with --noise_protocol=mw_net: expected one of none"),
        (NOISE | {"noise_includes_true_label": False}, "--nonoise_includes_true_label with --noise_protocol=mw_net"),
        (NOISE | {"imbalance": 10}, "--noise_protocol=mw_net with --imbalance=10.0: expected independent"),
        (FILE | {"noise_file": "a.txt"}, "--noise_file=a.txt: expected a file ending in .json or .npy or .pt"),
        (FILE | {"noise_file": "a.npy", "noise_key": "x"}, "--noise_key=x with --noise_file=a.npy: expected a .pt"),
        ({"epochs": 9, "pretrained": "imagenet"}, "--pretrained=imagenet with --network=small_preact: expected none"),
        ({"epochs": 9, "method": "l2r", "log_meta_gradient": True}, "--log_meta_gradient with --method=l2r, whose"),
        (
            {"epochs": 9, "selector": "agreement", "meta_batch_size": 1},
            "--meta_batch_size=1 with --selector=agreement, which compares two halves of it: expected 2 or more",
        ),
        ({"epochs": 9, "agreement_every": 0}, "--agreement_every=0: expected a positive whole number"),
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


@pytest.mark.parametrize("mode", ["inspect", "prepare"])
@pytest.mark.parametrize("more", [{}, {"lr_boundaries": (40, 50)}, {"drw_epoch": 3}, {"warmup_epochs": 5}])
def test_modes_that_train_nothing_need_no_length(mode, more):
    assert config.from_values({"mode": mode} | more).optimization.epochs == 0
    with pytest.raises(errors.InputError, match="expected exactly one of them above 0"):
        config.from_values({"mode": mode, "epochs": 1, "train_steps": 1})


@pytest.mark.parametrize("mode", ["train", "evaluate", "export"])
def test_modes_of_a_run_need_its_length(mode):
    said = "--epochs=0 with --train_steps=0: expected exactly one"
    if mode != "train":
        said = f"--mode={mode} without --epochs or --train_steps: expected the flags that the run was trained with"
    with pytest.raises(errors.InputError, match=said):
        config.from_values({"mode": mode})
