#!/bin/bash
# A build on a Slurm cluster: a Dask scheduler and the flow on the first task, workers on the others. No root needed.
#   sbatch deploy/slurm/build.sh /data/videos /data/corpus build.toml
#SBATCH --job-name=facescribe-build
#SBATCH --ntasks=50
#SBATCH --cpus-per-task=2
#SBATCH --mem-per-cpu=1500M
#SBATCH --time=12:00:00
set -euo pipefail
source_folder=$1 root=$2 config=$3

cd "${FACESCRIBE_HOME:?set it to the checkout, which every node sees}"
export PATH="$PWD/.venv/bin:$PATH" PYTHONPATH="$PWD" OMP_NUM_THREADS=1
export PREFECT_HOME="${PREFECT_HOME:-$SLURM_SUBMIT_DIR/prefect}"

# Dask knows no login, and whoever reaches the scheduler may run code as you: certificates keep other users out.
# deploy/slurm/certificates.sh writes them once; the scheduler, the workers and the flow read them from here.
export DASK_CONFIG="${DASK_CONFIG:?set it to the folder that certificates.sh wrote}"

address_file=$SLURM_SUBMIT_DIR/dask-$SLURM_JOB_ID.json
dask scheduler --protocol tls --port 0 --no-dashboard --scheduler-file "$address_file" &
trap 'kill %1; rm -f "$address_file"' EXIT
until [ -s "$address_file" ]; do sleep 1; done

# Workers that end with their node are replaced by nobody here: their shards go to the others.
srun --ntasks="$((SLURM_NTASKS - 1))" --kill-on-bad-exit=0 \
    dask worker --scheduler-file "$address_file" --nthreads 1 --no-nanny --no-dashboard --memory-limit 0 &

address=$(python -c 'import json, sys; print(json.load(open(sys.argv[1]))["address"])' "$address_file")
facescribe build "$source_folder" --root "$root" --config "$config" \
    --runner dask --cluster "$address" --workers "$((SLURM_NTASKS - 1))"
