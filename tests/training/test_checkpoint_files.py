"""Checkpoints that are damaged: which one is taken, what is said, and that one appears whole or not at all."""

import os
import shutil

import numpy as np
import pytest
import tensorflow as tf

from famus_tf import errors
from famus_tf.training import checkpoint_files
from famus_tf.training.checkpoint_files import Checkpoint

STEPS = (200, 400, 600)
INDEX, DATA = "ckpt-600.index", "ckpt-600.data-00000-of-00001"


def value(step):
    return np.random.default_rng(step).standard_normal(5000).astype(np.float32)


def publish(folder, step):
    checkpoint = tf.train.Checkpoint(v=tf.Variable(value(step)), text=tf.Variable(["a word"]))
    return checkpoint_files.publish(folder, step, checkpoint.write)


def restored(folder, one):
    variable = tf.Variable(np.zeros(5000, np.float32))
    tf.train.Checkpoint(v=variable).read(str(folder / one.name)).expect_partial()
    return variable.numpy()


@pytest.fixture(scope="module")
def written(tmp_path_factory):
    """Three times a checkpoint, of which the last two are there."""
    folder = tmp_path_factory.mktemp("checkpoints")
    for step in STEPS:
        checkpoint_files.prune(folder, publish(folder, step))
    return folder


@pytest.fixture
def folder(written, tmp_path):
    """A copy of them, to damage."""
    return shutil.copytree(written, tmp_path / "checkpoints")


def cut(path):
    os.truncate(path, path.stat().st_size // 2)


def flip(path, position=0.5):
    content = bytearray(path.read_bytes())
    content[int(position * len(content))] ^= 1
    path.write_bytes(content)


DAMAGES = {
    "data cut": lambda folder: cut(folder / DATA),
    "data emptied": lambda folder: os.truncate(folder / DATA, 0),
    "data with a flipped bit": lambda folder: flip(folder / DATA),
    "data missing": lambda folder: (folder / DATA).unlink(),
    "index cut": lambda folder: cut(folder / INDEX),
    "index with a flipped bit": lambda folder: flip(folder / INDEX),
    "index missing": lambda folder: (folder / INDEX).unlink(),
}


def without_manifests(folder):
    """As earlier versions have left them."""
    for path in folder.glob("*.manifest"):
        path.unlink()


def test_two_are_kept_and_other_programs_find_the_last(folder):
    assert checkpoint_files.all_in(folder) == [Checkpoint(600), Checkpoint(400)]
    assert checkpoint_files.newest_whole(folder) == (Checkpoint(600), {})
    assert tf.train.latest_checkpoint(str(folder)) == str(folder / "ckpt-600")
    assert tf.train.get_checkpoint_state(str(folder)).all_model_checkpoint_paths == [
        str(folder / name) for name in ("ckpt-400", "ckpt-600")
    ]
    assert not (folder / "partial").exists()
    np.testing.assert_array_equal(restored(folder, Checkpoint(600)), value(600))


@pytest.mark.parametrize("manifests", [True, False], ids=["", "of_an_earlier_version"])
@pytest.mark.parametrize("damage", DAMAGES)
def test_a_damaged_one_is_passed_over_and_left_as_it_is(folder, damage, manifests):
    if not manifests:
        without_manifests(folder)
    DAMAGES[damage](folder)
    before = {path.name: path.read_bytes() for path in folder.iterdir()}
    one, damaged = checkpoint_files.newest_whole(folder)
    assert one == Checkpoint(400) and list(damaged) == [Checkpoint(600)]
    said = checkpoint_files.describe(damaged)
    assert said.startswith("ckpt-600 (") and "\n" not in said
    if manifests or "missing" in damage:
        assert (INDEX if "index" in damage else DATA) in said
    assert {path.name: path.read_bytes() for path in folder.iterdir()} == before
    np.testing.assert_array_equal(restored(folder, one), value(400))
    # The next of the same step has a name of its own, and is the newer one.
    again = publish(folder, 600)
    checkpoint_files.prune(folder, again, damaged)
    assert again.name == "ckpt-600-2"
    assert checkpoint_files.newest_whole(folder) == (again, {})
    assert tf.train.latest_checkpoint(str(folder)) == str(folder / "ckpt-600-2")
    np.testing.assert_array_equal(restored(folder, again), value(600))
    for name, content in before.items():
        if name.startswith("ckpt-600."):
            assert (folder / name).read_bytes() == content


@pytest.mark.parametrize("content", [b"", b"\xff\x00nothing", b'model_checkpoint_path: "ckpt-7"'])
def test_the_state_file_decides_nothing(folder, content):
    (folder / "checkpoint").write_bytes(content)
    assert checkpoint_files.newest_whole(folder) == (Checkpoint(600), {})


@pytest.mark.parametrize("position", np.linspace(0, 0.9999, 9))
def test_a_flipped_bit_anywhere_is_seen(folder, position):
    for name in (INDEX, DATA):
        kept = (folder / name).read_bytes()
        flip(folder / name, position)
        assert list(checkpoint_files.newest_whole(folder)[1]) == [Checkpoint(600)]
        (folder / name).write_bytes(kept)


def test_none_that_is_whole_is_an_error_and_changes_nothing(folder):
    for step in (400, 600):
        cut(folder / f"ckpt-{step}.index")
    before = {path.name: path.read_bytes() for path in folder.iterdir()}
    with pytest.raises(errors.InputError) as caught:
        checkpoint_files.newest_whole(folder)
    said = str(caught.value)
    assert said.startswith(f"{folder}: no checkpoint is whole, ckpt-600 (ckpt-600.index has ")
    assert "ckpt-400 (" in said and "\n" not in said
    assert {path.name: path.read_bytes() for path in folder.iterdir()} == before
    for name in before:
        if name.startswith("ckpt"):
            (folder / name).unlink()
    with pytest.raises(errors.InputError, match="the checkpoints are gone"):
        checkpoint_files.newest_whole(folder)


def test_a_folder_in_which_none_was_ever_written(tmp_path):
    assert checkpoint_files.newest_whole(tmp_path / "absent") == (None, {})
    (tmp_path / "partial").mkdir()
    (tmp_path / "partial" / "ckpt-3.index").touch()  # killed in the first one
    assert checkpoint_files.newest_whole(tmp_path) == (None, {})


def test_a_damaged_manifest_does_not_matter(folder):
    cut(folder / "ckpt-600.manifest")
    assert checkpoint_files.newest_whole(folder) == (Checkpoint(600), {})


def test_what_fails_in_writing_leaves_the_others(folder):
    def write(prefix):
        tf.train.Checkpoint(v=tf.Variable(1.0)).write(prefix)
        raise tf.errors.ResourceExhaustedError(None, None, "No space left on device")

    before = {path.name: path.read_bytes() for path in folder.iterdir()}
    with pytest.raises(tf.errors.ResourceExhaustedError):
        checkpoint_files.publish(folder, 800, write)
    assert {path.name: path.read_bytes() for path in folder.iterdir()} == before


@pytest.mark.parametrize("after", range(4))
def test_ended_between_any_two_renames(folder, monkeypatch, after):
    """Data, index, manifest, state file: where the index is there, all that was written is."""
    replace, done = os.replace, []

    def replace_or_end(source, target):
        if len(done) == after:
            raise KeyboardInterrupt
        done.append(target)
        replace(source, target)

    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr(os, "replace", replace_or_end)
        publish(folder, 800)
    one, damaged = checkpoint_files.newest_whole(folder)
    if after >= 2:
        assert (one, damaged) == (Checkpoint(800), {})
    else:
        assert one == Checkpoint(600)
        assert list(damaged) == ([Checkpoint(800)] if after else [])
    assert publish(folder, 800) > one
