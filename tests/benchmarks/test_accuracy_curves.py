"""The picture of accuracies over the epochs: its lines and bands, read back from the figure."""

import matplotlib.figure
import numpy as np
import pytest

from benchmarks import accuracy_curves
from famus_tf.errors import InputError
from famus_tf.reports import compare as table


def _run(*accuracies):
    return table.Run({}, {"history": [{"epoch": k, "test_accuracy": one} for k, one in enumerate(accuracies, 1)]})


def test_lines_are_means_in_bands_over_the_epochs_that_all_have(tmp_path, monkeypatch):
    kept = []
    save = matplotlib.figure.Figure.savefig
    monkeypatch.setattr(
        matplotlib.figure.Figure, "savefig", lambda self, *a, **b: (kept.append(self), save(self, *a, **b))
    )
    groups = [[_run(0.2, 0.6, 0.5), _run(0.4, 0.7)], [_run(0.1, 0.2, 0.3)]]
    accuracy_curves.draw(tmp_path / "a.png", groups, ["both", "one"])
    assert (tmp_path / "a.png").read_bytes().startswith(b"\x89PNG")
    (axes,) = kept[0].axes
    first, second = axes.lines
    np.testing.assert_allclose(first.get_xydata(), [[1, 30], [2, 65]])
    np.testing.assert_allclose(second.get_xydata(), [[1, 10], [2, 20], [3, 30]])
    (band,) = axes.collections
    heights = {tuple(np.round(corner, 6)) for corner in band.get_paths()[0].vertices}
    assert heights == {(1, 20), (1, 40), (2, 60), (2, 70)}
    assert [text.get_text() for text in axes.get_legend().get_texts()] == [
        "both: 65.0 in the end",
        "one: 30.0 in the end",
    ]


def test_runs_without_an_epoch(tmp_path):
    with pytest.raises(InputError, match="MW-Net: no history of test accuracies"):
        accuracy_curves.draw(tmp_path / "a.png", [[_run()]], ["MW-Net"])
