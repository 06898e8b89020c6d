"""What the package says of its options, as the user of the program reads it: in flags, to the letter."""

import json

import numpy as np
import PIL.Image
import pytest

from famus_tf import main
from famus_tf.config import places
from famus_tf.config.data import DataConfig
from famus_tf.experiment import build_data

# No folder of this name: its signs must come through as they are.
_ODD = "no`where=`/`seed`"
_PLAIN = ["--epochs=1", "--method=cross_entropy", "--meta_per_class=0", "--batch_size=4"]
_SMALLER = ["--resize=6", "--image_size=6"]  # else there is nothing to prepare
_FILES = "train/<class>/<image> and test/<class>/<image>, or <class>/<image>"


@pytest.fixture
def images(tmp_path, monkeypatch):
    """The working directory, with class folders in `images/`, an empty folder `empty/` and a file `file`."""
    rng = np.random.default_rng(0)
    for split in ("train", "test"):
        for name in ("cat", "dog"):
            folder = tmp_path / "images" / split / name
            folder.mkdir(parents=True)
            for k in range(4):
                PIL.Image.fromarray(rng.integers(0, 256, (9, 8, 3), np.uint8)).save(folder / f"{k}.png")
    (tmp_path / "empty").mkdir()
    (tmp_path / "file").write_text("")
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("TF_CONFIG", raising=False)
    monkeypatch.setattr(places, "check", lambda config: None)  # it would name what is not there before the package does
    return tmp_path


@pytest.mark.parametrize(
    ("flags", "said"),
    [
        (["--dataset=folder"], f"--data_dir=: expected a folder with {_FILES}"),
        (["--dataset=folder", f"--data_dir={_ODD}"], f"--data_dir={_ODD}: expected a folder with {_FILES}"),
        (
            ["--dataset=cnwl", "--data_dir=empty", "--resize=30", "--image_size=32"],
            "--resize=30 with --image_size=32: expected at least that",
        ),
        (
            ["--dataset=digits", "--noise=hierarchical", "--noise_rate=0.4"],
            "--noise=hierarchical: this data set has no superclasses; expected cifar100",
        ),
        (
            ["--dataset=digits", "--noise=file", f"--noise_file={_ODD}.npy"],
            f"--noise_file={_ODD}.npy: there is no such file, expected .json, .npy or .pt",
        ),
        (
            ["--dataset=folder", "--data_dir=images", "--prepared_dir=nowhere"],
            "--prepared_dir=nowhere: expected a folder that --mode=prepare has written",
        ),
        (
            ["--dataset=folder", "--data_dir=images", "--prepared_dir=images/copy", "--mode=prepare", *_SMALLER],
            "--prepared_dir=images/copy: is part of images or holds it, expected a folder apart from the original",
        ),
        (["--dataset=digits", "--workdir=file"], "--workdir=file: cannot write there (File exists)"),
        (["--dataset=digits", "--workdir=file", "--mode=inspect"], "--workdir=file: cannot write there (File exists)"),
        (
            ["--dataset=digits", f"--network={_ODD}.keras"],
            f"--network={_ODD}.keras: no such file; expected one that keras.Model.save wrote",
        ),
        (
            ["--dataset=digits", "--network=resnet50"],
            "--network=resnet50: takes images of at least 32x32 pixels, found 8x8",
        ),
        (
            ["--dataset=folder", "--data_dir=images", "--image_size=32", "--network=resnet50", f"--pretrained={_ODD}"],
            f"--pretrained={_ODD}: no such file; expected none, imagenet or the path of a file of weights",
        ),
    ],
)
def test_errors(images, capsys, flags, said):
    assert main.main(["main.py", *_PLAIN, "--workdir=run", *flags]) == 2
    assert capsys.readouterr().err == f"famus_tf: error: {said}\n"


def test_a_broken_image(images, capsys):
    flags = ["--dataset=folder", "--data_dir=images", "--workdir=run", "--network=small_preact"]
    (images / "images" / "train" / "dog" / "2.png").write_bytes(b"no image")
    assert main.main(["main.py", *_PLAIN, *flags]) == 2
    said = capsys.readouterr().err
    assert said.startswith("famus_tf: error: images/train/dog/2.png: ") and said.count("\n") == 1
    assert said.endswith("; expected every image of the set to be readable, or --on_bad_image=skip\n")


def test_other_flags(images, capsys):
    (images / "run" / "checkpoints").mkdir(parents=True)
    (images / "run" / "checkpoints" / "ckpt-7.index").touch()
    (images / "run" / "flags.cfg").write_text("--dataset=digits\n--seed=3\n")
    assert main.main(["main.py", *_PLAIN, "--dataset=digits", "--seed=3", "--workdir=run"]) == 2
    said = capsys.readouterr().err
    assert said.startswith("famus_tf: error: run: made with other flags; --") and said.count("\n") == 1
    assert said.endswith("; expected another --workdir\n")


def test_a_copy_that_is_not_finished(images, capsys):
    (images / "copy").mkdir()
    build_data.make_dataset(DataConfig(dataset="folder", data_dir="images", prepared_dir="copy", meta_per_class=0), 0)
    assert capsys.readouterr().out.splitlines()[-1] == (
        "copy: not finished, so the original images are read; --mode=prepare goes on with it"
    )
    (images / "copy" / "prepared.json").write_text(json.dumps({"files": 3}))
    command = ["main.py", *_PLAIN, "--dataset=folder", "--data_dir=images", "--prepared_dir=copy", "--workdir=run"]
    assert main.main(command) == 2
    said = capsys.readouterr().err
    assert said.startswith("famus_tf: error: copy/prepared.json: not readable (KeyError")
    assert said.endswith(", expected it as --mode=prepare has written it\n")
