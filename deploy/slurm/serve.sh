#!/bin/bash
# Servers of a language model, one a GPU, as an array: sbatch deploy/slurm/serve.sh /models/describer
# Each writes its address; `paste -sd, servers-JOB/*` is the `server` of the build.
#SBATCH --job-name=facescribe-serve
#SBATCH --array=0-7
#SBATCH --gres=gpu:1
#SBATCH --cpus-per-task=4
#SBATCH --mem=32G
#SBATCH --time=12:00:00
set -euo pipefail
model=$1
: "${VLLM_API_KEY:?set it: the servers listen on the cluster network}"
export HF_HUB_OFFLINE=1 VLLM_NO_USAGE_STATS=1

port=$((20000 + (SLURM_JOB_ID + SLURM_ARRAY_TASK_ID) % 10000))
folder=$SLURM_SUBMIT_DIR/servers-$SLURM_ARRAY_JOB_ID
mkdir -p "$folder"
address_file=$folder/$SLURM_ARRAY_TASK_ID
echo "http://$(hostname -f):$port/v1" > "$address_file"
trap 'rm -f "$address_file"' EXIT
"${FACESCRIBE_HOME:?set it to the checkout}/.venv/bin/vllm" serve "$model" --host 0.0.0.0 --port "$port" --served-model-name describer
