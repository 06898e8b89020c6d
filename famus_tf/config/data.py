"""The flags of the data: which images, which labels are made wrong, what is trusted."""

import dataclasses
import os
from collections.abc import Mapping
from typing import Any

from famus_tf.config import fields

# The data sets of images of one's own, of which the run must find out what it needs to know.
OWN_IMAGES = ("folder", "list")


@dataclasses.dataclass(frozen=True)
class DataConfig(fields.FlagGroup):
    """Which images, which labels are made wrong, and what is held out as the trusted meta set."""

    dataset: str = fields.flag(
        "digits",
        "The data set; where it is not given: list with --train_list, folder with --data_dir, else digits.",
        ("digits", "fashion_mnist", "cifar10", "cifar100", "webvision", "clothing1m", "cnwl", "folder", "list"),
    )
    data_dir: str = fields.flag(
        "", "The folder of the data set's files. Empty: the data set's own default.", is_path=True
    )
    prepared_dir: str = fields.flag(
        "",
        "Where --mode=prepare writes scaled images to, and where they are read from; empty: beside data_dir, as "
        "data/clothing1m_short256.",
        is_path=True,
    )
    image_size: int = fields.flag(
        0,
        "Of image files: side of the square that the network sees; 0: the data set's own; of folder and list the "
        "size of most images where it is small, also a rectangle, else 224.",
        bounds=fields.COUNT_OR_ZERO,
    )
    resize: int = fields.flag(
        0,
        "Of image files: pixels of the shorter side before the crop; 0: the data set's own; of folder and list 8/7 of "
        "image_size, 256 for 224, and image_size with --resize_mode=squash or pad.",
        bounds=fields.COUNT_OR_ZERO,
    )
    resize_mode: str = fields.flag(
        "crop",
        "Of folder and list, what is done to images of another shape: crop (scaled to cover it, then cut), squash "
        "(both sides scaled, whatever the ratio), or pad (scaled to fit in it, the rest black).",
        ("crop", "squash", "pad"),
    )
    on_bad_image: str = fields.flag(
        "fail",
        "At an image file that is missing or broken: fail; or skip: another of its class stands in for it, and it is "
        "listed in the run directory; more than 1% of them stop the run.",
        ("fail", "skip"),
    )
    train_list: str = fields.flag("", "Of list: the training set, a path and a label in each line.", is_path=True)
    test_list: str = fields.flag("", "Of list: the test set.", is_path=True)
    other_test_lists: str = fields.flag(
        "",
        "Of list: further test sets, lists joined by commas; each is evaluated, under the name of its file.",
        is_path=True,
    )
    meta_list: str = fields.flag(
        "",
        "Of list: trusted labels; empty: the lines of train_list with 1 in a column is_trusted, or taken out of it.",
        is_path=True,
    )
    validation_list: str = fields.flag("", "Of list: the examples to choose the best epoch by, if any.", is_path=True)
    list_separator: str = fields.flag(
        "auto",
        "Of list: what stands between path and label.",
        ("auto", "tab", "space", "comma", "colon", "semicolon", "pipe"),
    )
    list_labels: str = fields.flag(
        "auto",
        "Of list: whether labels are names, also where they are numbers, or auto: ids where all are whole numbers.",
        ("auto", "names"),
    )
    train_on_held_out: bool = fields.flag(
        False,
        "Of folder and list: train also on images that are in the test, validation or meta set as well; else these are "
        "taken out of the training set, and said.",
    )
    near_duplicates: bool = fields.flag(
        False,
        "Of --mode=inspect on image files: look also for images that look alike, such as the same one in another size "
        "or kind of file, in different sets or with different labels.",
    )
    ilsvrc_dir: str = fields.flag(
        "",
        "Of webvision: the folder of ILSVRC12's validation images, to test on them too; empty: not tested on.",
        is_path=True,
    )
    webvision_classes: int = fields.flag(
        50, "Of webvision: the first so many classes; 50: mini WebVision.", bounds=fields.COUNT
    )
    web_noise: str = fields.flag("red", "Of cnwl: red (images from the web) or blue (labels flipped).", ("red", "blue"))
    web_noise_rate: str = fields.flag(
        "0.4",
        "Of cnwl: the nominal rate, as in its split files' names.",
        ("0.0", "0.05", "0.1", "0.15", "0.2", "0.3", "0.4", "0.5", "0.6", "0.8"),
    )
    clean_by: str = fields.flag(
        "origin",
        "Of cnwl: which labels count as right: origin (those of Mini-ImageNet's own images with their own class), or "
        "annotation (also images from the web whose label the annotators found right).",
        ("origin", "annotation"),
    )
    noise: str = fields.flag(
        "none",
        "How training labels are made wrong: none; symmetric (replaced by a class drawn uniformly); asymmetric "
        "(classes that resemble each other); flip, flip2 (one, two other classes drawn for each class); hierarchical "
        "(another class of the same superclass); pairflip (the next class); or file (--noise_file).",
        ("none", "symmetric", "asymmetric", "flip", "flip2", "hierarchical", "pairflip", "file"),
    )
    noise_rate: float = fields.flag(
        0.0,
        "The fraction of training labels that is redrawn, in [0, 1]; the actual share of wrong ones is printed and "
        "kept in results.json.",
        bounds=fields.FRACTION,
    )
    noise_includes_true_label: bool = fields.flag(
        True,
        "Symmetric noise redraws from all classes, the true one included, so that fewer labels than noise_rate end up "
        "wrong; without it, from the other classes only.",
    )
    superclasses: str = fields.flag(
        "true",
        "Of asymmetric and hierarchical noise on cifar100: its true superclasses, or consecutive: blocks of five class "
        "ids, as in much of the literature's code, none of which is a superclass.",
        ("true", "consecutive"),
    )
    noise_file: str = fields.flag(
        "",
        "With --noise=file: a label for each training image by its position: a JSON list, a .npy vector, or CIFAR-N's "
        ".pt.",
        is_path=True,
    )
    noise_key: str = fields.flag("", "Which labels of CIFAR-N's file, such as worse_label.")
    noise_protocol: str = fields.flag(
        "independent",
        "How meta set and noise are drawn: independent (of each other), or mw_net: label by label as by "
        "Meta-Weight-Net's code, which with --seed=1 is its published set.",
        ("independent", "mw_net"),
    )
    imbalance: float = fields.flag(
        1.0,
        "Images of the largest class over those of the smallest, of a long-tailed training set; 1: classes as they "
        "are.",
        bounds=fields.AT_LEAST_ONE,
    )
    imbalance_shape: str = fields.flag(
        "exponential",
        "Of the long tail: exponential, or step (the second half of the classes is small).",
        ("exponential", "step"),
    )
    imbalance_head: str = fields.flag(
        "after_meta",
        "The largest class's count: after_meta (what the meta set leaves of it; Meta-Weight-Net and FaMUS), or whole "
        "(all of it, as far as the meta set leaves that; Cui et al. and LDAM).",
        ("after_meta", "whole"),
    )
    meta_per_class: int = fields.flag(
        10,
        "Images per class of the meta set, with trusted labels: taken out of the training set; of cnwl out of its "
        "rightly labelled images, of clothing1m from its clean ones; give 0 where the method has no meta step, as "
        "they are not trained on.",
        bounds=fields.COUNT_OR_ZERO,
    )
    train_limit: int = fields.flag(
        0,
        "Train on a class-balanced subset of so many images, for quick studies; 0: on all.",
        bounds=fields.COUNT_OR_ZERO,
    )
    validation_share: float = fields.flag(
        0.0,
        "Share of the training images that is not trained on, but chooses the best epoch, by the labels as they are "
        "given, wrong ones too: for rates and other settings to be chosen by, as the test set is not for that.",
        bounds=fields.BELOW_ONE,
    )
    augment: str = fields.flag(
        "auto",
        "Random changes to training images: none, crop (padded, then cropped), crop_flip (and mirrored), or auto: the "
        "data set's own.",
        ("auto", "none", "crop", "crop_flip"),
    )
    crop_padding: int = fields.flag(
        -1,
        "Pixels around an image before it is cropped to its size again; -1: the data set's own, an eighth of the "
        "shorter side of small images of your own.",
        bounds=fields.MINUS_ONE_OR_MORE,
    )
    crop_padding_mode: str = fields.flag(
        "auto",
        "What these pixels are: zero, or reflect (the image mirrored at its edges; not of image files that are decoded "
        "for each batch). auto: the data set's own.",
        ("auto", "zero", "reflect"),
    )
    strong_augment: str = fields.flag(
        "none",
        "Further random changes to training images, after those of --augment: autoaugment (CIFAR-10's policy), "
        "randaugment, or none.",
        ("none", "autoaugment", "randaugment"),
    )
    randaugment_count: int = fields.flag(2, "Of randaugment: operations on an image.", bounds=fields.COUNT)
    randaugment_magnitude: float = fields.flag(
        9.0, "Of randaugment: how strong they are, 0 to 30.", bounds=fields.UP_TO_30
    )

    @property
    def further_lists(self) -> list[str]:
        """The files of `other_test_lists`, joined by commas there, which a single one may have in its name."""
        text = self.other_test_lists
        return [text] if os.path.exists(text) else [part.strip() for part in text.split(",") if part.strip()]


def meant_dataset(values: Mapping[str, Any]) -> str:
    """The data set of a command that does not name one.

    Args:
        values: {flag name: value}; absent flags have their defaults.
    """
    if values.get("train_list"):
        return "list"
    return "folder" if values.get("data_dir") else "digits"
