#!/usr/bin/env bash
# Sets up, then trains plain cross-entropy and FaMUS on digits with 60% of the labels redrawn, and compares them.
#
#   ./launch/quickstart.sh
#   ./launch/quickstart.sh --seed=1 --epochs=20    # flags go to both runs
#
# Interrupted, the same command goes on where it stopped. Other flags want another place: rm -r runs/quickstart.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
./launch/setup.sh
python=.venv/bin/python
runs=runs/quickstart

echo "quickstart: 1 of 2, cross-entropy"
"$python" -m famus_tf.main --flagfile=flags/digits.cfg --method=cross_entropy --workdir="$runs/cross_entropy" "$@"
echo "quickstart: 2 of 2, FaMUS"
"$python" -m famus_tf.main --flagfile=flags/digits.cfg --workdir="$runs/famus" "$@"

echo
"$python" -m famus_tf.compare "$runs/cross_entropy" "$runs/famus"
cat <<NEXT

Where to look next (first: source .venv/bin/activate)
  curves         tensorboard --logdir=$runs
  the model      $runs/famus/export, a SavedModel
  evaluate it    python -m famus_tf.main --flagfile=$runs/famus/flags.cfg --mode=evaluate
  your own runs  README.md, and python -m famus_tf.main --help
NEXT
