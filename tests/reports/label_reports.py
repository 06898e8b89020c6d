"""A made-up label report."""

import numpy as np

from famus_tf.reports import label_report


def make(count=30, classes=("cat", "dog", 'a "bird", or so'), seed=0, **changes):
    """`LabelReport` whose suspicion finds the wrong labels; its images are `images(count)`."""
    rng = np.random.default_rng(seed)
    true = rng.integers(0, len(classes), count)
    given = np.where(rng.random(count) < 0.4, rng.integers(0, len(classes), count), true)

    def numbers():
        return rng.random(count).astype(np.float32)

    values = {
        "class_names": classes,
        "index": np.arange(count) * 3 + 5,
        "paths": [f"train/{classes[k][:3]}/image {i}.png" for i, k in enumerate(given)],
        "is_trusted": np.arange(count) >= count - 4,
        "is_meta": np.arange(count) == 3,
        "by": "a test",
        "given": given,
        "predicted": np.where(rng.random(count) < 0.8, true, given),
        **{name: numbers() for name in ("given_probability", "predicted_probability", "loss", "margin", "weight")},
        "clean_probability": None,
        **{name: numbers() for name in ("area_under_margin", "running_probability", "running_score")},
        "out_of_fold": None,
        "true": true,
        "suspicion": np.where(given != true, 0.7, 0.2) + 0.2 * rng.random(count),
    }
    return label_report.LabelReport(**values | changes)


def images(count, size=8, channels=1, seed=0):
    """Images for its examples, uint8 [count, size, size, channels]."""
    return np.random.default_rng(seed).integers(0, 256, (count, size, size, channels), np.uint8)
