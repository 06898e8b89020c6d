"""One run at a time in a directory, and only of its flags."""

import json
import os
import platform
import signal
import subprocess
import sys

import pytest

from famus_tf import errors
from famus_tf.config import config
from famus_tf.runs import directory as run_directory
from famus_tf.runs import fingerprint

HOLD = """
import pathlib, sys, time
from famus_tf.runs import directory as run_directory
with run_directory.held(pathlib.Path(sys.argv[1])):
    print("held", flush=True)
    time.sleep(600)
"""


def hold(workdir):
    process = subprocess.Popen([sys.executable, "-c", HOLD, str(workdir)], stdout=subprocess.PIPE, text=True)
    assert process.stdout.readline() == "held\n"
    return process


def settings(**changes):
    return config.from_values({"epochs": 2} | changes)


def test_a_second_run_is_refused_until_the_first_is_gone(tmp_path):
    workdir = tmp_path / "run"
    first = hold(workdir)
    try:
        said = f"{workdir}: process {first.pid} on {platform.node()} is at work there; expected a run directory"
        with pytest.raises(errors.InputError) as caught, run_directory.held(workdir):
            pass
        assert str(caught.value).startswith(said)
    finally:
        first.send_signal(signal.SIGKILL)
        first.wait()
    assert (workdir / "lock").exists()  # a killed process takes nothing away, and holds nobody up
    with run_directory.held(workdir):
        assert json.loads((workdir / "lock").read_text()) == {"host": platform.node(), "pid": os.getpid()}
        with pytest.raises(errors.InputError, match=f"process {os.getpid()} on "), run_directory.held(workdir):
            pass
    assert workdir.exists() and not (workdir / "lock").exists()


def test_where_there_are_no_locks_it_goes_on_and_says_so(tmp_path, monkeypatch, capsys):
    def flock(descriptor, operation):
        raise OSError(37, "No locks available")

    monkeypatch.setattr(run_directory.fcntl, "flock", flock)
    with run_directory.held(tmp_path), run_directory.held(tmp_path):
        pass
    assert f"{tmp_path}: the file system has no locks" in capsys.readouterr().out


def test_a_directory_that_came_to_nothing_is_taken_away(tmp_path):
    with run_directory.held(tmp_path / "new"):
        pass
    assert not (tmp_path / "new").exists()
    with run_directory.held(tmp_path):
        (tmp_path / "file").touch()
    assert (tmp_path / "file").exists()


def test_flags_are_written_once(tmp_path):
    data = fingerprint.Fingerprint(("cat",), (2, 2, 1), {"test": fingerprint.ExampleSet((0,))})
    run_directory.check_new_or_same(tmp_path, settings())
    run_directory.begin(tmp_path, settings(), data, resumed=False)
    kept = (tmp_path / "flags.cfg").read_text()
    (tmp_path / "checkpoints").mkdir()
    (tmp_path / "checkpoints" / "ckpt-1.index").touch()
    run_directory.check_new_or_same(tmp_path, settings(mode="train"))
    run_directory.begin(tmp_path, settings(summary_every=7), data, resumed=True)
    assert (tmp_path / "flags.cfg").read_text() == kept
    with pytest.raises(errors.InputError, match=r"--seed: the run directory has 0, this command has 1"):
        run_directory.check_new_or_same(tmp_path, settings(seed=1))
    run_directory.begin(tmp_path, settings(epochs=3), data, resumed=True)
    assert "--epochs=3" in (tmp_path / "flags.cfg").read_text()
    with pytest.raises(errors.InputError, match=r"--epochs: the run directory has 3, this command has 2"):
        run_directory.check_new_or_same(tmp_path, settings())


def test_a_run_that_has_trained_nothing_holds_its_folder_for_no_flags(tmp_path):
    """As one that diverged, or was interrupted, before its first checkpoint."""
    data = fingerprint.Fingerprint(("cat",), (2, 2, 1), {"test": fingerprint.ExampleSet((0,))})
    run_directory.begin(tmp_path, settings(), data, resumed=False)
    (tmp_path / "checkpoints").mkdir()
    run_directory.check_new_or_same(tmp_path, settings(seed=1))
    run_directory.begin(tmp_path, settings(seed=1), data, resumed=False)
    assert "--seed=1" in (tmp_path / "flags.cfg").read_text()
    for name in ("export", "results.json"):
        (tmp_path / name).touch()
        with pytest.raises(errors.InputError, match=r"--seed: the run directory has 1, this command has 0"):
            run_directory.check_new_or_same(tmp_path, settings())
        (tmp_path / name).unlink()


@pytest.mark.parametrize("content", [b"", b"\xff\xfe\x00", b"\0\0\0\0", b"# only a comment\n"])
def test_damaged_flags(tmp_path, content):
    (tmp_path / "flags.cfg").write_bytes(content)
    with pytest.raises(errors.InputError, match=r"flags\.cfg: damaged; expected the run's flags") as caught:
        run_directory.check_same_flags(tmp_path, settings(), must_exist=True)
    assert "\n" not in str(caught.value)


def test_half_a_run_is_refused(tmp_path):
    (tmp_path / "checkpoints").mkdir()
    with pytest.raises(errors.InputError, match=r"holds a run without flags\.cfg"):
        run_directory.check_new_or_same(tmp_path, settings())
