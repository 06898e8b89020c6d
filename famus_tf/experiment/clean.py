"""`--mode=clean`: lists of a run's data without the labels that are not trusted; the data stay as they are."""

import collections
import csv
import dataclasses
import os
import pathlib

import numpy as np
from PIL import Image

from famus_tf import errors
from famus_tf.config import text as flag_text
from famus_tf.config.data import DataConfig
from famus_tf.data.images import image_files
from famus_tf.experiment import automatic, build_data, checks, data_of_run
from famus_tf.files import whole_files
from famus_tf.reports import label_report, marks
from famus_tf.runs import directory as run_directory

_FOLDER = "cleaned"


def clean(config):
    """Writes a list for each set of the data into `cleaned/` of the run directory, and a flag file that takes them."""
    workdir = pathlib.Path(config.run.workdir)
    flags = config.report
    if not flags.marks and not flags.clean_share and flags.clean_above == 1:
        raise errors.InputError(
            "--mode=clean without --marks, --clean_share=0, --clean_above=1: expected one of them, which say what is "
            "not trusted"
        )
    config = checks.with_dtype_policy(automatic.with_choices(config)[0])
    run_directory.check_same_flags(workdir, config, must_exist=True)
    lines = label_report.read_csv(workdir / "labels.csv")
    with run_directory.held(workdir):
        dataset = build_data.make_dataset(config.data, config.run.seed)
        data_of_run.check(workdir, data_of_run.fingerprint_of(dataset), sets=("training",))
        marked = marks.read(pathlib.Path(flags.marks), dataset.class_names) if flags.marks else {}
        labels, counts = decided(lines, marked, flags.clean_share, flags.clean_action, flags.clean_above, flags.marks)
        _check(dataset, labels)
        folder = workdir / _FOLDER
        _write(folder, config, dataset, labels)
    told = ", ".join(f"{count:,} {name}" for name, count in counts.items())
    print(f"{folder}: {told} of {counts.total():,} training labels; --flagfile={folder / 'cleaned.cfg'} trains on them")


def decided(lines, marked, share, action, above=1.0, marks_file=""):
    """What becomes of each training label.

    Args:
      lines: list of `label_report.Line`, least trusted first.
      marked: {index: `marks.Mark`}; what is marked is done, whatever the rest says.
      share: of the labels that are not known to be right, so many of the least trusted are not believed.
      above: nor are those of a higher suspicion.
      action: "drop" or "relabel"; to relabel means to drop where the network predicts the given label.
      marks_file: for errors.

    Returns:
      {index of the example in the training images: the name of its class} without those that are dropped, and a
      `collections.Counter` of `kept`, `relabelled` and `dropped`.

    Raises:
      InputError: a mark is of no example, or of one with another label.
    """
    untrusted = [line for line in lines if not line.is_trusted]
    by_index = {line.index: line for line in untrusted}
    for index, mark in marked.items():
        line = by_index.get(index)
        if line is None or mark.given != line.given:
            found = "no training image" if line is None else f"labelled {line.given!r}"
            raise errors.InputError(
                f"{marks_file}: example {index}, marked with the label {mark.given!r}, is {found}; expected marks of "
                "this run's labels.html"
            )
    least = {line.index for line in untrusted[: round(share * len(untrusted))]}
    least |= {line.index for line in untrusted if line.suspicion > above}
    labels, counts = {}, collections.Counter(kept=0, relabelled=0, dropped=0)
    for line in untrusted:
        mark = marked.get(line.index)
        if mark is not None:
            label = {"keep": line.given, "relabel": mark.new, "drop": None}[mark.kind]
        elif line.index not in least:
            label = line.given
        elif action == "drop" or line.predicted in ("", line.given):
            label = None
        else:
            label = line.predicted
        counts["dropped" if label is None else "kept" if label == line.given else "relabelled"] += 1
        if label is not None:
            labels[line.index] = label
    return labels, counts


def _check(dataset, labels):
    """Raises InputError where a class would have no training image left."""
    left = set(labels.values())
    empty = [dataset.class_names[k] for k in np.unique(dataset.train_labels) if dataset.class_names[k] not in left]
    if empty:
        raise errors.InputError(f"class {empty[0]!r} would have no training image left; expected fewer labels to go")


def _write(folder, config, dataset, labels):
    positions = {int(index): place for place, index in enumerate(dataset.train_index)}
    strangers = [index for index in labels if index not in positions]
    if strangers:
        raise errors.InputError(
            f"{folder.parent / 'labels.csv'}: example {strangers[0]} is no training image of this run; expected the "
            "list that the run has written"
        )
    kept = sorted(labels, key=positions.__getitem__)
    places = np.array([positions[index] for index in kept], np.int64)
    sets = {"train": ("training", dataset.train_images, places, [labels[index] for index in kept])}
    for name, examples in dataset.held_out.items():
        if len(examples.labels):
            names = [dataset.class_names[label] for label in examples.labels]
            sets[name] = (name, examples.images, np.arange(len(names)), names)
    with whole_files.explained(folder):
        folder.mkdir(exist_ok=True)
        for name, (source, images, chosen, names) in sets.items():
            paths = data_of_run.paths_of(dataset, source, images)
            if paths is None:
                files = _save_images(folder / "images" / name, images, chosen)
            else:
                files = [os.path.abspath(os.fsdecode(path)) for path in paths[chosen]]
            _write_list(folder / f"{name}.csv", files, names)
    _write_flags(folder, config, dataset, sets)


def _save_images(folder, images, positions):
    """Writes images that come from no files as PNG; returns their paths."""
    folder.mkdir(parents=True, exist_ok=True)
    files = []
    for position in positions:
        image = image_files.as_array(images, np.array([position]))[0]
        files.append(folder.absolute() / f"{position}.png")
        Image.fromarray(image[:, :, 0] if image.shape[2] == 1 else image).save(files[-1])
    return files


def _write_list(path, files, labels):
    with (
        whole_files.written(path) as place,
        open(place, "w", encoding="utf-8", errors="surrogateescape", newline="") as file,
    ):
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(("path", "label"))
        writer.writerows(zip(map(str, files), labels, strict=True))


def _write_flags(folder, config, dataset, sets):
    """The run's own flags, but for the data."""
    kept = {"augment", "on_bad_image"}
    if config.data.dataset in ("folder", "list"):
        kept |= {"image_size", "resize", "resize_mode"}
    replaced = {field.name for field in dataclasses.fields(DataConfig)} - kept
    lines = [line for line in config.flag_lines() if _name_of(line) not in replaced]
    if "image_size" in replaced:
        lines.append(f"--image_size={dataset.image_shape[0]}")
    lines += ["--dataset=list", "--list_separator=comma", f"--workdir={folder / 'run'}"]
    others = [name for name in sets if name not in ("train", "meta", "validation", "test")]
    lines += [f"--{name}_list={folder / name}.csv" for name in sets if name not in others]
    if others:
        lines.append("--other_test_lists=" + ",".join(f"{folder / name}.csv" for name in others))
    with whole_files.written(folder / "cleaned.cfg") as place:
        place.write_text("\n".join([*lines, ""]), encoding="utf-8")


def _name_of(line):
    booleans = {field.name for field in dataclasses.fields(DataConfig) if field.type is bool}
    return flag_text.name_and_value(line, booleans)[0]
