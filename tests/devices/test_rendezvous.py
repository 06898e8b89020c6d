"""Workers find each other, or say who is missing."""

import concurrent.futures
import multiprocessing
import socket
import time

import pytest

from benchmarks import free_ports
from famus_tf import errors
from famus_tf.devices import rendezvous


@pytest.fixture
def addresses():
    return free_ports.find(3)


def together(calls):
    """What each call of `meet` ends with, an InputError or None."""
    with concurrent.futures.ThreadPoolExecutor(len(calls)) as pool:
        return [future.exception() for future in [pool.submit(rendezvous.meet, *call) for call in calls]]


@pytest.fixture(autouse=True)
def quiet(caplog):
    """asyncio logs what its callbacks raise, and nothing else would tell."""
    yield
    assert not caplog.records


def test_all_come(addresses, capsys):
    assert together([(addresses, position, 20) for position in (2, 0, 1)]) == [None] * 3
    assert f"waits for 3 workers: {', '.join(addresses)}" in capsys.readouterr().out
    # The chief's port is free again for TensorFlow's server.
    with socket.create_server(("127.0.0.1", int(addresses[0].rpartition(":")[2]))):
        pass


def test_one_alone_waits_for_nobody():
    rendezvous.meet(["nowhere:1"], 0, patience=0)


def test_all_hear_who_is_missing(addresses):
    chief, other = together([(addresses, 0, 2), (addresses, 1, 20)])
    assert isinstance(chief, errors.InputError) and isinstance(other, errors.InputError)
    assert f"{addresses[2]} did not come within 2 s" in str(chief) and addresses[1] not in str(chief)
    assert str(other) == str(chief)


def test_the_chief_is_missing(addresses):
    with pytest.raises(errors.InputError, match=f"{addresses[0]} did not say within 1 s"):
        rendezvous.meet(addresses, 2, patience=1)


def test_a_killed_worker_is_missing_and_may_come_again(addresses):
    """What was connected and has gone does not count."""
    first = multiprocessing.get_context("spawn").Process(target=rendezvous.meet, args=(addresses, 1, 60))
    first.start()
    with concurrent.futures.ThreadPoolExecutor(3) as pool:
        chief = pool.submit(rendezvous.meet, addresses, 0, 60)
        time.sleep(3)
        assert first.is_alive()
        first.kill()
        first.join()
        third = pool.submit(rendezvous.meet, addresses, 2, 60)
        time.sleep(1)
        assert not chief.done() and not third.done()
        again = pool.submit(rendezvous.meet, addresses, 1, 60)
        assert [one.exception() for one in (chief, third, again)] == [None] * 3


def test_strangers_are_not_counted(addresses):
    with concurrent.futures.ThreadPoolExecutor(3) as pool:
        chief = pool.submit(rendezvous.meet, addresses, 0, 20)
        for said in (b"GET / HTTP/1.1\r\n", b"\xff\xfe\n", b"famus_tf x\n", b""):
            host, _, port = addresses[0].rpartition(":")
            for _ in range(50):
                try:
                    with socket.create_connection((host, int(port))) as stranger:
                        stranger.sendall(said)
                    break
                except OSError:
                    time.sleep(0.1)
        assert not chief.done()
        others = [pool.submit(rendezvous.meet, addresses, position, 20) for position in (1, 2)]
        assert [one.exception() for one in (chief, *others)] == [None] * 3


def test_other_workers_are_refused(addresses):
    chief, other = together([(addresses, 0, 20), ([addresses[0], "elsewhere:1"], 1, 20)])
    assert "worker 1 was told of the workers" in str(chief) and "elsewhere:1" in str(chief)
    assert str(other) == str(chief)


def test_two_of_one_index_are_refused(addresses):
    found = together([(addresses, 0, 20), (addresses, 1, 20), (addresses, 1, 20)])
    assert all(f"two workers have the index of {addresses[1]}" in str(error) for error in found)


def test_a_taken_port_is_named(addresses):
    with (
        socket.create_server(("", int(addresses[0].rpartition(":")[2]))),
        pytest.raises(errors.InputError, match=f"cannot listen at {addresses[0]}"),
    ):
        rendezvous.meet(addresses, 0, patience=5)


def test_the_chief_does_not_wait_until_the_others_have_hung_up():
    addresses = free_ports.find(2)
    host, _, port = addresses[0].rpartition(":")
    with concurrent.futures.ThreadPoolExecutor(1) as pool:
        chief = pool.submit(rendezvous.meet, addresses, 0, 20)
        for _ in range(50):
            try:
                worker = socket.create_connection((host, int(port)))
                break
            except OSError:
                time.sleep(0.1)
        with worker:
            worker.sendall(f"famus_tf 1 {' '.join(addresses)}\n".encode())
            assert worker.recv(9) == b"go\n"
            assert chief.exception() is None
