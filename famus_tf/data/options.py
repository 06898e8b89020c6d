"""What a user can say about image files: which of a set's parts to take, and how the images are made alike."""

from __future__ import annotations

import dataclasses

ON_BAD_IMAGE = ("fail", "skip")
WEB_NOISE = ("red", "blue")
WEB_NOISE_RATES = ("0.0", "0.05", "0.1", "0.15", "0.2", "0.3", "0.4", "0.5", "0.6", "0.8")
CLEAN_BY = ("origin", "annotation")


@dataclasses.dataclass(frozen=True)
class Options:
    """Each loader of image files reads those that concern it.

    Attributes:
        image_size: side of the square that the network sees; 0: the data set's own.
        resize: pixels of the shorter side before the crop; 0: the data set's own.
        on_bad_image: one of `ON_BAD_IMAGE`: a missing image is an error, or left to `bad_images.BadImages`.
        train_list, test_list, meta_list, validation_list: of list: files of paths and labels; the last two may be
            empty.
        list_separator: of list: see `listing.read`.
        ilsvrc_dir: of webvision: folder of ILSVRC12's validation images; empty: they are not tested on.
        webvision_classes: of webvision: the first so many classes are taken.
        web_noise: of cnwl: one of `WEB_NOISE`.
        web_noise_rate: of cnwl: one of `WEB_NOISE_RATES`.
        clean_by: of cnwl: one of `CLEAN_BY`: which images count as rightly labelled.
    """

    image_size: int = 0
    resize: int = 0
    on_bad_image: str = "fail"
    train_list: str = ""
    test_list: str = ""
    meta_list: str = ""
    validation_list: str = ""
    list_separator: str = "auto"
    ilsvrc_dir: str = ""
    webvision_classes: int = 50
    web_noise: str = "red"
    web_noise_rate: str = "0.4"
    clean_by: str = "origin"
