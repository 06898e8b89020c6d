"""Signals: what they end, what they leave, and that a second one ends a process that does not come to its end."""

import os
import re
import signal
import subprocess
import sys
import time

import pytest

from famus_tf.training import interruption
from famus_tf.training.interruption import Interrupted, handled


@pytest.mark.parametrize(("number", "status"), [(signal.SIGINT, 130), (signal.SIGTERM, 143), (signal.SIGHUP, 129)])
def test_a_signal_ends_what_is_done(number, status):
    before = signal.getsignal(number)
    with pytest.raises(Interrupted) as caught, interruption.handled():
        os.kill(os.getpid(), number)
        time.sleep(5)
    assert caught.value.status == status
    assert str(caught.value) == f"interrupted by {number.name}; nothing is lost; the same command starts anew"
    assert signal.getsignal(number) is before


def test_what_a_library_has_taken_over_is_taken_back():
    with pytest.raises(Interrupted), interruption.handled():
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
        interruption.renew()
        os.kill(os.getpid(), signal.SIGTERM)
        time.sleep(5)


def test_deferred_it_is_asked_for():
    done = []
    with pytest.raises(Interrupted), interruption.handled(), interruption.deferred():
        os.kill(os.getpid(), signal.SIGTERM)
        time.sleep(0.05)
        assert interruption.received() == signal.SIGTERM
        for item in interruption.watched(range(5)):
            done.append(item)
    assert done == [0]
    assert interruption.received() == 0


def test_deferred_and_not_asked_for_it_is_not_forgotten():
    done = []
    with pytest.raises(Interrupted), interruption.handled():
        with interruption.deferred():
            os.kill(os.getpid(), signal.SIGINT)
            time.sleep(0.05)
            done.append("to its end")
        done.append("never")
    assert done == ["to its end"]


def test_where_nothing_can_be_lost_it_ends_at_once():
    done = []
    with pytest.raises(Interrupted), interruption.handled(), interruption.deferred(), interruption.at_once():
        done.append("a step begins")
        os.kill(os.getpid(), signal.SIGINT)
        time.sleep(5)
        done.append("a step ends")
    assert done == ["a step begins"]
    with pytest.raises(Interrupted), interruption.handled(), interruption.deferred():
        with interruption.at_once():
            pass
        os.kill(os.getpid(), signal.SIGINT)
        time.sleep(0.05)
        done.append("deferred again")
    assert done == ["a step begins", "deferred again"]


def test_what_is_said_names_the_checkpoint_that_is_there():
    with pytest.raises(Interrupted, match=r"nothing is lost; .* from the checkpoint of step 1,200"), handled():
        assert interruption.what_follows() == "the same command starts anew"
        interruption.note_checkpoint(1200)
        os.kill(os.getpid(), signal.SIGINT)
        time.sleep(5)


def test_without_a_handler_nothing_is_received():
    with interruption.deferred():
        assert list(interruption.watched(range(3))) == [0, 1, 2]


STUCK = """
import signal, sys, time
from famus_tf.training import interruption
with interruption.handled(), interruption.deferred(patience=float(sys.argv[1]) or None):
    if sys.argv[2:]:
        interruption.note_checkpoint(int(sys.argv[2]))
    print("ready", flush=True)
    # As a call of TensorFlow that does not return: Python's handlers do not run meanwhile.
    while True:
        signal.pthread_sigmask(signal.SIG_BLOCK, [])
        time.sleep(1)
"""


def start_stuck(patience, *step):
    process = subprocess.Popen(
        [sys.executable, "-c", STUCK, str(patience), *step], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    assert process.stdout.readline() == "ready\n"
    return process


@pytest.mark.parametrize(
    ("step", "follows"),
    [((), "starts anew"), (("0",), "goes on from the checkpoint of step 0"), (("1234",), "goes on from the .* 1,234")],
)
def test_a_second_signal_ends_it_at_once(step, follows):
    process = start_stuck(0, *step)
    process.send_signal(signal.SIGINT)
    time.sleep(0.2)
    assert process.poll() is None
    process.send_signal(signal.SIGTERM)
    _, said = process.communicate(timeout=30)
    assert process.returncode == 143
    wanted = f"famus_tf: interrupted by SIGTERM, at once, by a second signal; the same command {follows}\n"
    assert re.fullmatch(wanted, said)


def test_a_signal_that_waits_for_a_step_is_answered():
    process = start_stuck(0)
    process.send_signal(signal.SIGHUP)
    assert process.stderr.readline() == (
        "SIGHUP: the step under way is finished and a checkpoint written; a second signal ends the run at once\n"
    )
    process.send_signal(signal.SIGHUP)
    process.communicate(timeout=30)
    assert process.returncode == 129


def test_patience_has_an_end():
    process = start_stuck(0.3)
    process.send_signal(signal.SIGTERM)
    _, said = process.communicate(timeout=30)
    assert process.returncode == 143
    assert "the step under way did not end within 0 s" in said


def test_an_ignored_signal_stays_ignored():
    """As shells have it for commands in the background."""
    before = signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        with interruption.handled():
            os.kill(os.getpid(), signal.SIGINT)
            time.sleep(0.05)
            assert interruption.received() == 0
    finally:
        signal.signal(signal.SIGINT, before)
