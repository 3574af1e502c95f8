#!/bin/bash
# Train one stage on several nodes of a Slurm cluster; arguments as for tfstyle.train:
#
#     sbatch --nodes=2 --gpus-per-node=8 tools/slurm.sh --gin_file=gin/metric.gin \
#       --records_dir=/shared/records --run_dir=/shared/runs/default
#
# Two minutes before the time limit, training ends with a checkpoint; submit the same
# command again to resume.
#SBATCH --ntasks-per-node=1
#SBATCH --signal=TERM@120

NODES=$(scontrol show hostnames "$SLURM_JOB_NODELIST" | sed "s/.*/\"&:${PORT:-12345}\"/")
WORKERS=$(paste -sd, <<<"$NODES")
export WORKERS
# The nodes of a step are numbered in this order.
srun bash -c 'export TF_CONFIG="{\"cluster\": {\"worker\": [$WORKERS]},
  \"task\": {\"type\": \"worker\", \"index\": $SLURM_NODEID}}"
exec python -m tfstyle.train --gin_param="train.strategy=\"multi_worker\"" "$@"' bash "$@"
