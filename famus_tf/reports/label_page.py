"""`labels.html`: the least trusted labels with their images, in one page that asks for nothing outside of it."""

from __future__ import annotations

import base64
import importlib.resources
import io
import json

import numpy as np
from PIL import Image

from famus_tf.files import whole_files

_ROWS = 50_000
_IMAGES = 1_000
_LARGEST_SIDE = 96  # pixels of an image in the page
_SMALL = 64  # an image of fewer pixels a side is drawn without smoothing
_LARGEST_MATRIX = 30  # classes of which the whole table is shown
_PAIRS = 20
_BARS = 30
_MARKER = "/*DATA*/"


def write(path, report, read_images, title, rows=_ROWS, images=_IMAGES):
    """Writes the page.

    Args:
      path: file to write.
      report: `label_report.LabelReport`.
      read_images: function of positions [k] -> the images, list of uint8 [h, w, channels] of 1, 3 or 4 channels, None
        where one cannot be read.
      title: of the page.
      rows: how many of the least trusted examples the page has.
      images: of how many of them it has the images.

    Raises:
      InputError: it cannot be written.
    """
    shown = report.order[:rows]
    pictures = read_images(shown[:images])
    contents = _contents(report, shown) | {
        "title": title,
        "summary": _summary(report, len(shown), len(pictures)),
        "images": [image if image is None else _data_uri(image) for image in pictures],
        "small": all(image is None or max(image.shape[:2]) < _SMALL for image in pictures),
    }
    page = importlib.resources.files(__package__).joinpath("pages", "labels.html").read_text(encoding="utf-8")
    text = json.dumps(contents, ensure_ascii=True, allow_nan=False, separators=(",", ":"))
    text = text.replace("<", "\\u003c")  # "</" would end the script element, "<!--" its text
    with whole_files.written(path) as place, open(place, "w", encoding="utf-8") as file:
        file.write(page.replace(_MARKER, text))


def _contents(report, shown):
    def rounded(values):
        return [None if np.isnan(value) else round(float(value), 4) for value in values[shown]]

    return {
        "key": f"{len(report)} {report.index[:5].tolist()} {report.suspicion[:5].round(6).tolist()}",
        "classes": list(report.class_names),
        "index": report.index[shown].tolist(),
        "paths": None if report.paths is None else [_printable(report.paths[i]) for i in shown],
        "given": report.given[shown].tolist(),
        "predicted": report.predicted[shown].tolist(),
        "trusted": np.flatnonzero(report.is_trusted[shown]).tolist(),
        "suspicion": rounded(report.suspicion),
        "given_probability": rounded(report.given_probability),
        "predicted_probability": rounded(report.predicted_probability),
        "weight": rounded(report.weight if report.clean_probability is None else report.clean_probability),
        "weights_title": "Example weights" if report.clean_probability is None else "Clean probability",
        "weights": _histogram(report.weight if report.clean_probability is None else report.clean_probability),
        "suspicions": _histogram(report.suspicion, 0.0, 1.0),
        **_disagreements(report),
    }


def _disagreements(report):
    """The table of given against predicted labels, None for many classes, and its largest entries off the diagonal."""
    classes = len(report.class_names)
    known = report.predicted >= 0
    pairs = report.given[known].astype(np.int64) * classes + report.predicted[known]
    found, counts = np.unique(pairs, return_counts=True)
    differ = found // classes != found % classes
    largest = np.argsort(-counts[differ], kind="stable")[:_PAIRS]
    listed = [
        [int(pair // classes), int(pair % classes), int(n)]
        for pair, n in zip(found[differ][largest], counts[differ][largest], strict=True)
    ]
    matrix = None
    if classes <= _LARGEST_MATRIX:
        matrix = np.bincount(pairs, minlength=classes**2).reshape(classes, classes).tolist()
    return {"confusion": matrix, "pairs": listed}


def _histogram(values, low=0.0, high=None):
    known = values[~np.isnan(values)]
    if high is None:
        high = float(known.max()) if len(known) else 1.0
    counts, edges = np.histogram(known, bins=_BARS, range=(low, max(high, low + 1e-6)))
    return {"edges": edges.round(4).tolist(), "counts": counts.tolist()}


def _summary(report, rows, images):
    counts = ~report.is_trusted
    parts = [f"{counts.sum():,} labels in {len(report.class_names)} classes"]
    if not counts.all():
        parts.append(f"{(~counts).sum():,} more are known to be right and come last")
    if report.is_meta.any():
        parts.append(f"{report.is_meta.sum():,} are of the trusted set, which nobody has checked")
    known = counts & (report.predicted >= 0)
    agree = int((report.predicted[known] == report.given[known]).sum())
    parts.append(f"the network agrees with {agree:,} of their labels")
    if rows < len(report):
        parts.append(f"the page has the {rows:,} least trusted of them; labels.csv has all")
    if images < rows:
        parts.append(f"images of the first {images:,}")
    text = "; ".join(parts)
    return f"{text}. Least trusted first, by {report.by}. Keys: k keep, r relabel, d drop, on the card that is framed."


def _data_uri(image):
    """A PNG of small images, whose pixels count, and a JPEG of larger ones."""
    channels = image.shape[2]
    picture = Image.fromarray(image[:, :, 0] if channels == 1 else image)
    kind = "PNG"
    if max(picture.size) >= _SMALL:
        picture = picture.convert("RGB")
        picture.thumbnail((_LARGEST_SIDE, _LARGEST_SIDE))
        kind = "JPEG"
    buffer = io.BytesIO()
    picture.save(buffer, kind, quality=80)
    return f"data:image/{kind.lower()};base64,{base64.b64encode(buffer.getvalue()).decode('ascii')}"


def _printable(path):
    """A file name whose bytes are no UTF-8 with escapes in their place."""
    return path.encode("utf-8", "surrogateescape").decode("utf-8", "backslashreplace")
