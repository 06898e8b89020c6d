"""The picture of what a learner believed, from the results of runs."""

import json

import matplotlib.image
import pytest

from benchmarks import beliefs


def save(folder, **changes):
    epochs = [
        {"epoch": number + 1, "gates": [0.0, 0.5, 1.0], "trust_score": 0.3, "trust_loss": 0.7, "test_accuracy": 0.5}
        for number in range(4)
    ]
    folder.mkdir()
    (folder / "results.json").write_text(json.dumps({"history": [{"epoch": 0}, *(one | changes for one in epochs)]}))
    return str(folder)


def test_a_column_for_each_run(tmp_path):
    runs = [save(tmp_path / "one"), save(tmp_path / "$two", gates=[1.0, 0.0, 0.0])]
    assert beliefs.main([*runs, f"--plot={tmp_path / 'one.png'}"]) == 0
    assert beliefs.main([*runs, "--labels=a,b", f"--plot={tmp_path / 'two.png'}"]) == 0
    one, two = (matplotlib.image.imread(tmp_path / name) for name in ("one.png", "two.png"))
    assert one.shape[1] > one.shape[0] and one.std() > 0.05
    assert one.shape != two.shape or (one != two).any()


def test_a_history_without_meta_steps_is_passed_over(tmp_path):
    assert len(beliefs.read_history(save(tmp_path / "run"))) == 4


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        (["none"], "none/results.json: expected the results of a finished run"),
        (["plain"], "plain/results.json: no epoch with selected layers and a mixture"),
        (["plain", "--labels=a,b"], "--labels: 2 for 1 runs; expected one for each"),
    ],
)
def test_mistakes(tmp_path, monkeypatch, capsys, options, sentence):
    monkeypatch.chdir(tmp_path)
    save(tmp_path / "plain", gates=[])
    assert beliefs.main([*options, "--plot=out.png"]) == 2
    assert f"beliefs: error: {sentence}" in capsys.readouterr().err
