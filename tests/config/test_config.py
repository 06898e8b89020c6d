import dataclasses
import subprocess
import sys

import pytest

from famus_tf.config import checks, config
from famus_tf.data.formats import image_list
from famus_tf.data.labels import long_tail, mw_net_protocol, noise
from famus_tf.errors import InputError
from famus_tf.networks import applications


def make(**values) -> config.Config:
    return config.from_values({"epochs": 60, **values})


def test_every_field_has_one_flag_name_and_help():
    names = [field.name for _, field in config.flag_fields()]
    assert len(names) == len(set(names))
    for _, field in config.flag_fields():
        assert field.metadata["help"].endswith("."), field.name
        assert not field.metadata["choices"] or field.default in field.metadata["choices"], field.name


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"noise": "symmetric", "noise_rate": 1.5}, r"--noise_rate=1.5: expected a number in \[0, 1\]"),
        ({"noise": "symmetric", "noise_rate": float("nan")}, "--noise_rate=nan: expected a number"),
        ({"noise_rate": 0.4}, "--noise_rate=0.4: expected 0 with --noise=none"),
        ({"dataset": "mnist"}, "--dataset=mnist: expected one of digits, fashion_mnist"),
        ({"train_steps": 100}, "--epochs=60 with --train_steps=100: expected exactly one"),
        ({"epochs": 0}, "--epochs=0 with --train_steps=0: expected exactly one"),
        ({"epochs": -1}, "--epochs=-1: expected a whole number"),
        ({"batch_size": 0}, "--batch_size=0: expected a positive whole number"),
        ({"batch_size": 2.5}, "--batch_size=2.5: expected a positive whole number"),
        ({"batch_size": True}, "--batch_size=True: expected a positive whole number"),
        ({"seed": 2**31}, "--seed=2147483648: expected a whole number from 0"),
        ({"base_learning_rate": float("inf")}, "--base_learning_rate=inf: expected auto, or a number above 0"),
        ({"lambda_g": -0.1}, "--lambda_g=-0.1: expected auto, or a number, 0 or more"),
        ({"momentum": 1.0}, r"--momentum=1.0: expected a number in \[0, 1\)"),
        ({"nesterov": True, "momentum": 0.0}, "--nesterov: expected --momentum above 0"),
        ({"nesterov": "yes"}, "--nesterov=yes: expected true or false"),
        ({"lr_boundaries": (30, 20)}, "--lr_boundaries=30,20: expected increasing positive numbers"),
        ({"lr_boundaries": (0, 20)}, "--lr_boundaries=0,20: expected increasing positive numbers"),
        ({"lr_boundaries": (30, 60)}, "--lr_boundaries=30.0,60.0: expected numbers below --epochs=60"),
        ({"lr_boundaries": (30,), "lr_schedule": "cosine"}, "--lr_boundaries=30.0: expected none with --lr_schedule=c"),
        ({"data_dir": "a\nb"}, r"--data_dir='a\\nb': expected a text on one line"),
        ({"network": "vgg"}, "--network=vgg: expected one of small_preact, .*, or a path ending in .keras"),
        ({"network": "mine.h5"}, "--network=mine.h5: expected one of"),
        ({"method": "maml"}, "--method=maml: expected one of cross_entropy, mw_net, cmw_net, l2r, jamal, mlc"),
        ({"meta_every": 0}, "--meta_every=0: expected a positive whole number"),
        ({"method": "l2r", "schedule": "one_loop"}, "--schedule=one_loop with --method=l2r, which starts anew"),
        (
            {"method": "mlc", "meta_every": 4},
            "--meta_every=4 with --method=mlc, which starts anew in each step",
        ),
        ({"loss": "ldam", "method": "mlc"}, "--loss=ldam with --method=mlc: expected cross_entropy"),
        ({"loss": "class_balanced_focal", "drw_epoch": 3}, "--drw_epoch=3 with --loss=class_balanced_focal, which is"),
        ({"drw_epoch": 60}, "--drw_epoch=60: expected a number below --epochs=60"),
        ({"meta_from_epoch": 70}, "--meta_from_epoch=70: expected a number below --epochs=60"),
        ({"sampling": "balanced"}, "--sampling=balanced: expected --batches_per_epoch above 0"),
        ({"colour": 1}, "--colour: expected the name of a flag"),
    ],
)
def test_a_mistake_is_named(values, message):
    with pytest.raises(InputError, match=message):
        make(**values)


def test_boundaries_are_in_steps_where_the_length_is():
    made = config.from_values({"train_steps": 1000, "lr_boundaries": (500, 900)})
    assert made.optimization.lr_boundaries == (500.0, 900.0)
    with pytest.raises(InputError, match="expected numbers below --train_steps=1000"):
        config.from_values({"train_steps": 1000, "lr_boundaries": (500, 1000)})


def test_values_take_the_type_of_their_field():
    made = make(noise="symmetric", noise_rate=1, lr_boundaries=[30])
    assert repr(made.data.noise_rate) == "1.0"
    assert made.optimization.lr_boundaries == (30.0,)


def test_frozen():
    with pytest.raises(dataclasses.FrozenInstanceError):
        make().run.seed = 1


def test_flag_lines_leave_out_mode_and_workdir():
    lines = make(nesterov=True, noise_includes_true_label=False, lr_boundaries=(20, 40)).flag_lines()
    assert {"--nesterov", "--nonoise_includes_true_label", "--lr_boundaries=20.0,40.0", "--epochs=60"} <= set(lines)
    assert not [line for line in lines if line.startswith(("--mode", "--workdir"))]


def test_no_difference_from_its_own_lines_in_any_order():
    made = make(noise="symmetric", noise_rate=0.4, workdir="a", lr_boundaries=(20, 40))
    assert made.first_difference(list(made.flag_lines())) is None
    saved = ["# --seed=3", "// note", "", "--mode=export", "--workdir=b", *reversed(made.flag_lines())]
    assert made.first_difference(saved) is None


@pytest.mark.parametrize(
    ("saved", "sentence"),
    [
        ("--noise_rate=0.4", "--noise_rate: the run directory has 0.4, this command has 0.6"),
        ("--nonormalize_weights", "--normalize_weights: the run directory has false, this command has true"),
        ("--nesterov=True", "--nesterov: the run directory has true, this command has false"),
        ("--lr_boundaries=20,40", "--lr_boundaries: the run directory has 20.0,40.0, this command has nothing"),
        ("--seed=two", "--seed: the run directory has two, this command has 0"),
        ("--colour=red", "--colour: the run directory has red, this version has no such flag"),
    ],
)
def test_first_difference_names_the_flag(saved, sentence):
    made = make(noise="symmetric", noise_rate=0.6)
    assert made.first_difference([*made.flag_lines(), saved]) == sentence


def test_first_difference_reads_numbers_and_defaults():
    made = make(noise="symmetric", noise_rate=0.6)
    here = ["--epochs=60", "--selection_objective=scale_free"]
    assert made.first_difference([*here, "--noise=symmetric", "--noise_rate=.60"]) is None
    assert make(seed=1).first_difference(here) == "--seed: the run directory has 0, this command has 1"


PSEUDO_CLEAN = {"meta_set": "pseudo_clean", "meta_per_class": 0, "meta_from_epoch": 1}


@pytest.mark.parametrize(
    ("values", "share"),
    [
        ({"method": "memory_weight_net"}, 0.4),
        ({"method": "memory_weight_net", "probe_share": 0.0}, 0.0),
        ({"method": "memory_weight_net", **PSEUDO_CLEAN}, 0.0),
        ({"method": "running_score"}, 0.0),
        ({"method": "mw_net", "probe_share": 0.25}, 0.25),
        ({"method": "cross_entropy"}, 0.0),
    ],
)
def test_probe_share(values, share):
    made = make(**values)
    assert made.probe_share == share
    assert make(**values).first_difference(made.flag_lines()) is None
    automatic = [line for line in made.flag_lines() if "probe_share" not in line]
    assert (make(**values).first_difference(automatic) is None) == ("probe_share" not in values)


@pytest.mark.parametrize(
    ("values", "objective", "goes_on"),
    [
        ({}, "paper", True),
        ({}, "scale_free", False),
        ({"selector": "all"}, "scale_free", True),
        ({"method": "cross_entropy"}, "scale_free", True),
    ],
)
def test_runs_of_the_learned_sampler_before_it_had_objectives(values, objective, goes_on):
    """Their flag files say nothing of it, and theirs was the paper's; without its gates it is nothing."""
    made = make(**values, selection_objective=objective)
    saved = [line for line in made.flag_lines() if "selection_objective" not in line]
    assert len(saved) == len(made.flag_lines()) - 1
    sentence = "--selection_objective: the run directory has paper, this command has scale_free"
    assert made.first_difference(saved) == (None if goes_on else sentence)


@pytest.mark.parametrize(
    ("saved", "now", "sentence"),
    [
        ({"epochs": 40}, {"epochs": 60}, None),
        ({"train_steps": 40}, {"train_steps": 60}, None),
        ({"epochs": 60}, {"epochs": 40}, "--epochs: the run directory has 60, this command has 40"),
        ({"epochs": 40}, {"train_steps": 60}, "--epochs: the run directory has 40, this command has 0"),
        ({"epochs": 40}, {"epochs": 60, "seed": 1}, "--seed: the run directory has 0, this command has 1"),
        ({"epochs": 40, "lr_boundaries": (20,)}, {"epochs": 60, "lr_boundaries": (20, 50)}, None),
        ({"epochs": 40, "lr_boundaries": (20,)}, {"epochs": 60, "lr_boundaries": (20,)}, None),
        ({"epochs": 40}, {"epochs": 60, "lr_boundaries": (40,)}, None),
        (
            {"epochs": 40, "lr_boundaries": (20,)},
            {"epochs": 60, "lr_boundaries": (30, 50)},
            "--lr_boundaries: the run directory has 20.0, this command has 30.0,50.0",
        ),
        (
            {"epochs": 40, "lr_schedule": "cosine"},
            {"epochs": 60, "lr_schedule": "cosine"},
            "--epochs: the run directory has 40, this command has 60, and a longer run's --lr_schedule=cosine is "
            "another one from the first step on",
        ),
    ],
)
def test_a_run_may_be_made_longer(saved, now, sentence):
    saved, now = config.from_values(saved), config.from_values(now)
    assert now.first_difference(saved.flag_lines()) == sentence


@pytest.mark.parametrize("name", ["data_dir", "summary_every", "checkpoint_every", "eval_batch_size"])
def test_what_does_not_change_the_result_is_no_difference(name):
    made = make()
    assert made.first_difference([*made.flag_lines(), f"--{name}=7"]) is None


def test_needs_no_tensorflow():
    code = "import sys, famus_tf.main, famus_tf.config; sys.exit('tensorflow' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_the_flags_of_the_data_name_what_the_data_know():
    """Lists that stand twice, because the flags are read before NumPy is loaded."""
    assert checks.PUBLISHED_NOISE == mw_net_protocol.KINDS
    assert tuple(applications.APPLICATIONS) == checks.PRETRAINED_NETWORKS
    for name, known in (
        ("noise", noise.KINDS),
        ("superclasses", noise.SUPERCLASSES),
        ("imbalance_shape", long_tail.SHAPES),
        ("imbalance_head", long_tail.HEADS),
        ("list_separator", tuple(image_list.SEPARATORS)),
    ):
        (field,) = (field for _, field in config.flag_fields() if field.name == name)
        assert field.metadata["choices"] == known


@pytest.mark.parametrize(
    ("flags", "selector", "schedule", "meta_batch_size"),
    [
        ({}, "sampler", "three_stage", 50),
        ({"method": "mw_net", "schedule": "one_loop"}, "sampler", "one_loop", 50),
        ({"method": "l2r"}, "sampler", "three_stage", 50),
        ({"method": "memory_weight_net"}, "agreement", "one_loop", 14),
        ({"method": "memory_weight_net", "batch_size": 100}, "agreement", "one_loop", 28),
        ({"method": "memory_weight_net", "batch_size": 64}, "agreement", "one_loop", 16),
        ({"method": "memory_weight_net", "batch_size": 5}, "agreement", "one_loop", 2),
        ({"method": "memory_weight_net", "batch_size": 3}, "agreement", "one_loop", 2),
        ({"method": "memory_weight_net", "batch_size": 1, "selector": "all"}, "all", "one_loop", 1),
        ({"method": "memory_weight_net", "selector": "all"}, "all", "one_loop", 14),
        ({"method": "memory_weight_net", "schedule": "three_stage"}, "agreement", "three_stage", 50),
        ({"method": "running_score", "meta_batch_size": 20}, "agreement", "one_loop", 20),
    ],
)
def test_what_a_method_asks_for_by_itself(flags, selector, schedule, meta_batch_size):
    """And what is written of it, so that a run directory says what it was."""
    made = config.from_values({"epochs": 1, "batch_size": 50} | flags)
    assert (made.method.selector, made.method.schedule) == (selector, schedule)
    assert made.optimization.meta_batch_size == meta_batch_size
    written = {f"--selector={selector}", f"--schedule={schedule}", f"--meta_batch_size={meta_batch_size}"}
    assert written <= set(made.flag_lines())
    left_open = [line for line in made.flag_lines() if line not in written]
    left_open += [f"--{name}={value}" for name, value in flags.items()]
    assert made.first_difference(left_open) is None


def test_lambda_g_is_0_where_the_meta_gradient_is_exact():
    """L_g is FaMUS's: with it the meta-learner is not what its own paper trains."""
    for flags, expected in (
        ({}, 0.1),
        ({"selector": "all"}, 0.0),
        ({"selector": "block"}, 0.1),
        ({"selector": "agreement"}, 0.0),
        ({"selector": "all", "lambda_g": 0.3}, 0.3),
        ({"selector": "all", "lambda_g": None}, 0.0),
    ):
        made = config.from_values({"epochs": 1} | flags)
        assert made.method.lambda_g == expected
        assert f"--lambda_g={expected}" in made.flag_lines()
        assert made.first_difference(made.flag_lines()) is None
    exact = config.from_values({"epochs": 1, "selector": "all"})
    without = [line for line in exact.flag_lines() if "lambda_g" not in line]
    assert exact.first_difference(without) is None
    assert exact.first_difference([*without, "--lambda_g=auto"]) is None
    assert exact.first_difference([*without, "--lambda_g=0.1"]) == (
        "--lambda_g: the run directory has 0.1, this command has 0.0"
    )
