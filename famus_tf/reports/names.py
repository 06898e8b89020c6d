"""Names from data as matplotlib draws them: a `$` begins no formula, and no letter becomes a box."""

import functools
from collections.abc import Sequence

import matplotlib
from matplotlib import font_manager

_MOST = 40
# Draws a box for every letter, so it has all of them.
_LAST_RESORT = "Last Resort"


def drawn(names: Sequence[str], most: int = _MOST) -> tuple[list[str], dict]:
    """Texts to draw, and how.

    A letter that no font of this machine has is written out, as \\u4e2d; a long name is cut.

    Args:
      names: as the data have them.
      most: letters of a name.

    Returns:
      The texts, and keyword arguments of matplotlib's functions that draw a text.
    """
    shortened = [name if len(name) <= most else name[: most - 1] + "\u2026" for name in names]
    families = list(matplotlib.rcParams["font.family"])
    texts = []
    for name in shortened:
        letters = []
        for letter in name:
            family = _family_with(letter)
            if family is None:
                letters.append(letter.encode("unicode_escape").decode())
                continue
            letters.append(letter)
            if family and family not in families:
                families.append(family)
        texts.append("".join(letters).replace("$", r"\$"))
    return texts, {"fontfamily": families}


@functools.cache
def _family_with(letter: str) -> str | None:
    """The font family that has a letter: empty for the usual one, None where there is none."""
    if letter.isspace() or _has(font_manager.findfont(font_manager.FontProperties()), letter):
        return ""
    for entry in font_manager.fontManager.ttflist:
        upright = entry.style == "normal" and entry.weight in (400, "normal")
        if upright and _LAST_RESORT not in entry.name and _has(entry.fname, letter):
            return entry.name
    return None


def _has(path: str, letter: str) -> bool:
    try:
        font = font_manager.get_font(path)
    except (OSError, RuntimeError):  # a list of fonts may be older than the fonts
        return False
    return bool(font.scalable and font.get_char_index(ord(letter)))
