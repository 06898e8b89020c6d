import json

import numpy as np

from benchmarks import meta_gradient_variance


def write_run(directory, seed, variances, **flags):
    """A run directory with a variance for each epoch of ten steps."""
    directory.mkdir()
    lines = [f"--seed={seed}", *(f"--{name}={value}" for name, value in flags.items())]
    (directory / "flags.cfg").write_text("\n".join(lines))
    history = [
        {"step": 10 * n, "meta_gradient": {"variance": value, "relative_variance": value and 2 * value}}
        for n, value in enumerate(variances, start=1)
    ]
    results = {"test_accuracy": {"peak": 0.5, "last": 0.5}, "history": history}
    (directory / "results.json").write_text(json.dumps(results))
    return directory


def test_variance_picture_has_a_line_for_each_method(tmp_path, capsys, monkeypatch):
    runs = [
        write_run(tmp_path / "a", 0, [3.0, 2.0, None], method="mw_net", selector="all"),
        write_run(tmp_path / "b", 1, [5.0, 4.0, 1.0], method="mw_net", selector="all"),
        write_run(tmp_path / "c", 0, [0.2, 0.1, 0.1], method="mw_net", selector="sampler"),
    ]
    figures = []
    savefig = meta_gradient_variance.matplotlib.figure.Figure.savefig
    monkeypatch.setattr(
        meta_gradient_variance.matplotlib.figure.Figure,
        "savefig",
        lambda self, *args, **kwargs: (figures.append(self), savefig(self, *args, **kwargs)),
    )
    out = tmp_path / "out.png"
    assert meta_gradient_variance.main([*map(str, runs), f"--out={out}"]) == 0
    assert capsys.readouterr().out == f"{out}\n"
    assert out.read_bytes().startswith(b"\x89PNG")
    for axes, scale in zip(figures[0].axes, (1, 2), strict=True):
        exact, famus = axes.get_lines()
        np.testing.assert_allclose(exact.get_xydata(), [[10, 4.0 * scale], [20, 3.0 * scale]])
        np.testing.assert_allclose(famus.get_xydata(), [[10, 0.2 * scale], [20, 0.1 * scale], [30, 0.1 * scale]])
    labels = [text.get_text() for text in figures[0].axes[0].get_legend().get_texts()]
    assert labels == ["MW-Net, all layers (2 seeds)", "MW-Net + FaMUS (seed 0)"]


def test_variance_picture_of_a_run_without_it_is_refused(tmp_path, capsys):
    run = write_run(tmp_path / "a", 0, [None, None], method="mw_net")
    assert meta_gradient_variance.main([str(run), f"--out={tmp_path / 'out.png'}"]) == 2
    printed = capsys.readouterr().err
    assert printed.startswith("meta_gradient_variance: error: no meta gradient recorded")
    assert printed.count("\n") == 1
