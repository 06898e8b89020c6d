"""The layers' parts sum to the step's meta gradient; the figures on known arrays; the command."""

import json

import keras
import numpy as np
import pytest
import tensorflow as tf

import famus_tf
from benchmarks import meta_gradient_agreement
from tests import small_networks


def test_the_parts_sum_to_the_meta_gradient_of_a_step():
    options = {"lambda_r": 0.0, "lambda_g": 0.0, "lambda_cost": 0.0, "selector": famus_tf.AllLayers()}
    trainer = famus_tf.FaMUS(small_networks.residual("float32"), famus_tf.MWNet(hidden=4), **options)
    trainer.compile(keras.optimizers.SGD(0.1))
    trainer.record_meta_gradient = True
    images = tf.random.stateless_normal([8, 6, 6, 2], [1, 2])
    labels = tf.constant([0, 1, 2, 0, 1, 2, 0, 1])
    data = ((images, labels), (images[::-1] * 1.5, labels))
    rows, seen = meta_gradient_agreement.make_parts(trainer, data)(data)
    assert rows.shape[0] == len(seen) == len(trainer.gated_layers)
    whole = trainer.step(data)["meta_gradient"]
    assert np.abs(whole).max() > 1e-6
    np.testing.assert_allclose(tf.reduce_sum(rows, 0), whole, rtol=1e-3, atol=1e-3 * np.abs(whole).max())


def test_figures():
    whole = np.array([[1.0, 0.0], [0.0, 1.0]])
    figures = meta_gradient_agreement.compare(np.array([[2.0, 0.0], [0.0, 0.0]]), whole)
    # The second selection is empty: it has no direction.
    assert figures == pytest.approx({"cosine": 1.0, "cosine_of_means": 0.5**0.5, "relative_variance": 1.0})
    nothing = meta_gradient_agreement.compare(np.zeros([2, 2]), whole)
    assert nothing == {"cosine": None, "cosine_of_means": None, "relative_variance": None}


@pytest.mark.slow
def test_the_command(tmp_path, capsys):
    command = ["--flagfile=flags/digits.cfg", "--method=mw_net", "--batch_size=16", "--steps=2,1", "--batches=2"]
    assert meta_gradient_agreement.main([*command, f"--json={tmp_path / 'out.json'}"]) == 0
    results = json.loads((tmp_path / "out.json").read_text())["results"]
    assert [row["step"] for row in results] == [1] * 5 + [2] * 5
    assert [row["layers"] for row in results[:3:2]] == [17.0, 5.0]
    assert results[0]["cosine"] == pytest.approx(1.0)
    assert "| 1    | last block      | 5.0    |" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("argument", "said"),
    [
        ("--steps=0", "positive whole numbers"),
        ("--method=l2r", "--method=mw_net"),
        ("--steps=99999", "at most the 800"),
    ],
)
def test_mistakes_are_one_sentence(capsys, argument, said):
    assert meta_gradient_agreement.main(["--flagfile=flags/digits.cfg", "--method=mw_net", argument]) == 2
    (line,) = [line for line in capsys.readouterr().err.splitlines() if line.startswith("meta_gradient_agreement")]
    assert said in line
