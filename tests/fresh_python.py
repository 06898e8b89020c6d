"""Another Python process that sees one folder of modules and nothing of the caller's environment."""

import subprocess
import sys


def run(modules, workdir, *arguments):
    """Runs Python to a good end and returns what it printed.

    Args:
      modules: the folder that it imports from.
      workdir: where it runs, its home too.
      *arguments: of Python.
    """
    done = subprocess.run(
        [sys.executable, *arguments],
        cwd=workdir,
        env={"PYTHONPATH": str(modules), "PATH": "", "TF_CPP_MIN_LOG_LEVEL": "3", "HOME": str(workdir)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr[-2000:]
    return done.stdout
