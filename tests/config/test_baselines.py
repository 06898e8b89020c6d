"""The flags of the baselines: who reads them, what is refused, and flag files with their published settings."""

import dataclasses
import pathlib
import re

import pytest

from famus_tf import methods, networks
from famus_tf.config import command_line, config
from famus_tf.config.baselines import BaselinesConfig
from famus_tf.config.method import METHODS
from famus_tf.errors import InputError
from famus_tf.experiment import build_data, build_run, checks
from tests import small_networks

ROOT = pathlib.Path(__file__).resolve().parents[2]
FLAG_FILES = sorted((ROOT / "flags" / "baselines").glob("*.cfg"))
FIELDS = dataclasses.fields(BaselinesConfig)
_RUN = {"noise": "symmetric", "noise_rate": 0.4, "epochs": 40}


@pytest.mark.parametrize("field", FIELDS, ids=lambda field: field.name)
def test_a_flag_names_the_methods_that_read_it(field):
    of = field.metadata["of"]
    assert of and set(of) <= METHODS.keys()
    assert all(re.search(rf"\b{name}\b", field.metadata["help"]) for name in of)


def _other(field):
    if field.metadata["choices"]:
        return next(one for one in field.metadata["choices"] if one != field.default)
    if field.name in ("forget_rate", "mentor_burn_in", "tau"):
        return 0.3
    if field.name == "mentor_dropout":
        return ()
    return {bool: lambda v: not v, int: lambda v: v + 1, float: lambda v: v * 0.9, str: lambda v: "t.npy"}[field.type](
        field.default
    )


@pytest.mark.parametrize("field", FIELDS, ids=lambda field: field.name)
def test_a_flag_of_another_method_is_refused(field):
    value, of = _other(field), field.metadata["of"]
    for method in of:
        begun = {"init_from": "run"} if METHODS[method].begins_trained else {}
        config.from_values(_RUN | begun | {"method": method, field.name: value})
    with pytest.raises(InputError, match=rf"^--{field.name}=.* with --method=mw_net, .*--method={of[0]}"):
        config.from_values(_RUN | {"method": "mw_net", field.name: value})


@pytest.mark.parametrize(
    ("values", "message"),
    [
        (
            {"method": "forward", "estimate_epochs": 40},
            r"^--estimate_epochs: 40 epochs with --epochs=40: expected fewer$",
        ),
        ({"method": "pes", "pes_epochs": 38, "pes_head_epochs": 2}, r"^--pes_epochs \+ pes_head_epochs: 40 epochs"),
        ({"method": "incv", "incv_rounds": 4, "incv_round_epochs": 10}, r"^--incv_rounds x incv_round_epochs: 40"),
        ({"method": "mentornet", "mentor_dropout": (0.5,)}, r"^--mentor_dropout=0\.5: expected pairs"),
        ({"method": "mentornet", "mentor_dropout": (0.5, 90.0, 0.1, 20.0)}, r"^--mentor_dropout=.*: expected pairs"),
        (
            {"method": "pls", "sampling": "balanced", "batches_per_epoch": 5},
            r"^--sampling=balanced with --method=pls, which does not use it",
        ),
        ({"method": "bbn", "loss": "ldam"}, r"^--loss=ldam with --method=bbn, which does not use it"),
        (
            {"method": "forward", "estimate_epochs": 0},
            r"^--estimate_epochs=0 with --method=forward: expected 1 or more",
        ),
        ({"method": "gold_loss", "estimate_epochs": 0}, r"^--estimate_epochs=0 with --method=gold_loss: expected 1"),
        ({"method": "decoupling", "decoupling_epochs": 40}, r"^--decoupling_epochs: 40 epochs with --epochs=40"),
        ({"method": "jamal", "meta_every": 2}, "jamal"),
        ({"method": "jamal", "log_meta_gradient": True}, r"^--log_meta_gradient with --method=jamal, whose theta"),
        (
            {"method": "elr_plus", "network": "my.keras"},
            r"^--method=elr_plus with --network=my\.keras: expected the name",
        ),
        ({"method": "ssr", "loss": "gce"}, r"^--loss=gce with --method=ssr, which does not use it"),
        ({"method": "mixup", "meta_from_epoch": 2}, r"^--meta_from_epoch=2 with --method=mixup, which does not use it"),
        ({"method": "gold_loss", "meta_per_class": 0}, r"^--meta_per_class=0 with --method=gold_loss"),
        ({"method": "soft_labels", "loss": "sce"}, r"^--loss=sce with --method=soft_labels: expected cross_entropy$"),
        ({"method": "mixup", "meta_set": "pseudo_clean", "meta_per_class": 0, "meta_from_epoch": 1}, "--method=mixup"),
    ],
)
def test_what_does_not_go_together_is_refused(values, message):
    with pytest.raises(InputError, match=message):
        config.from_values(_RUN | values)


def test_a_longer_run_of_a_method_that_follows_its_length_is_another():
    longer = config.from_values(_RUN | {"method": "bbn", "epochs": 60, "lr_schedule": "step"})
    shorter = config.from_values(_RUN | {"method": "bbn", "lr_schedule": "step"})
    assert "--method=bbn follows the length of the run" in longer.first_difference(shorter.flag_lines())
    longer, shorter = (
        config.from_values(_RUN | {"method": "elr", "epochs": epochs, "lr_schedule": "step"}) for epochs in (60, 40)
    )
    assert longer.first_difference(shorter.flag_lines()) is None


def test_stages_that_never_come_are_told():
    for name, values in (("forward", {"estimate_epochs": 5}), ("d2l", {"d2l_epochs": 5}), ("pes", {"pes_epochs": 9})):
        made = config.from_values({"method": name, "train_steps": 100, **values})
        assert f"--method={name} ends before" in checks.stages_that_never_come(made, 5)
        assert checks.stages_that_never_come(made, 40) is None


@pytest.mark.parametrize("name", sorted(METHODS))
def test_each_method_needs_no_further_flag(name):
    words = ["main.py", f"--flagfile={ROOT}/flags/digits.cfg", f"--method={name}"]
    if METHODS[name].begins_trained:  # but the run that it goes on from
        words.append("--init_from=runs/plain")
    made = command_line.read_config(words)
    assert made.method.method == name


def test_each_method_of_the_group_has_a_flag_file():
    named = {path.stem for path in FLAG_FILES}
    assert {name for name, kind in METHODS.items() if not kind.has_meta_learner} <= named
    assert named - METHODS.keys() == {"balanced_softmax"}


@pytest.mark.parametrize("path", FLAG_FILES, ids=lambda path: path.stem)
def test_a_flag_file_makes_its_method(path, monkeypatch, tmp_path):
    """On digits, and with a network of this size."""

    def build(input_shape, num_classes, mean, std):
        return small_networks.convolutions(False, input_shape, num_classes, count=2)

    monkeypatch.setitem(networks.BUILDERS, "small_preact", build)
    arguments = (
        "--dataset=digits",
        "--data_dir=",
        "--network=small_preact",
        "--train_limit=200",
        "--batch_size=16",
        "--meta_per_class=2",
    )
    if "--init_from" in path.read_text():
        arguments += (f"--init_from={small_networks.save_convolutions(tmp_path / 'net.keras', False, count=2)}",)
    arguments += ("--imbalance=4",) if "--imbalance" in path.read_text() else ()
    made = command_line.read_config(["main.py", f"--flagfile={path}", *arguments])
    dataset = build_data.make_dataset(made.data, 0)
    method = build_run.make_method(made, build_run.make_supervision(made, dataset))
    assert made.method.method in methods.BY_NAME and len(method.networks) == METHODS[made.method.method].networks
