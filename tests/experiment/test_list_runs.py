"""A run on lists: trusted rows, images in two sets, and further test sets in an evaluation of their own."""

import csv
import json
import re

import numpy as np
import PIL.Image

from famus_tf import main
from tests import small_networks


def _rows(names, *more):
    return "".join(f"{name}.png;{'dark' if int(name) % 2 else 'light'}{''.join(more)}\n" for name in names)


def test_lists(tmp_path, capsys):
    rng = np.random.default_rng(0)
    for number in range(30):
        pixels = rng.integers(0, 90, (8, 8)) + (0 if number % 2 else 160)
        PIL.Image.fromarray(pixels.astype(np.uint8)).save(tmp_path / f"{number}.png")
    # 20 and 21 are tested on too, 1 has two labels.
    rows = _rows(range(4, 22), ";no") + _rows(range(4), ";yes") + "1.png;light;no\n"
    (tmp_path / "train.csv").write_text("\ufeffname;label;is_trusted\n" + rows, encoding="utf-8")
    (tmp_path / "test.csv").write_text(_rows(range(20, 25)), encoding="utf-16")
    (tmp_path / "more.csv").write_text(_rows(range(25, 30)))
    network = small_networks.save_convolutions(tmp_path / "a.keras", False, (8, 8, 1), 2)
    flags = ["famus_tf", "--dataset=list", f"--workdir={tmp_path / 'run'}", f"--network={network}", "--train_steps=20"]
    flags += [f"--{name}_list={tmp_path / name}.csv" for name in ("train", "test")]
    flags += ["--batch_size=8", "--meta_batch_size=4", "--base_learning_rate=0.3", "--lr_schedule=constant"]
    assert main.main(flags) == 0
    said = capsys.readouterr().out
    for sentence in (
        "its 4 trusted images are the meta set, and are not trained on",
        "1 of the 19 training images are in the meta set as well",
        "2 of the 19 training images are in the test set as well",
        "16 training images of 8x8x1 in 2 classes of 8 to 8",
        f"images with different labels are listed in {tmp_path / 'run' / 'conflicting_labels.csv'}",
    ):
        assert sentence in said
    results = json.loads((tmp_path / "run" / "results.json").read_text())
    assert results["test_accuracy"]["last"] == 1.0
    with open(tmp_path / "run" / "conflicting_labels.csv", newline="", encoding="utf-8") as file:
        assert [(row["set"], row["label"]) for row in csv.DictReader(file)] == [("meta", "dark"), ("training", "light")]
    assert main.main([*flags, "--mode=evaluate", f"--other_test_lists={tmp_path / 'more.csv'}"]) == 0
    found = re.findall(r"(\w+) accuracy ([\d.]+), .*, (\d+) images", capsys.readouterr().out)
    assert found == [("test", "1.0000", "5"), ("more", "1.0000", "5")]
