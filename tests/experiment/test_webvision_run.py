"""flags/webvision.cfg through the real command line, on a small tree in the layout of the archives."""

import json
import pathlib

import numpy as np
import PIL.Image
import pytest

from famus_tf import main
from tests import small_networks

FLAGS = pathlib.Path(__file__).resolve().parents[2] / "flags"
_WNIDS = ("n02012849", "n01440764", "n03126707", "n01443537")


@pytest.fixture
def command(tmp_path):
    """Writes 12 training and 3 test images of each of four classes, colours by class; gives the command on three."""
    rng, lists = np.random.default_rng(0), {"train_filelist_google": [], "val_filelist": []}

    def write(name, label):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        picture = rng.integers(0, 56, (*rng.integers(40, 60, 2), 3)) + 50 * label
        PIL.Image.fromarray(picture.astype(np.uint8)).save(tmp_path / name)

    for k in range(60):
        label, is_test = k % 4, k >= 48
        name = f"val{k:06d}.jpg" if is_test else f"google/q{k % 7:04d}/{k}.jpg"
        write(f"webvision/{'val_images_256/' * is_test}{name}", label)
        lists["val_filelist" if is_test else "train_filelist_google"].append(f"{name} {label}")
        if is_test:
            write(f"imagenet/val/{_WNIDS[label]}/ILSVRC2012_val_{k:08d}.JPEG", label)
    lists["synsets"] = [f"{wnid} thing" for wnid in _WNIDS]
    (tmp_path / "webvision" / "info").mkdir()
    for name, lines in lists.items():
        (tmp_path / "webvision" / "info" / f"{name}.txt").write_text("\n".join(lines) + "\n")
    places = (f"--{flag}={tmp_path / folder}" for flag, folder in (("ilsvrc_dir", "imagenet"), ("workdir", "run")))
    # Without the meta steps, whose tracing takes the longest.
    small = ("--webvision_classes=3", "--image_size=32", "--method=cross_entropy")
    overlay = f"--flagfile={FLAGS / 'debug.cfg'}"
    network = small_networks.save_convolutions(tmp_path / "a.keras", True, (32, 32, 3), 3)
    return ["main.py", f"--flagfile={FLAGS / 'webvision.cfg'}", overlay, *small, f"--network={network}", *places]


def test_training_and_inspection(command, tmp_path, capsys):
    command.append(f"--data_dir={tmp_path / 'webvision'}")
    assert main.main(command) == 0
    said = capsys.readouterr().out
    assert "webvision: 36 training images in the first 3 classes" in said
    assert "webvision: 36 training images of 32x32x3 in 3 classes of 12 to 12, true labels not known" in said
    assert "0 meta, 9 test, 9 ilsvrc12 images" in said
    results = json.loads((tmp_path / "run" / "results.json").read_text())
    assert results["dataset"] == "webvision" and results["actual_noise_rate"] is None
    last = results["history"][-1]
    assert len(results["networks"]) == len(last["split"]) == 2
    assert all(split["clean"] + split["noisy"] == 32 and "precision" not in split for split in last["split"])
    # Two batches of 16 in the warm-up, then one of each 8 pseudo-clean images.
    assert results["steps"] == 2 * 2 + sum(split["clean"] // 8 for split in last["split"])
    assert results["other_tests"] == {"ilsvrc12": {key: last[f"ilsvrc12_{key}"] for key in ("accuracy", "top5")}}
    assert f"ilsvrc12: accuracy {last['ilsvrc12_accuracy']:.2%}, top-5 100.00%" in said
    assert main.main([*command, "--mode=inspect"]) == 0
    found = json.loads((tmp_path / "run" / "inspection.json").read_text())
    assert found["class_names"] == [f"{wnid} thing" for wnid in _WNIDS[:3]] and found["test"] == [3, 3, 3]
    assert found["ilsvrc12"] == [3, 3, 3] and found["files"]["ilsvrc12"]["files"] == 9
    assert (tmp_path / "run" / "examples.png").exists()


def test_wrong_layouts(command, tmp_path, capsys):
    (tmp_path / "empty").mkdir()
    for flag, expected in (
        ("data_dir", "expected info/train_filelist_google.txt with google/q0001/<image>"),
        ("ilsvrc_dir", "expected val/<wnid>/*.JPEG; or val/ILSVRC2012_val_*.JPEG"),
    ):
        places = [f"--data_dir={tmp_path / 'webvision'}", f"--{flag}={tmp_path / 'empty'}"]
        assert main.main([*command, *places]) == 2
        said = capsys.readouterr().err
        assert said.startswith("famus_tf: error: ") and expected in said and said.count("\n") == 1
    assert not (tmp_path / "run").exists()
