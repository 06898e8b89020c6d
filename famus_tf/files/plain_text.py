"""Text from data as it is shown: class names and file names can hold whatever a terminal takes for a command."""

import re

# Control characters, lone halves of surrogate pairs (bytes of a file name that are no UTF-8), and the marks that turn
# the direction of what follows or end a line.
_SPECIAL = re.compile("[\x00-\x1f\x7f-\x9f\u061c\u200e\u200f\u2028\u2029\u202a-\u202e\u2066-\u2069\ud800-\udfff\ufeff]")


def escaped(text: str) -> str:
    """The text with its control characters, line ends and marks of direction written out, as \\n or \\x1b.

    All else stays, so that the text stays the same where it has none of them.
    """
    return _SPECIAL.sub(_written_out, text)


def shortened(text: str, most: int = 1000) -> str:
    """The text; where it has more than `most` characters, its start and its end, and how many are left out between.

    >>> shortened("a" * 50 + "z" * 50, 60)
    'aaaaaaaaaaaaaaaaaaaaaaaaaaaaaa [... 60 characters ...] zzzzzzzzzz'
    """
    if len(text) <= most:
        return text
    start = most // 2
    end = most // 6
    return f"{text[:start]} [... {len(text) - start - end:,} characters ...] {text[-end:]}"


def _written_out(matched: re.Match) -> str:
    code = ord(matched[0])
    if 0xDC80 <= code <= 0xDCFF:  # the byte of a file name that it stands for
        return f"\\x{code - 0xDC00:02x}"
    return repr(matched[0])[1:-1] if code < 0xD800 else f"\\u{code:04x}"
