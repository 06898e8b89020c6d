"""Commands whose reader has gone, as with `| head`."""

import pathlib
import subprocess
import sys

import pytest

ROOT = pathlib.Path(__file__).resolve().parents[2]


@pytest.mark.parametrize(
    "command",
    [
        "python -m famus_tf.main --help",
        "python -m famus_tf.main --helpfull",
        "python -m famus_tf.compare --help",
        "python -c 'import sys; from famus_tf.files import closed_pipe; sys.exit(closed_pipe.status_of(lambda: "
        "[print(1) for _ in range(100_000)] and 0))'",
    ],
)
def test_nothing_is_said(command):
    command = command.replace("python", sys.executable, 1)
    done = subprocess.run(
        ["bash", "-c", f"{command} | head -n 1"], cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert done.stdout.count("\n") == 1 and done.stderr == ""


def test_the_status_is_the_commands_own():
    code = "import sys; from famus_tf.files import closed_pipe; sys.exit(closed_pipe.status_of(lambda: 2))"
    assert subprocess.run([sys.executable, "-c", code], cwd=ROOT, check=False).returncode == 2
