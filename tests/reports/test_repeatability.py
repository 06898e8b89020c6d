"""A run by agreement: what TensorBoard and results.json say of the layers."""

import json

import numpy as np
import tensorflow as tf

from famus_tf import networks
from famus_tf.config import config
from famus_tf.experiment import modes
from tests import small_networks


def test_repeatability_of_each_layer_is_shown(tmp_path, monkeypatch):
    from tensorboard.backend.event_processing import event_accumulator

    def build(input_shape, num_classes, mean, std):
        return small_networks.convolutions(True, input_shape, num_classes)

    monkeypatch.setitem(networks.BUILDERS, "small_preact", build)
    flags = {"dataset": "digits", "train_limit": 64, "meta_per_class": 2, "batch_size": 16, "meta_batch_size": 8}
    flags |= {"noise": "symmetric", "noise_rate": 0.4, "selector": "agreement", "agreement_every": 3, "epochs": 2}
    modes.run(config.from_values(flags | {"workdir": str(tmp_path / "run")}))
    history = json.loads((tmp_path / "run" / "results.json").read_text())["history"]
    events = event_accumulator.EventAccumulator(str(tmp_path / "run" / "tensorboard"), size_guidance={"tensors": 0})
    events.Reload()
    tags = [tag for tag in events.Tags()["tensors"] if tag.startswith("repeatability/")]
    assert tags[0].startswith("repeatability/001_") and len(tags) == len(history[0]["repeatability"]) == 3
    for number, tag in enumerate(tags):
        shown = [float(tf.make_ndarray(event.tensor_proto)) for event in events.Tensors(tag)]
        np.testing.assert_allclose(shown, [epoch["repeatability"][number] for epoch in history], atol=1e-6)
