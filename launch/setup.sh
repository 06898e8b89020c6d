#!/usr/bin/env bash
# Makes .venv in the repository root with what requirements.txt pins and this package; quick where that is done.
#
#   ./launch/setup.sh                      # with the first suitable python3 on the PATH
#   PYTHON=python3.12 ./launch/setup.sh    # with this one; matters only where .venv is made
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

fail() {
  echo "setup: error: $*" >&2
  exit 1
}

# Also false for a python that is there in name only, as a version manager's shims are.
suitable() {
  "$1" -c 'import sys; sys.exit(not (3, 11) <= sys.version_info[:2] < (3, 14))' >/dev/null 2>&1
}

choose_python() {
  if [[ -n "${PYTHON:-}" ]]; then
    suitable "$PYTHON" || fail "PYTHON=$PYTHON: expected a Python from 3.11 to 3.13 that runs"
    echo "$PYTHON"
    return
  fi
  local candidate
  for candidate in python3.13 python3.12 python3.11 python3; do
    if suitable "$candidate"; then
      echo "$candidate"
      return
    fi
  done
  fail "no Python from 3.11 to 3.13 found; install one or name it: PYTHON=/path/to/python3.12"
}

# The root is part of it: a checkout that was moved has its package installed from the old place.
wanted="$(cat requirements.txt pyproject.toml | cksum) $PWD"
stamp=.venv/installed
if [[ -x .venv/bin/python && -f "$stamp" && "$(cat "$stamp")" == "$wanted" ]]; then
  exit 0
fi

# The stamp is written last, so a set-up that was interrupted is done again; what pip has installed is kept.
rm -f "$stamp"
if ! { suitable .venv/bin/python && .venv/bin/python -m pip --version >/dev/null 2>&1; }; then
  python="$(choose_python)"
  echo "setup: making .venv with $("$python" --version)"
  "$python" -m venv --clear .venv || fail "could not make .venv (on Debian and Ubuntu: apt install python3-venv)"
fi
echo "setup: installing requirements.txt into .venv (TensorFlow is large: about 600 MB, some minutes)"
.venv/bin/python -m pip install --quiet --disable-pip-version-check --requirement requirements.txt \
  || fail "pip could not install requirements.txt; run the same command again to go on"
echo "setup: installing famus_tf"
.venv/bin/python -m pip install --quiet --disable-pip-version-check --no-deps --editable . \
  || fail "pip could not install famus_tf; run the same command again to go on"
echo "$wanted" >"$stamp"
echo "setup: done"
