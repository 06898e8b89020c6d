"""Names that matplotlib would take for formulas, or has no letters for."""

import matplotlib.figure
import pytest
from matplotlib import font_manager

from famus_tf.reports import names


@pytest.mark.parametrize("name", ["a$b$c", "$", "$$", r"\$a$", r"$\frac{$", "US$ and A$", "a_b^c", "%$#"])
def test_a_dollar_is_a_dollar(name, tmp_path):
    (text,), options = names.drawn([name])
    assert text.replace(r"\$", "$") == name
    figure = matplotlib.figure.Figure()
    axes = figure.subplots()
    axes.set_title(text, **options)
    axes.annotate(text, (0, 0), **options)
    axes.set_yticks([0], [text], **options)
    figure.savefig(tmp_path / "a.png")


def test_letters_that_no_font_has_are_written_out(monkeypatch):
    known = font_manager.fontManager.ttflist
    bundled = [font for font in known if "matplotlib" in font.fname and "mpl-data" in font.fname]
    monkeypatch.setattr(font_manager.fontManager, "ttflist", bundled)
    names._family_with.cache_clear()
    texts, options = names.drawn(["猫", "cat", "né", "犬x", "ℵ", "😀"])
    assert texts[:4] == ["\\u732b", "cat", "né", "\\u72acx"]
    assert options == {"fontfamily": ["sans-serif"]}
    # A letter that the usual font does not have, and another one does.
    texts, options = names.drawn(["\U0001d49c"])
    assert texts == ["\U0001d49c"] and options["fontfamily"][1:] == ["STIXGeneral"]
    names._family_with.cache_clear()


def test_long_names_are_cut():
    (text,), _ = names.drawn([1000 * "a"])
    assert text == 39 * "a" + "\u2026"
