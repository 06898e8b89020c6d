#!/usr/bin/env bash
# Trains cross-entropy, MW-Net with all layers and MW-Net with FaMUS from one flag file over several seeds, and prints
# the table of the README; the numbers go to benchmarks/results/<name of the flag file>.json.
#
#   ./launch/accuracy.sh flags/digits.cfg "0 1 2"
#   ./launch/accuracy.sh flags/fashion_mnist.cfg "0" --train_limit=20000    # flags go to every run
#
# Interrupted, the same command goes on where it stopped.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
if (($# < 2)) || [[ ! -f "$1" ]]; then
  echo "accuracy.sh: error: expected a flag file and seeds, as in: ./launch/accuracy.sh flags/digits.cfg \"0 1 2\"" >&2
  exit 2
fi
flagfile=$1 seeds=$2
shift 2
python=${PYTHON:-.venv/bin/python}
name=$(basename "$flagfile" .cfg)
runs=()
for seed in $seeds; do
  for method in cross_entropy all_layers famus; do
    case $method in
      cross_entropy) choice=(--method=cross_entropy) ;;
      all_layers) choice=(--method=mw_net --selector=all) ;;
      famus) choice=(--method=mw_net --selector=sampler) ;;
    esac
    workdir=runs/accuracy/$name/${method}_seed$seed
    "$python" -m famus_tf.main --flagfile="$flagfile" "${choice[@]}" --seed="$seed" --workdir="$workdir" "$@"
    runs+=("$workdir")
  done
done
mkdir -p benchmarks/results
"$python" launch/table.py "${runs[@]}" --markdown --json="benchmarks/results/$name.json"
