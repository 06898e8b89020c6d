"""Run directories of an earlier version, killed in mid-run, go on and end with the weights that it ended with.

`old_runs` has one of MW-Net with FaMUS and one of Algorithm 2, both begun by commit c6b3c09, which no move or rename
has touched yet; `end.npz` holds what that version had in its last checkpoint when it went on itself.
"""

import pathlib
import shutil

import numpy as np
import pytest
import tensorflow as tf

from famus_tf import main

OLD = pathlib.Path(__file__).parent / "old_runs"


@pytest.mark.parametrize(("name", "step"), [("mw_net_famus", 20), ("co_divide", 30)])
def test_it_goes_on_and_ends_with_the_same_weights(name, step, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    shutil.copytree(OLD / name, name)
    shutil.copy(OLD / "network.keras", tmp_path)
    command = ["famus_tf", f"--flagfile={name}/flags.cfg"]
    assert main.main(command) == 2
    assert "--selection_objective: the run directory has paper, this command has scale_free" in capsys.readouterr().err
    assert main.main([*command, "--selection_objective=paper"]) == 0
    assert f"{name}: goes on after step {step}" in capsys.readouterr().out
    found = tf.train.load_checkpoint(f"{name}/checkpoints")
    with np.load(OLD / name / "end.npz") as end:
        expected = {key.replace("|", "/"): end[key] for key in end}
    assert len(expected) >= 66
    before = tf.train.load_checkpoint(str(OLD / name / "checkpoints" / f"ckpt-{step}"))
    moved = 0
    for key, value in expected.items():
        # To the bit on the machine that wrote them; another's kernels round otherwise.
        np.testing.assert_allclose(found.get_tensor(key), value, rtol=1e-3, atol=1e-5, err_msg=key)
        moved += bool(np.abs(before.get_tensor(key) - value).max() > 1e-3)
    assert moved > 10
