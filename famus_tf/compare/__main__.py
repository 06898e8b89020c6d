"""Compares run directories: `python -m famus_tf.compare runs/a runs/b`; see `famus_tf.reports.compare`."""

import sys

from famus_tf.files import closed_pipe
from famus_tf.reports import compare

sys.exit(closed_pipe.status_of(compare.main))
