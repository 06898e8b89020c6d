"""Files and folders that are not there are named before TensorFlow is loaded."""

import subprocess
import sys

import pytest

from famus_tf import main
from famus_tf.config import config, places
from famus_tf.errors import InputError


def check(tmp_path, **values):
    places.check(config.from_values({"epochs": 1, "workdir": str(tmp_path / "run")} | values))


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"data_dir": "my_imgaes"}, "--data_dir=my_imgaes: no such folder, though there is my_images; expected the"),
        ({"data_dir": "a.txt"}, "--data_dir=a.txt: not a folder; expected the folder of the images of --dataset=fol"),
        ({"data_dir": "b/c/d"}, "--data_dir=b/c/d: no such folder, nor a folder b/c; expected"),
        ({"dataset": "clothing1m", "data_dir": "x"}, "--data_dir=x: no such folder; .*--dataset=clothing1m"),
        ({"train_list": "b.txt", "test_list": "a.txt"}, "--train_list=b.txt: no such file, though there is a.txt"),
        ({"train_list": "a.txt", "test_list": "my_images"}, "--test_list=my_images: a folder; expected a file"),
        (
            {"train_list": "a.txt", "test_list": "a.txt", "other_test_lists": "a.txt,b.txt", "dataset": "list"},
            "--other_test_lists=b.txt: no such file, though there is a.txt; expected a file",
        ),
        ({"noise": "file", "noise_file": "x.npy"}, "--noise_file=x.npy: no such file"),
        ({"network": "mine.keras"}, "--network=mine.keras: no such file"),
        ({"network": "resnet50", "pretrained": "w.h5"}, "--pretrained=w.h5: no such file"),
        ({"data_dir": "my_images", "prepared_dir": "copy"}, "--prepared_dir=copy: .*expected a folder that --mode=pr"),
        ({"workdir": "my_image", "mode": "evaluate"}, "--workdir=my_image: no such folder, though there is my_images"),
        ({"workdir": "a.txt", "mode": "export"}, "--workdir=a.txt: not a folder; expected the run directory of an"),
        ({"workdir": "my_image", "mode": "report"}, "--workdir=my_image: no such folder, though there is my_images"),
        (
            {"workdir": "my_images", "mode": "clean", "clean_share": 0.1},
            "--workdir=my_images: holds no labels.csv; exp",
        ),
        ({"mode": "predict", "images": "a.txt"}, "--workdir=.*run: no such folder"),
        ({"workdir": "my_images", "mode": "predict", "images": "b"}, "--images=b: no such file or folder; expected a"),
        ({"mode": "evaluate", "model": "b.keras"}, "--model=b.keras: no such file or folder; expected the folder of"),
        ({"workdir": "a.txt/run"}, r"--workdir=a.txt/run: cannot write there \(.*a.txt is not a folder\)"),
    ],
)
def test_what_is_not_there_is_named(values, message, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "my_images").mkdir()
    (tmp_path / "a.txt").write_text("")
    with pytest.raises(InputError, match=message):
        check(tmp_path, **values)


def test_what_is_there_or_is_yet_to_be_made_is_no_mistake(tmp_path):
    check(tmp_path, data_dir=str(tmp_path))
    check(tmp_path, data_dir=str(tmp_path), prepared_dir="yet to be made", mode="prepare")
    check(tmp_path, dataset="cifar10", data_dir="not there: other places are looked at too")
    check(tmp_path, workdir=str(tmp_path / "a" / "b" / "c"))


def test_it_is_answered_without_tensorflow(tmp_path):
    code = "import sys; from famus_tf import main; status = main.main(['famus_tf', '--data_dir=not_there']); "
    code += "sys.exit(status if 'tensorflow' not in sys.modules else 1)"
    done = subprocess.run([sys.executable, "-c", code], check=False, capture_output=True, text=True)
    assert done.returncode == 2 and done.stderr.startswith("famus_tf: error: --data_dir=not_there: no such folder")


def test_a_long_line_is_cut(capsys):
    assert main.main(["famus_tf", "--train_list=" + 100_000 * "a", "--test_list=b"]) == 2
    said = capsys.readouterr().err
    assert len(said) < 1100 and "characters ...]" in said
    assert said.startswith("famus_tf: error: --train_list=aaa") and said.endswith("expected a file\n")
