#!/usr/bin/env bash
# `kernels bench` as a job array under a real Slurm: a controller, a node and an authentication daemon of its own on
# this machine, in a folder that goes with it. Needs Debian's packages slurm-wlm and munge, and root.
#
#   tests/slurm/run.sh [build/release]
set -euo pipefail
build=$(cd "${1:-build/release}" && pwd)
work=$(mktemp -d /tmp/kernels-slurm-XXXXXX)
host=$(hostname -s)
export SLURM_CONF=$work/slurm.conf
pids=()
finish() {
  for pid in "${pids[@]}"; do kill "$pid" 2> /dev/null || true; done
  wait 2> /dev/null || true
  rm -rf "$work"
}
trap finish EXIT

wait_for() { # SECONDS COMMAND…
  local end=$((SECONDS + $1))
  shift
  until "$@" > /dev/null 2>&1; do
    [ $SECONDS -lt $end ] || { echo "timed out: $*"; tail -n 20 "$work"/*.log; exit 1; }
    sleep 0.2
  done
}

mkdir -p "$work"/{state,spool,results}
chmod 755 "$work"
head -c 1024 /dev/urandom > "$work/munge.key" && chmod 400 "$work/munge.key"
munged --foreground --force --key-file="$work/munge.key" --socket="$work/munge.sock" --pid-file="$work/munge.pid" \
  --seed-file="$work/munge.seed" --log-file="$work/munge.log" > "$work/munged.log" 2>&1 &
pids+=($!)
cat > "$SLURM_CONF" << END
ClusterName=kernels
SlurmctldHost=$host
SlurmUser=root
AuthInfo=socket=$work/munge.sock
SlurmctldPort=16817
SlurmdPort=16818
StateSaveLocation=$work/state
SlurmdSpoolDir=$work/spool
SlurmctldPidFile=$work/slurmctld.pid
SlurmdPidFile=$work/slurmd.pid
SlurmctldLogFile=$work/slurmctld.log
SlurmdLogFile=$work/slurmd.log
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
SelectType=select/cons_tres
SelectTypeParameters=CR_CPU
ReturnToService=2
MpiDefault=none
NodeName=$host NodeAddr=127.0.0.1 CPUs=$(nproc) State=UNKNOWN
PartitionName=all Nodes=ALL Default=YES MaxTime=INFINITE State=UP
END
wait_for 10 test -S "$work/munge.sock"
slurmctld -D > /dev/null 2>&1 &
pids+=($!)
slurmd -D > /dev/null 2>&1 &
pids+=($!)
wait_for 60 bash -c "sinfo -h -o %t | grep -qE 'idle|mix|alloc'"

# As a user writes it: one task for each device, results in one folder, named by the scheduler's variables.
cat > "$work/bench.sbatch" << END
#!/bin/bash
#SBATCH --job-name=bench
#SBATCH --array=0-3
#SBATCH --cpus-per-task=1
#SBATCH --output=$work/%A_%a.txt
srun $build/kernels bench $build/hub/activation --device cpu --workload decode-1 --budget 0.5 --seed 1 --save $work/results/
END
job=$(sbatch --parsable "$work/bench.sbatch")
echo "array $job: $(squeue -h -r | wc -l) tasks"
wait_for 180 bash -c "[ \$(squeue -h | wc -l) -eq 0 ]"

failed=0
check() { # WHAT CONDITION…
  local what=$1
  shift
  if "$@"; then echo "ok    $what"; else echo "WRONG $what"; failed=1; fi
}
ls "$work/results"
check "each task has a file of its own" test "$(find "$work/results" -name '*.json' | wc -l)" -eq 4
for task in 0 1 2 3; do
  check "task $task is named by array, task and node" grep -q "\"job\": \"slurm ${job}_$task on $host\"" \
    "$work/results/bench-slurm-${job}_$task-on-$host-$host-cpu.json"
  check "task $task printed its table" grep -q 'rows right, seed 1' "$work/${job}_$task.txt"
done
status=0
"$build/kernels" bench --merge "$work/results" --threshold 50 > "$work/merged.txt" || status=$?
cat "$work/merged.txt"
check "the four are merged" test $status -eq 0

# A task that is cancelled in the middle: what it had is kept, and no worker is left.
cat > "$work/long.sbatch" << END
#!/bin/bash
#SBATCH --output=$work/long.txt
exec $build/kernels bench $build/hub/activation --device cpu --budget 60 --precision 0.01 --save $work/long.json
END
long=$(sbatch --parsable "$work/long.sbatch")
wait_for 30 pgrep -f "^$build/kernels-worker"
scancel "$long"
wait_for 60 bash -c "[ \$(squeue -h | wc -l) -eq 0 ]"
wait_for 10 bash -c "! pgrep -f '^$build/kernels-worker'"
check "a cancelled task left its results" test -s "$work/long.json"
[ $failed -eq 0 ] && echo "all passed"
exit $failed
