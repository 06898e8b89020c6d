#!/usr/bin/env bash
# Sets up, then trains three ways on digits with 60% of the labels redrawn, and compares them: plain cross-entropy, FaMUS,
# and the learner that remembers.
#
#   ./launch/quickstart.sh
#   ./launch/quickstart.sh --seed=1 --epochs=20    # flags go to all three runs
#
# Interrupted, the same command goes on where it stopped. Other flags want another place: rm -r runs/quickstart.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
./launch/setup.sh
python=.venv/bin/python
runs=runs/quickstart

echo "quickstart: 1 of 3, cross-entropy"
"$python" -m famus_tf.main --flagfile=flags/digits.cfg --method=cross_entropy --workdir="$runs/cross_entropy" "$@"
echo "quickstart: 2 of 3, FaMUS"
"$python" -m famus_tf.main --flagfile=flags/digits.cfg --method=mw_net --workdir="$runs/famus" "$@"
echo "quickstart: 3 of 3, the learner that remembers"
"$python" -m famus_tf.main --flagfile=flags/digits.cfg --workdir="$runs/remembering" "$@"

echo
"$python" -m famus_tf.compare "$runs/cross_entropy" "$runs/famus" "$runs/remembering"
cat <<NEXT

Where to look next (first: source .venv/bin/activate)
  curves         tensorboard --logdir=$runs
  the model      $runs/remembering/export, a SavedModel
  evaluate it    python -m famus_tf.main --flagfile=$runs/remembering/flags.cfg --mode=evaluate
  your own runs  README.md, and python -m famus_tf.main --help
NEXT
