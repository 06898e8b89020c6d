"""`--mode=clean`: lists of a run's data without the labels that are not trusted; the data stay as they are."""

import collections
import csv
import dataclasses
import itertools
import os
import pathlib

import numpy as np
from PIL import Image

from famus_tf import errors
from famus_tf.config import config as configs
from famus_tf.config.data import OWN_IMAGES, DataConfig
from famus_tf.config.method import METHODS
from famus_tf.data.formats import image_list
from famus_tf.data.images import image_files, typical_size
from famus_tf.data.labels import class_names
from famus_tf.experiment import automatic, build_data, checks, data_of_run
from famus_tf.files import whole_files
from famus_tf.reports import label_report, marks
from famus_tf.runs import directory as run_directory

_FOLDER = "cleaned"
_LISTS = ("train", "meta", "validation", "test")


def clean(config):
    """Writes a list for each set of the data into `cleaned/` of the run directory, and a flag file that takes them."""
    workdir = pathlib.Path(config.run.workdir)
    flags = config.report
    config = checks.with_dtype_policy(automatic.with_choices(config)[0])
    run_directory.check_same_flags(workdir, config, must_exist=True)
    lines = label_report.read_csv(workdir / "labels.csv")
    with run_directory.held(workdir):
        dataset = build_data.make_dataset(config.data, config.run.seed)
        data_of_run.check(workdir, data_of_run.fingerprint_of(dataset), sets=("training", "meta"))
        _check_complete(workdir / "labels.csv", lines, dataset)
        marked = marks.read(pathlib.Path(flags.marks), dataset.class_names) if flags.marks else {}
        labels, counts = decided(lines, marked, flags.clean_share, flags.clean_action, flags.clean_above, flags.marks)
        _check(dataset, labels)
        folder = _fresh(workdir)
        _write(folder, config, dataset, labels)
    told = ", ".join(f"{count:,} {name}" for name, count in counts.items())
    print(f"{folder}: {told} of {counts.total():,} labels; --flagfile={folder / 'cleaned.cfg'} trains on the lists")


def _fresh(workdir):
    """`cleaned`, or `cleaned_2` and so on where a run was trained on the lists that are there."""
    names = itertools.chain([_FOLDER], (f"{_FOLDER}_{k}" for k in itertools.count(2)))
    return next(workdir / name for name in names if not (workdir / name / "run").exists())


def _check_complete(path, lines, dataset):
    """What is not in the list would be dropped without a word."""
    expected = {*_places(dataset)}
    found = {line.index for line in lines if not line.is_trusted}
    if found != expected:
        missing, strangers = len(expected - found), len(found - expected)
        raise errors.InputError(
            f"{path}: {missing:,} of the {len(expected):,} labels of this run are missing, {strangers:,} are of none; "
            "expected the list as it was written, which --mode=report writes anew, and marks for what is to be kept"
        )


def _places(dataset):
    """{index: (name of the set, position in it)} of all labels that nobody vouches for."""
    places = {int(index): ("training", place) for place, index in enumerate(dataset.train_index)}
    if not dataset.meta_is_checked:
        places |= {int(index): ("meta", place) for place, index in enumerate(dataset.meta_index)}
    return places


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
    by_index = {line.index: line for line in lines}
    for index, mark in marked.items():
        _check_mark(by_index.get(index), index, mark, marks_file)
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


def _check_mark(line, index, mark, marks_file):
    expected = "expected marks of this run's labels.html"
    if line is None:
        found = "is no training image"
    elif mark.given != line.given:
        found = f"is labelled {line.given!r}"
    elif mark.path and mark.path != line.path:
        found = f"is {line.path or 'an image without a file'}, not {mark.path}"
    elif line.is_trusted and mark.kind != "keep":
        found, expected = f"is trusted, and marked {mark.kind}", "expected no mark, as its label is known to be right"
    else:
        return
    raise errors.InputError(f"{marks_file}: example {index}, marked with the label {mark.given!r}, {found}; {expected}")


def _check(dataset, labels):
    """Raises InputError where a class would have no training image left, or the trusted set none at all."""
    places = _places(dataset)
    left = {label for index, label in labels.items() if places[index][0] == "training"}
    empty = [dataset.class_names[k] for k in np.unique(dataset.train_labels) if dataset.class_names[k] not in left]
    if empty:
        raise errors.InputError(f"class {empty[0]!r} would have no training image left; expected fewer labels to go")
    had = any(name == "meta" for name, _ in places.values())
    if had and all(places[index][0] == "training" for index in labels):
        raise errors.InputError("no image of the trusted set would be left; expected fewer labels to go")


def _write(folder, config, dataset, labels):
    places = _places(dataset)
    chosen = {"training": {}, "meta": {}}
    for index, label in labels.items():
        name, place = places[index]
        chosen[name][place] = label
    if dataset.meta_is_checked:
        chosen["meta"] = dict(enumerate(dataset.class_names[label] for label in dataset.meta_labels))
    sets = {"train": ("training", dataset.train_images, chosen["training"])}
    for name, examples in dataset.held_out.items():
        of_all = dict(enumerate(dataset.class_names[label] for label in examples.labels))
        sets[name] = (name, examples.images, chosen["meta"] if name == "meta" else of_all)
    sets = {name: found for name, found in sets.items() if found[2]}
    with whole_files.explained(folder):
        folder.mkdir(exist_ok=True)
        for name, (source, images, given) in sets.items():
            positions = np.array(sorted(given), np.int64)
            paths = data_of_run.paths_of(dataset, source, images)
            if paths is None:
                files = _save_images(folder / "images" / name, images, positions)
            else:
                files = [os.path.abspath(os.fsdecode(path)) for path in paths[positions]]
            _write_list(folder / f"{name}.csv", files, [given[position] for position in positions])
    names = [label for _, label in sorted(sets["train"][2].items())]
    again = image_list.read(str(folder / "train.csv"), None, "comma", check_present=False).labels
    class_names.check_told_apart(dict(zip(names, again, strict=True)))
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
    """The run's own flags, but for the data; paths are those from any folder."""
    kept = {"augment", "crop_padding", "crop_padding_mode", "on_bad_image", "strong_augment"}
    kept |= {"randaugment_count", "randaugment_magnitude"}
    own = config.data.dataset in OWN_IMAGES
    if own:
        kept |= {"image_size", "resize", "resize_mode", "train_on_held_out"}
    values = {field.name: field.default for field in dataclasses.fields(DataConfig) if field.name not in kept}
    for group, field in configs.flag_fields():
        path = getattr(getattr(config, group), field.name)
        if field.metadata["is_path"] and group != "data" and path and os.path.exists(path):  # not the name of a network
            values[field.name] = _absolute(path)
    if not own:
        values |= _reading(dataset, config.data) | {"train_on_held_out": True}
    values |= {"dataset": "list", "list_separator": "comma", "list_labels": "names"}
    values |= {f"{name}_list": _absolute(folder / f"{name}.csv") for name in sets if name in _LISTS}
    others = [_absolute(folder / f"{name}.csv") for name in sets if name not in _LISTS]
    if len(others) > 1 and any("," in path for path in others):
        raise errors.InputError(
            f"{folder.absolute()}: expected a run directory and test sets without a comma in their names, as the lists "
            "of test sets are joined by commas"
        )
    values["other_test_lists"] = ",".join(others)
    if "meta" not in sets:
        values["meta_per_class"] = 0
    if METHODS[config.method.method].forgets:  # auto would look for the noise, whose flags the lists have no use for
        values["forget_rate"] = config.forget_rate
    lines = config.with_values(values).flag_lines()
    with whole_files.written(folder / "cleaned.cfg") as place:
        place.write_text("\n".join([*lines, f"--workdir={_absolute(folder / 'run')}", ""]), encoding="utf-8")


def _absolute(path):
    return os.path.abspath(path)


def _reading(dataset, flags):
    """The flags by which a list's images are read and changed as those of a data set that is no list are."""
    height, width, _ = dataset.image_shape
    transform = dataset.reading
    if transform is not None:
        found = {"image_size": transform.size, "resize": transform.resize, "resize_mode": transform.mode}
        padding, fill = transform.padding if not transform.random_resized else 0, "zero"
    else:
        small = typical_size.is_small(height, width)
        found = {} if small else {"image_size": height, "resize": height}
        padding, fill = dataset.crop_padding, dataset.padding_mode
    if flags.augment == "auto":
        found["augment"] = "crop_flip" if dataset.flip else "crop"
    if flags.augment != "none":
        found |= {"crop_padding": padding, "crop_padding_mode": fill}
    if transform is not None and transform.random_resized:
        print(
            f"{dataset.name} is trained on boxes of random size; of the lists, crops of {transform.size} out of "
            f"{transform.resize} pixels are cut"
        )
    return found
