"""The flag files of sets of image files through the real command line, on small trees in the sets' own layouts."""

import json
import pathlib
import re

import numpy as np
import PIL.Image
import pytest

from famus_tf import main

FLAGS = pathlib.Path(__file__).resolve().parent.parent / "flags"


def _write(path, label, rng, size):
    """Colours go by class, so that there is something to learn."""
    colour = np.random.default_rng(label).integers(0, 200, 3)
    path.parent.mkdir(parents=True, exist_ok=True)
    PIL.Image.fromarray((colour + rng.integers(0, 56, (*size, 3))).astype(np.uint8)).save(path, "jpeg")


def _clothing1m(root):
    rng, label_files = np.random.default_rng(0), {"noisy": [], "clean": []}
    for part, count in (("noisy_train", 154), ("clean_train", 28), ("clean_val", 14), ("clean_test", 14)):
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


def _cnwl(root):
    """Of each class three images of Mini-ImageNet's own and one from the web, at 84x84."""
    rng, lists = np.random.default_rng(0), {"red_noise_nl_0.4": [], "clean_validation": []}
    for label in range(100):
        web = int(rng.integers(100))
        for name, colour in (*((f"n{label:08d}{k:08d}.jpg", label) for k in range(3)), (f"{label:016x}.jpg", web)):
            _write(root / "all_images" / name, colour, rng, (84, 84))
            lists["red_noise_nl_0.4"].append(f"{name} {label}\n")
        name = f"ILSVRC2012_val_{label + 1:08d}.jpg"
        _write(root / "validation" / str(label) / name, label, rng, (84, 84))
        lists["clean_validation"].append(f"{name} {label}\n")
    (root / "split").mkdir()
    for name, lines in lists.items():
        (root / "split" / name).write_text("".join(lines))


def _run(flag_file, root, *changes):
    overlays = [f"--flagfile={FLAGS / flag_file}", f"--flagfile={FLAGS / 'debug.cfg'}"]
    return main.main(["main.py", *overlays, f"--data_dir={root / 'data'}", f"--workdir={root / 'run'}", *changes])


_EPOCHS = ("--sampling=balanced", "--batches_per_epoch=4")


@pytest.mark.parametrize(
    ("flag_file", "make_tree", "changes", "said", "rate", "shown", "bad"),
    [
        (
            "clothing1m.cfg",
            _clothing1m,
            ["--meta_per_class=2", "--image_size=32", "--resize=36", "--on_bad_image=skip", *_EPOCHS],
            "clothing1m: 154 training images of 32x32x3 in 14 classes of 11 to 11, true labels not known; 28 meta, 14 "
            "validation, 14 test images",
            None,
            "Down Coat",
            2,
        ),
        (
            "cnwl.cfg",
            _cnwl,
            ["--meta_per_class=1"],
            "cnwl: 300 training images of 32x32x3 in 100 classes of 3 to 3, 33.33% of the labels wrong; 100 meta, 100 "
            "test images",
            1 / 3,
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
    assert results["steps"] == 12 and results["actual_noise_rate"] == (rate and pytest.approx(rate))
    assert results["skipped_images"] == bad
    if flag_file == "clothing1m.cfg":
        assert len(results["history"]) == 3  # epochs of four batches
        assert results["test_accuracy"]["selected"] == results["selected_epoch"]["test_accuracy"]
        assert (tmp_path / "run" / "bad_images.csv").read_text().count(".jpg") == 2
    assert all((weight is None) == (rate is None) for weight in results["example_weight"].values())
    assert _run(flag_file, tmp_path, *changes, "--mode=inspect") == 0
    text = capsys.readouterr().out
    assert said in text and shown in text
    assert sum(map(int, re.findall(r"(\d+) broken or missing", text))) == bad
    assert (tmp_path / "run" / "examples.png").read_bytes().startswith(b"\x89PNG")


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
