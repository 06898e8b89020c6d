"""The flag files of sets of image files through the real command line, on small trees in the sets' own layouts."""

import json
import pathlib
import re

import numpy as np
import PIL.Image
import pytest

from famus_tf import main
from tests import small_networks

FLAGS = pathlib.Path(__file__).resolve().parents[2] / "flags"


def _write(path, label, rng, size):
    """Colours go by class, so that there is something to learn."""
    colour = np.random.default_rng(label).integers(0, 200, 3)
    path.parent.mkdir(parents=True, exist_ok=True)
    PIL.Image.fromarray((colour + rng.integers(0, 56, (*size, 3))).astype(np.uint8)).save(path, "jpeg")


def _clothing1m(root):
    rng, label_files = np.random.default_rng(0), {"noisy": [], "clean": []}
    for part, count in (("noisy_train", 182), ("clean_train", 28), ("clean_val", 14), ("clean_test", 14)):
        keys = [f"images/{k % 10}/{k:02d}/{part.replace('_', '')}{k},{k + 7}.jpg" for k in range(count)]
        (root / "annotations").mkdir(parents=True, exist_ok=True)
        (root / "annotations" / f"{part}_key_list.txt").write_text("\n".join(keys))
        for k, key in enumerate(keys):
            _write(root / key, k % 14, rng, rng.integers(50, 90, 2))
            if (part, k) == ("noisy_train", 5):
                (root / key).write_bytes((root / key).read_bytes()[:900])  # its head is whole
            if (part, k) == ("clean_val", 3):
                (root / key).unlink()
            label_files[part.partition("_")[0]].append(f"{key} {k % 14}\n")
    for kind, lines in label_files.items():
        (root / "annotations" / f"{kind}_label_kv.txt").write_text("".join(lines))


def _cnwl(root, rate="0.4"):
    """Of each class three images of Mini-ImageNet's own and one from the web, at 84x84."""
    split = f"red_noise_nl_{rate}"
    rng, lists = np.random.default_rng(0), {split: [], "clean_validation": []}
    for label in range(100):
        web = int(rng.integers(100))
        for name, colour in (*((f"n{label:08d}{k:08d}.jpg", label) for k in range(3)), (f"{label:016x}.jpg", web)):
            _write(root / "all_images" / name, colour, rng, (84, 84))
            lists[split].append(f"{name} {label}\n")
        name = f"ILSVRC2012_val_{label + 1:08d}.jpg"
        _write(root / "validation" / str(label) / name, label, rng, (84, 84))
        lists["clean_validation"].append(f"{name} {label}\n")
    (root / "split").mkdir()
    for name, lines in lists.items():
        (root / "split" / name).write_text("".join(lines))


def _run(flag_file, root, *changes):
    overlays = [f"--flagfile={FLAGS / flag_file}", f"--flagfile={FLAGS / 'debug.cfg'}"]
    network = root / "a.keras"
    if not network.exists():
        small_networks.save_convolutions(network, True, (32, 32, 3), 14 if flag_file == "clothing1m.cfg" else 100)
    places = f"--network={network}", f"--data_dir={root / 'data'}", f"--workdir={root / 'run'}"
    return main.main(["main.py", *overlays, *places, *changes])


def _check_algorithm_2(results, is_known):
    """Two networks; a warm-up of two batches of 16 each, then on 32 images as many of 8 as the other's split has."""
    warm_up, last = results["history"]
    assert "split" not in warm_up and len(results["networks"]) == len(last["split"]) == 2
    assert all(split["clean"] + split["noisy"] == 32 for split in last["split"])
    steps = [2 + split["clean"] // 8 for split in reversed(last["split"])]
    assert [network["steps"] for network in results["networks"]] == steps and results["steps"] == sum(steps)
    assert all(("precision" in split) == is_known for split in last["split"])


@pytest.mark.parametrize(
    ("flag_file", "make_tree", "changes", "said", "rate", "shown", "bad"),
    [
        (
            "clothing1m.cfg",
            _clothing1m,
            ["--image_size=32", "--resize=36", "--on_bad_image=skip", "--sampling=balanced"],
            "clothing1m: 182 training images of 32x32x3 in 14 classes of 13 to 13, true labels not known; 0 meta, 14 "
            "validation, 14 test images",
            None,
            "Down Coat",
            2,
        ),
        (
            "cnwl.cfg",
            _cnwl,
            ["--method=cross_entropy"],  # without the meta steps, whose tracing takes the longest
            "cnwl: 400 training images of 32x32x3 in 100 classes of 4 to 4, 25.00% of the labels wrong; 0 meta, 100 "
            "test images",
            1 / 4,
            "(of those with this given label)",
            0,
        ),
    ],
    ids=["clothing1m", "cnwl"],
)
def test_flag_file_on_a_small_tree(flag_file, make_tree, changes, said, rate, shown, bad, tmp_path, capsys):
    make_tree(tmp_path / "data")
    assert _run(flag_file, tmp_path, *changes) == 0
    assert said in capsys.readouterr().out
    results = json.loads((tmp_path / "run" / "results.json").read_text())
    assert results["actual_noise_rate"] == (rate and pytest.approx(rate)) and results["skipped_images"] == bad
    _check_algorithm_2(results, rate is not None)
    if flag_file == "clothing1m.cfg":
        assert results["test_accuracy"]["selected"] == results["selected_epoch"]["test_accuracy"]
        assert (tmp_path / "run" / "bad_images.csv").read_text().count(".jpg") == 2
    assert all((weight is None) == (rate is None) for weight in results["example_weight"].values())
    assert _run(flag_file, tmp_path, *changes, "--mode=inspect") == 0
    text = capsys.readouterr().out
    assert said in text and shown in text
    assert sum(map(int, re.findall(r"(\d+) broken or missing", text))) == bad
    assert (tmp_path / "run" / "examples.png").read_bytes().startswith(b"\x89PNG")


def test_cnwl_at_another_rate(tmp_path, monkeypatch):
    """As DivideMix; tests/config/test_command_line.py has the values of all rates."""
    rate = "0.6"
    monkeypatch.chdir(FLAGS.parent)  # each of these files starts from flags/cnwl.cfg
    _cnwl(tmp_path / "data", rate)
    assert _run(f"cnwl_{rate[2:]}0.cfg", tmp_path, "--method=cross_entropy") == 0
    results = json.loads((tmp_path / "run" / "results.json").read_text())
    assert results["dataset"] == "cnwl" and results["actual_noise_rate"] == 0.25
    _check_algorithm_2(results, is_known=True)


@pytest.mark.parametrize(
    ("flag_file", "changes"),
    [
        ("clothing1m.cfg", ["--meta_per_class=2", "--image_size=32", "--resize=36", "--on_bad_image=skip"]),
        ("cnwl.cfg", ["--meta_per_class=1"]),
    ],
    ids=["clothing1m", "cnwl"],
)
def test_algorithm_1_with_trusted_labels(flag_file, changes, tmp_path, capsys):
    """What the flag files' heads say how to get."""
    trees = {"clothing1m.cfg": (_clothing1m, "28 meta"), "cnwl.cfg": (_cnwl, "100 meta")}
    make_tree, said = trees[flag_file]
    make_tree(tmp_path / "data")
    assert _run(flag_file, tmp_path, "--algorithm=single", "--meta_set=clean", "--meta_from_epoch=0", *changes) == 0
    assert said in capsys.readouterr().out
    results = json.loads((tmp_path / "run" / "results.json").read_text())
    assert results["steps"] == 8 and len(results["history"]) == 2 and "networks" not in results


@pytest.mark.parametrize(
    ("flag_file", "expected"),
    [
        (
            "clothing1m.cfg",
            "expected noisy_label_kv.txt, clean_label_kv.txt, noisy_train_key_list.txt, clean_train_key_list.txt, "
            "clean_val_key_list.txt, clean_test_key_list.txt there or in annotations/, and images/0/00/*.jpg",
        ),
        ("cnwl.cfg", "expected split/red_noise_nl_0.4 and split/clean_validation there, in mini-imagenet/ or in "),
    ],
)
def test_layout_that_is_not_there(flag_file, expected, tmp_path, capsys):
    (tmp_path / "data" / "photos").mkdir(parents=True)
    assert _run(flag_file, tmp_path) == 2
    said = capsys.readouterr().err
    assert expected in said and said.startswith("famus_tf: error: ") and said.count("\n") == 1
    assert not (tmp_path / "run" / "results.json").exists()
