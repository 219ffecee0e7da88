#!/bin/bash
# One training on one GPU; submitted again after its time is over, it goes on where it stopped.
#   sbatch deploy/slurm/train.sh --root /data/corpus --out runs/first
#SBATCH --job-name=facescribe-train
#SBATCH --gres=gpu:1
#SBATCH --cpus-per-task=16
#SBATCH --mem=64G
#SBATCH --time=12:00:00
#SBATCH --requeue
set -euo pipefail
cd "${FACESCRIBE_HOME:?set it to the checkout}"
exec .venv/bin/facescribe train "$@"
