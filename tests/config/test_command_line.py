import pathlib

import pytest

from famus_tf.config import automatic, command_line, config
from famus_tf.errors import InputError

ROOT = pathlib.Path(__file__).resolve().parents[2]
FLAG_FILES = sorted((ROOT / "flags").rglob("*.cfg"))


def read(*arguments: str) -> config.Config:
    return command_line.read_config(["main.py", *arguments])


def test_defaults_are_those_of_the_dataclasses():
    expected = config.from_values({"epochs": 3, "workdir": "runs/digits_mw_net"})
    assert read("--epochs=3") == expected


@pytest.mark.parametrize(
    "values",
    [
        {"epochs": 60},
        {
            "train_steps": 3000,
            "lr_boundaries": (1000, 2000.5),
            "nesterov": True,
            "normalize_weights": False,
            "noise": "symmetric",
            "noise_rate": 0.1 + 0.2,
            "noise_includes_true_label": False,
            "meta_learning_rate": 1e-30,
            "data_dir": "a folder/with = and # in it",
            "dataset": "fashion_mnist",
            "network": "my networks/small.keras",
            "seed": 7,
        },
    ],
)
def test_round_trip_through_a_flag_file(tmp_path, values):
    made = config.from_values({**values, "workdir": "here"})
    flag_file = tmp_path / "again.cfg"
    flag_file.write_text("\n".join(made.flag_lines()) + "\n")
    assert read(f"--flagfile={flag_file}", "--workdir=here") == made


@pytest.mark.parametrize("flag_file", FLAG_FILES, ids=lambda path: path.name)
def test_flag_files_of_the_project(flag_file, monkeypatch):
    monkeypatch.chdir(ROOT)  # one that starts from another names it from there
    made = read(f"--flagfile={flag_file}")
    assert made.run.workdir == f"runs/{flag_file.stem}"
    assert f"--flagfile={flag_file.relative_to(ROOT)}" in flag_file.read_text(), "the head says how to run it"


@pytest.mark.parametrize(
    ("name", "rate", "alpha", "lambda_u", "boundaries"),
    [
        ("cnwl_20", "0.2", 1.0, 50.0, (230.0, 280.0)),
        ("cnwl", "0.4", 1.5, 50.0, (230.0, 280.0)),
        ("cnwl_60", "0.6", 1.5, 50.0, (130.0, 230.0)),
        ("cnwl_80", "0.8", 2.0, 100.0, (130.0, 230.0)),
    ],
)
def test_cnwl_values_of_the_release(name, rate, alpha, lambda_u, boundaries, monkeypatch):
    """Its presets, the epochs counted from the start of the warm-up of 30; the rest is the same at all rates."""
    monkeypatch.chdir(ROOT)
    made, start = read(f"--flagfile=flags/{name}.cfg"), read("--flagfile=flags/cnwl.cfg")
    assert (made.data.web_noise_rate, made.optimization.lr_boundaries) == (rate, boundaries)
    assert (made.co_divide.mixup_alpha, made.co_divide.lambda_u) == (alpha, lambda_u)
    assert (made.method, made.optimization.epochs, made.optimization.meta_batch_size) == (start.method, 330, 128)


def test_flags_after_the_flag_file_override_it(tmp_path):
    flag_file = tmp_path / "a.cfg"
    flag_file.write_text("# comment\n--epochs=5\n--seed=1\n")
    made = read("--flagfile", str(flag_file), "--seed=2", "--lr_boundaries=2,3.5")
    assert (made.optimization.epochs, made.run.seed, made.optimization.lr_boundaries) == (5, 2, (2.0, 3.5))
    assert made.run.workdir == "runs/a"


def test_each_command_line_starts_from_the_defaults():
    read("--epochs=5", "--seed=2")
    assert read("--epochs=5").run.seed == 0


@pytest.mark.parametrize(
    ("arguments", "workdir"),
    [
        (["--flagfile=flags/digits.cfg"], "runs/digits"),
        (["--flagfile", "flags/digits.cfg"], "runs/digits"),
        (["-flagfile=my.first.cfg", "--flagfile=second.cfg"], "runs/my.first"),
        (["--seed=1", "--flagfile=flags.cfg"], "runs/flags"),
        (["--seed=1"], "runs/otherwise"),
        (["--", "--flagfile=x.cfg"], "runs/otherwise"),
    ],
)
def test_default_workdir(arguments, workdir, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert command_line.default_workdir(["main.py", *arguments], "otherwise") == workdir


def test_the_flag_file_of_a_run_directory_means_that_directory(tmp_path):
    (tmp_path / "flags.cfg").write_text("--epochs=5\n")
    (tmp_path / "checkpoints").mkdir()
    assert read(f"--flagfile={tmp_path / 'flags.cfg'}", "--mode=evaluate").run.workdir == str(tmp_path)


@pytest.mark.parametrize(
    ("argument", "message"),
    [
        ("--datset=digits", "Unknown command line flag 'datset'. Did you mean: dataset"),
        ("--dataset=mnist", "^--dataset=mnist: expected one of digits, fashion_mnist, cifar10, .*, list$"),
        ("--network=vgg", "^--network=vgg: expected one of small_preact, .*, or a path ending in .keras$"),
        ("--noise_rate=x", r"^--noise_rate=x: expected a number in \[0, 1\]$"),
        ("--epochs=1.5", "^--epochs=1.5: expected a whole number, 0 or more$"),
        ("--nesterov=maybe", "^--nesterov=maybe: expected true or false$"),
        ("--lr_boundaries=1,b", "^--lr_boundaries=1,b: expected increasing positive numbers joined by commas$"),
        ("--seed", "Missing value for flag --seed"),
        ("epochs=3", "^stray argument 'epochs=3': expected flags only"),
    ],
)
def test_a_mistake_is_one_sentence(argument, message):
    with pytest.raises(InputError, match=message) as caught:
        read(argument)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("option `resize`=30 with option `image_size`=32: expected", "--resize=30 with --image_size=32: expected"),
        (
            "no option `noise_key` with x: give another option `workdir`",
            "no --noise_key with x: give another --workdir",
        ),
        ("option `data_dir`=: expected a folder", "--data_dir=: expected a folder"),
        # Values are as the user gave them.
        ("option `data_dir`=a`b=c/`seed`\n: expected", "--data_dir=a`b=c/`seed`\n: expected"),
        ("option `network`=x=`: expected", "--network=x=`: expected"),
        # What is no option of ours: other names, what another library quotes, flags that are flags already.
        ("option `colour`=red, option seed and `epochs`", "option `colour`=red, option seed and `epochs`"),
        ("x.keras: not readable (`loss` and adoption `seed`)", "x.keras: not readable (`loss` and adoption `seed`)"),
        ("--noise=`seed`: expected one of none, file", "--noise=`seed`: expected one of none, file"),
    ],
)
def test_options_as_flags(text, shown):
    assert command_line.with_flags(text) == shown


def test_every_flag_is_an_option():
    for _, field in config.flag_fields():
        assert command_line.with_flags(f"option `{field.name}`=x") == f"--{field.name}=x"


def test_help_has_every_flag():
    text = command_line.help_text()
    for _, field in config.flag_fields():
        assert f"--{field.name}:" in text or f"--[no]{field.name}:" in text


def test_lambda_g_is_a_number_or_auto():
    assert read("--epochs=1", "--lambda_g=auto").method.lambda_g == 0.1
    assert read("--epochs=1", "--lambda_g=auto", "--selector=all").method.lambda_g == 0.0
    memory = read("--epochs=1", "--method=memory_weight_net", "--selector=block")
    assert memory.method.lambda_g == 0.0
    assert read("--epochs=1", "--lambda_g=0.25", "--selector=all").method.lambda_g == 0.25
    with pytest.raises(InputError, match="--lambda_g=none: expected auto, or a number, 0 or more"):
        read("--epochs=1", "--lambda_g=none")


@pytest.mark.parametrize(
    ("arguments", "dataset"),
    [
        (["--epochs=1"], "digits"),
        (["--data_dir=my_images"], "folder"),
        (["--train_list=a.txt", "--test_list=b.txt"], "list"),
        (["--data_dir=my_images", "--train_list=a.txt", "--test_list=b.txt"], "list"),
        (["--data_dir=my_images", "--dataset=cifar10", "--epochs=1"], "cifar10"),
    ],
)
def test_a_data_set_that_is_not_named_is_the_one_that_is_meant(arguments, dataset, tmp_path):
    made = read(*arguments)
    assert (made.data.dataset, made.run.workdir) == (dataset, f"runs/{dataset}_mw_net")
    flag_file = tmp_path / "x.cfg"
    flag_file.write_text("\n".join(arguments))
    assert read(f"--flagfile={flag_file}").data.dataset == dataset


def test_what_is_auto_is_open_for_images_of_ones_own_alone():
    made = read("--epochs=1")
    assert (made.run.network, made.optimization.base_learning_rate) == ("small_preact", 0.1)
    assert made.optimization.lr_schedule == "step"
    assert not automatic.waits_for_data(made)
    assert read("--epochs=1", "--network=auto", "--base_learning_rate=auto", "--lr_schedule=auto") == made
    made = read("--data_dir=a")
    assert automatic.open_flags(made) == ["network", "base_learning_rate", "lr_schedule"]
    assert automatic.waits_for_data(made)
    given = ["--network=resnet50", "--base_learning_rate=0.1", "--lr_schedule=step"]
    assert automatic.waits_for_data(read("--data_dir=a", *given))
    assert not automatic.waits_for_data(read("--data_dir=a", *given, "--train_steps=3"))


def test_flags_older_than_auto_are_no_difference():
    made = read("--epochs=1")
    lines = [line for line in made.flag_lines() if "network" not in line and "lr_schedule" not in line]
    assert made.first_difference([line for line in lines if "base_learning_rate" not in line]) is None
