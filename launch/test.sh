#!/usr/bin/env bash
# Sets up, then lints, checks types and tests. Arguments go to pytest: ./launch/test.sh tests/config/test_config.py -q
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
./launch/setup.sh
.venv/bin/python -m ruff check .
.venv/bin/python -m ruff format --check .
.venv/bin/python -m mypy
# A test file at a time in each of up to four processes; TensorFlow in more of them fills the memory.
.venv/bin/python -m pytest --numprocesses=auto --maxprocesses=4 --dist=loadfile "$@"
