"""The picture of a division: its bars count every example once, its curves are the mixture's, and it can be saved."""

import warnings

import numpy as np
import pytest
from matplotlib import colors

from famus_tf.methods import clean_split
from famus_tf.reports import split_pictures


def _losses():
    rng = np.random.default_rng(0)
    return np.concatenate([rng.gamma(1, 0.15, 600), np.abs(rng.normal(3, 0.8, 400))]), np.arange(1000) < 600


def _case(name):
    """Losses and which labels are right."""
    losses, is_clean = _losses()
    if name == "not all scanned":
        losses[::3] = np.nan
    elif name == "constant":
        losses[:] = np.log(10)
    elif name == "constant, large":
        losses[:] = 1e20
    elif name == "outlier":
        losses = np.append(losses[:600], 1e4)
        is_clean = np.arange(601) < 600
    elif name == "infinite":
        losses[-5:] = np.inf
    elif name == "one kind":
        is_clean[:] = True
    elif name == "two":
        losses, is_clean = np.array([0.5, 1.5]), np.array([True, False])
    return losses, is_clean


def _heights(axes):
    """Total height of the bars by (color, hatched)."""
    found = {}
    for bar in axes.patches:
        key = colors.to_hex(bar.get_facecolor()), bool(bar.get_hatch())
        found[key] = found.get(key, 0) + bar.get_height()
    return found


GREEN, RED, BLUE = (colors.to_hex(f"tab:{name}") for name in ("green", "red", "blue"))


@pytest.mark.parametrize("known", (True, False))
@pytest.mark.parametrize(
    "name",
    ("plain", "not all scanned", "constant", "constant, large", "outlier", "infinite", "one kind", "two"),
)
def test_every_example_is_drawn(tmp_path, name, known):
    losses, is_clean = _case(name)
    probability, fitted = clean_split.clean_probability(losses, 0)
    split = clean_split.split(losses, probability, 0.5, 1, 1, 0)
    scanned = split.scanned
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        figure = split_pictures.loss_figure(losses, split, fitted, is_clean if known else None, "epoch 3")
        figure.savefig(tmp_path / "picture.png", dpi=60)
    assert (tmp_path / "picture.png").stat().st_size > 5000
    assert figure.get_suptitle() == "epoch 3"
    assert figure.get_supxlabel() == split.fallback
    left, right = figure.axes
    parts = {GREEN: scanned & is_clean, RED: scanned & ~is_clean} if known else {BLUE: scanned}
    sizes = [f"({inside.sum():,})" for inside in parts.values()]
    assert [text.get_text().split()[-1] for text in left.get_legend().get_texts()][: len(parts)] == sizes
    top = left.get_xlim()[1]
    assert _heights(left) == {(color, False): (losses[inside] <= top).sum() for color, inside in parts.items()}
    beyond = (losses[scanned] > top).sum()
    assert beyond <= max(1, 0.001 * len(losses)) + np.isinf(losses).sum()
    assert left.get_xlabel() == (f"loss ({beyond} above {top:.3g} not drawn)" if beyond else "loss")
    expected = {
        (color, outside): (inside & (split.clean != outside)).sum()
        for color, inside in parts.items()
        for outside in (False, True)
    }
    assert {key: round(height) for key, height in _heights(right).items()} == expected
    assert len(left.lines) == (0 if fitted is None else 3)


def test_curves_have_the_scale_of_the_bars():
    losses, _ = _losses()
    losses[::4] = np.nan
    probability, fitted = clean_split.clean_probability(losses, 0)
    figure = split_pictures.loss_figure(losses, clean_split.split(losses, probability, 0.5, 1, 1, 0), fitted, None, "")
    left = figure.axes[0]
    width = left.patches[0].get_width()
    points = left.lines[0].get_xdata()
    expected = fitted.density(points) * (~np.isnan(losses)).sum() * width
    for line, curve in zip(left.lines, (expected.sum(axis=0), *expected), strict=True):
        np.testing.assert_allclose(line.get_ydata(), curve)
    assert [text.get_text() for text in left.get_legend().get_texts()] == [
        "scanned (750)", "mixture", "clean component", "noisy component",
    ]  # fmt: skip
    # Far from the skewed clean losses the curve follows the bars.
    bars = np.array([[bar.get_x() + width / 2, bar.get_height()] for bar in left.patches])
    noisy = bars[:, 0] > 2
    counts = fitted.density(bars[noisy, 0]).sum() * 750 * width
    assert counts == pytest.approx(bars[noisy, 1].sum(), rel=0.05)


def test_legend_has_the_sizes():
    losses, is_clean = _losses()
    split = clean_split.Split(np.linspace(0, 1, 1000, dtype=np.float32), np.arange(1000) >= 550, "because")
    figure = split_pictures.loss_figure(losses, split, None, is_clean, "")
    left, right = figure.axes
    assert [text.get_text() for text in left.get_legend().get_texts()] == ["label right (600)", "label wrong (400)"]
    assert [text.get_text() for text in right.get_legend().get_texts()] == [
        "label right, in the set (50)", "label wrong, in the set (400)",
        "label right, outside (550)", "label wrong, outside (0)",
    ]  # fmt: skip
    assert right.get_title() == "pseudo-clean set: 450 of 1,000"
    assert figure.get_supxlabel() == "because"


def test_nothing_scanned(tmp_path):
    losses = np.full(5, np.nan)
    split = clean_split.Split(np.full(5, np.nan, np.float32), np.zeros(5, bool), "")
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        figure = split_pictures.loss_figure(losses, split, None, None, "")
        figure.savefig(tmp_path / "picture.png")
    assert _heights(figure.axes[0]) == {(BLUE, False): 0}
