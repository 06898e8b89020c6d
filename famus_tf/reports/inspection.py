"""A look at the data before a run: counts, noise and imbalance as text, examples with their labels as a picture."""

import logging
import os
import pathlib

import keras
import matplotlib.figure
import numpy as np

from famus_tf import errors
from famus_tf.data.images import image_files
from famus_tf.data.source import UNKNOWN
from famus_tf.files import plain_text, whole_files
from famus_tf.reports import names, pictures

_LOG = logging.getLogger(__name__)

_SHEET_ROWS, _SHEET_COLUMNS = 5, 10
_CLASSES_SHOWN = 40
_LONGEST_NAME = 60
_PER_ROW_CONFUSIONS = 5
_BROKEN_SHOWN = 10


def describe(dataset):
    """Describes a dataset.

    Args:
      dataset: `data.dataset.Dataset`.

    Returns:
      Several lines of text: the whole, a table of the classes, and the commonest mistakes where the truth is known.
    """
    lines = [dataset.describe()]
    counts = _counts(dataset)
    smallest = counts["training"].min()
    ratio = f"{counts['training'].max() / smallest:.2f}" if smallest else "infinite: a class has none"
    lines.append(f"largest class over smallest, by the given labels: {ratio}")
    wrong, by_true_class = _wrong_shares(dataset)
    if by_true_class:
        true = np.bincount(dataset.train_true_labels, minlength=dataset.num_classes)
        ratio = f"{true.max() / true.min():.2f}" if true.min() else "infinite: a class has none"
        lines.append(f"largest class over smallest, by the true labels: {ratio}")
    names_shown = [plain_text.shortened(name, _LONGEST_NAME) for name in dataset.class_names[:_CLASSES_SHOWN]]
    width = max(map(len, [*names_shown, "class"]))
    header = f"{'class':>5}  {'':{width}}" + "".join(f"{name:>12}" for name in counts)
    if wrong is not None:
        header += f"{'wrong':>9}  " + ("taken for" if by_true_class else "(of those with this given label)")
    lines.append(header)
    for c, name in enumerate(names_shown):
        row = f"{c:>5}  {name:{width}}" + "".join(f"{column[c]:>12,}" for column in counts.values())
        if wrong is not None:
            row += f"{wrong[c]:>9.1%}  {_mistakes(dataset, c) if by_true_class else ''}".rstrip()
        lines.append(row)
    if dataset.num_classes > _CLASSES_SHOWN:
        lines.append(f"... and {dataset.num_classes - _CLASSES_SHOWN} classes more, all in inspection.json")
    return "\n".join(lines)


def scan_files(dataset):
    """Decodes all files of a dataset, with a progress bar.

    Args:
      dataset: `data.dataset.Dataset`.

    Returns:
      {"training" | "meta" | "test" | ...: {"files", "height", "width", "broken"}}: their number, [least, median,
      largest] of the sizes, and {path: what is wrong}; empty where the images are no files.
    """
    files = {}
    held_out = {name: examples.images for name, examples in dataset.held_out.items()}
    for name, images in {"training": dataset.train_images, **held_out}.items():
        if isinstance(images, image_files.ImageFiles) and len(images):
            _LOG.info(f"{name} images:")
            sizes, broken = image_files.scan(images, keras.utils.Progbar(len(images), unit_name="image").update)
            ranges = [[int(least), float(median), int(largest)] for least, median, largest in _ranges(sizes)]
            files[name] = {"files": len(images), "height": ranges[0], "width": ranges[1], "broken": broken}
    return files


def describe_files(files):
    """Lines of text about what `scan_files` found."""
    lines = []
    for name, part in files.items():
        height, width = part["height"], part["width"]
        lines.append(
            f"{name} files: {part['files']:,}, heights {height[0]} to {height[2]} (median {height[1]:g}), widths "
            f"{width[0]} to {width[2]} (median {width[1]:g}), {len(part['broken']):,} broken or missing"
        )
        shown = list(part["broken"].items())[:_BROKEN_SHOWN]
        lines += [plain_text.escaped(f"  {path}: {reason}") for path, reason in shown]
        if len(part["broken"]) > _BROKEN_SHOWN:
            lines.append(f"  ... and {len(part['broken']) - _BROKEN_SHOWN:,} more, all in inspection.json")
    return "\n".join(lines)


def write(workdir, dataset, seed, files=None):
    """Writes `inspection.json` and the picture `examples.png`.

    Args:
      workdir: the run directory, made where it is not there.
      dataset: `data.dataset.Dataset`.
      seed: int, of the choice of examples.
      files: what `scan_files` found; broken ones are not drawn.

    Returns:
      The picture's path.

    Raises:
      InputError: nothing can be written there.
    """
    workdir = pathlib.Path(workdir)
    wrong, by_true_class = _wrong_shares(dataset)
    wrong_by = "true class" if by_true_class else "given class"
    summary = {
        "dataset": dataset.name,
        "actual_noise_rate": dataset.actual_noise_rate,
        "image_shape": list(dataset.image_shape),
        "class_names": list(dataset.class_names),
        **{name: column.tolist() for name, column in _counts(dataset).items()},
        "wrong": None if wrong is None else wrong.tolist(),
        "wrong_by": None if wrong is None else wrong_by,
        "files": files or {},
        "notes": list(dataset.notes),
        "not_read": [
            {"folder": kind.folder, "what": kind.what, "reason": kind.reason, "files": count}
            for kind, count in sorted(dataset.not_read.items())
        ],
    }
    broken = set((files or {}).get("training", {}).get("broken", ()))
    try:
        workdir.mkdir(parents=True, exist_ok=True)
        whole_files.write_json(workdir / "inspection.json", summary)
        with pictures.optional(workdir / "examples.png"):
            draw_examples(workdir / "examples.png", dataset, seed, broken)
    except OSError as error:
        raise errors.InputError(
            f"option `workdir`={workdir}: cannot write there ({error.strerror or error})"
        ) from error
    return workdir / "examples.png"


def draw_examples(path, dataset, seed, broken=()):
    """Draws training images, as equally many of each class as there is room for, with their labels.

    Args:
      path: PNG file to write.
      dataset: `data.dataset.Dataset`.
      seed: int, of the choice.
      broken: paths of files that cannot be drawn.
    """
    usable = np.arange(len(dataset.train_labels))
    if broken:
        usable = np.array([k for k in usable if os.fsdecode(dataset.train_images.paths[k]) not in broken], np.int64)
    count = _SHEET_ROWS * _SHEET_COLUMNS
    chosen = usable[_choose(dataset.train_labels[usable], count, np.random.default_rng(seed))]
    figure = matplotlib.figure.Figure(figsize=(1.5 * _SHEET_COLUMNS, 1.75 * _SHEET_ROWS), layout="constrained")
    axes = figure.subplots(_SHEET_ROWS, _SHEET_COLUMNS).ravel()
    for axis in axes:
        axis.set_axis_off()
    for axis, position, image in zip(axes, chosen, image_files.as_array(dataset.train_images, chosen), strict=False):
        axis.imshow(image[..., 0] if image.shape[-1] == 1 else image, cmap="gray", vmin=0, vmax=255)
        title, color, options = _title_of(dataset, position)
        axis.set_title(title, fontsize=8, color=color, **options)
    legend = "" if dataset.train_true_labels is None else "; green: right, red: wrong"
    figure.suptitle(f"{dataset.name}: training images and their given labels{legend}")
    pictures.save_figure(figure, path, dpi=100)


def _title_of(dataset, position):
    """The given label of a training image, with the true one where it is another; the color of both, and how to draw.

    Returns:
      Text, color, and keyword arguments for matplotlib.
    """
    label = dataset.train_labels[position]
    known = dataset.train_true_labels is not None
    true = dataset.train_true_labels[position] if known else label
    (given, other), options = names.drawn([dataset.class_names[label], dataset.class_names[true]])
    if not known:
        return given, "black", options
    if true == label:
        return given, "tab:green", options
    note = "wrong" if true == UNKNOWN else f"true: {other}"
    return f"{given}\n({note})", "tab:red", options


def _counts(dataset):
    """{what they are for: images of each class}."""
    labels = {name: examples.labels for name, examples in dataset.held_out.items()}
    return {
        name: np.bincount(column, minlength=dataset.num_classes)
        for name, column in {"training": dataset.train_labels, **labels}.items()
    }


def _ranges(sizes):
    """(least, median, largest) of heights and of widths; zeros where there are none."""
    if not len(sizes):
        return [(0, 0, 0)] * 2
    return list(zip(sizes.min(0), np.median(sizes, axis=0), sizes.max(0), strict=True))


def _choose(labels, count, rng):
    """Positions of up to `count` examples: one of each class in turn, classes in order."""
    order = rng.permutation(len(labels))
    rank = np.empty(len(labels), np.int64)
    for c in np.unique(labels):
        members = order[labels[order] == c]
        rank[members] = np.arange(len(members))
    by_rank = np.lexsort((rng.permutation(len(labels)), rank))[:count]
    return by_rank[np.argsort(labels[by_rank], kind="stable")]


def _wrong_shares(dataset):
    """The share of wrong labels for each class, and whether for each true one or, where those are unknown, given one.

    0 for a class without images; None where nobody knows which labels are wrong.
    """
    true, given = dataset.train_true_labels, dataset.train_labels
    if true is None:
        return None, False
    by_true_class = not np.any(true == UNKNOWN)
    classes = true if by_true_class else given
    totals = np.bincount(classes, minlength=dataset.num_classes)
    wrong = np.bincount(classes, weights=given != true, minlength=dataset.num_classes)
    return wrong / np.maximum(totals, 1), by_true_class


def _mistakes(dataset, c):
    """The commonest wrong labels of true class `c`, as text."""
    given = dataset.train_labels[(dataset.train_true_labels == c) & (dataset.train_labels != c)]
    counts = np.bincount(given, minlength=dataset.num_classes)
    common = [d for d in np.argsort(-counts, kind="stable")[:_PER_ROW_CONFUSIONS] if counts[d]]
    return ", ".join(f"{dataset.class_names[d]} ({counts[d]:,})" for d in common)
