"""What TensorBoard finds in a run's event files: tags, the dashboard for them, and the run's flags."""

import collections
import re

import numpy as np
import pytest
import tensorflow as tf
from tensorboard.backend.event_processing import event_file_loader
from tensorboard.plugins.custom_scalar import layout_pb2
from tensorboard.plugins.hparams import metadata as hparams_metadata

from famus_tf.config import config
from famus_tf.experiment import modes
from famus_tf.reports import tags
from tests import small_networks
from tests.experiment import test_experiment


def _read(run):
    found = collections.defaultdict(list)
    for path in (run / "tensorboard").glob("**/events*"):
        for event in event_file_loader.EventFileLoader(str(path)).Load():
            for value in event.summary.value:
                found[value.tag].append(value)
    return found


@pytest.fixture(scope="module")
def events(tmp_path_factory):
    """{tag: list of its values} of a run with all that TensorBoard shows of one network."""
    folder = tmp_path_factory.mktemp("board")
    network = small_networks.save_convolutions(folder / "small.keras")
    flags = {"network": str(network), "workdir": str(folder / "run"), "log_meta_gradient": True}
    flags |= {"log_stage_times": True, "method": "memory_weight_net", "selector": "agreement"}
    modes.run(config.from_values(test_experiment.SHORT | flags))
    return _read(folder / "run")


def test_every_chart_of_the_dashboard_shows_something(events):
    """But those of Algorithm 2 and of the selector that measures, which this run does not have."""
    (kept,) = events["custom_scalars__config__"]
    layout = layout_pb2.Layout.FromString(kept.tensor.string_val[0])
    assert [category.title for category in layout.category] == [
        "1. Is training healthy?",
        "2. Layers over time",
        "3. Algorithm 2",
        "4. The paper's figures",
    ]
    empty = {
        chart.title
        for category in layout.category
        for chart in category.chart
        if not any(re.match(pattern, tag) for pattern in chart.multiline.tag for tag in events)
    }
    assert empty == {"accuracy of each network", "splits", "what is particular to the method"}


def test_every_scalar_is_on_the_dashboard(events):
    """But further figures of the evaluation, and what is written for other pages."""
    patterns = [pattern for charts in tags._DASHBOARD.values() for pattern in charts.values()]
    others = {tag for tag in events if not any(re.fullmatch(pattern, tag) for pattern in patterns)}
    others = {tag for tag in others if not re.match(r"test/|_hparams_/|custom_scalars__config__", tag)}
    assert others == {"example_weight/clean", "example_weight/noisy", tags.SELECTION}


def test_the_flags_tell_runs_apart(events):
    (begun,) = events[hparams_metadata.SESSION_START_INFO_TAG]
    content = begun.metadata.plugin_data.content
    start = hparams_metadata.parse_session_start_info_plugin_data(content)
    values = {name: value.WhichOneof("kind") and value for name, value in start.hparams.items()}
    assert values["noise_rate"].number_value == 0.6 and values["method"].string_value == "memory_weight_net"
    assert values["seed"].number_value == 0 and "workdir" not in values and "summary_every" not in values
    (ended,) = events[hparams_metadata.SESSION_END_INFO_TAG]
    assert hparams_metadata.parse_session_end_info_plugin_data(ended.metadata.plugin_data.content).status == 1


def test_what_is_particular_to_a_method(tmp_path):
    """Of F-correction T, as a picture in which its 0.8 and 0.05 are shades, and the noise that it says."""
    network = small_networks.save_convolutions(tmp_path / "small.keras")
    matrix = np.full((10, 10), 0.2 / 9) + np.eye(10) * (0.8 - 0.2 / 9)
    np.save(tmp_path / "t.npy", matrix)
    flags = {"network": str(network), "workdir": str(tmp_path / "run"), "method": "forward", "meta_per_class": 0}
    flags |= {"summary_every": 2}
    modes.run(config.from_values(test_experiment.SHORT | flags | {"transition_file": str(tmp_path / "t.npy")}))
    found = _read(tmp_path / "run")
    (picture, *_) = found["method/transition"]
    shades = tf.io.decode_png(picture.tensor.string_val[2]).numpy()[..., 0]
    assert shades.shape == (200, 200) and shades[10, 10] == 51 and shades[10, 30] == 249
    assert tf.make_ndarray(found["train/noise"][0].tensor) == pytest.approx(0.2)
    pattern = tags._DASHBOARD["1. Is training healthy?"]["what is particular to the method"]
    shown = {tag for tag in found if re.fullmatch(pattern, tag)}
    assert shown == {"train/noise"}
