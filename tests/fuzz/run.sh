#!/usr/bin/env bash
# Fuzzes the parsers of a build made with the preset `asan`, two at a time for each core:
#     tests/fuzz/run.sh [build/asan] [seconds=60] [target… | trust]
# `trust` are those that read what a stranger sends before anything vouches for it. What is found lies in
# <build>/findings; the corpus that is checked in is only read, what is new is kept in <build>/fuzz-work.
# KERNELS_FUZZ_RUNS=N counts executions instead of seconds.
set -euo pipefail
cd "$(dirname "$0")/../.."
build=${1:-build/asan}
seconds=${2:-60}
shift $(($# < 2 ? $# : 2))
runs=${KERNELS_FUZZ_RUNS:-}
limit=-max_total_time=$seconds
[ -z "$runs" ] || limit=-runs=$runs
trust=(sigstore_bundle verification trusted_root certificate timestamp checkpoint receipts lock sum project metadata
  hub_answers headers url bundle_index bundle_archive bundle_frame)
mkdir -p "$build/findings"

run_one() {
  local name=$1 work=$build/fuzz-work/$1 begin=$SECONDS
  mkdir -p "$work"
  # Inputs that a parser must refuse quickly are as interesting as those that it accepts: no input may take 10 s.
  if ! "$build/fuzzers/fuzzer" --target="$name" "$limit" -timeout=10 -rss_limit_mb=2048 -max_len=16384 \
      -print_final_stats=1 -artifact_prefix="$build/findings/$name-" "$work" "tests/fuzz/corpus/$name" \
      > "$work.log" 2>&1; then
    echo "$name: FAILED"
    tail -n 40 "$work.log"
    return 1
  fi
  echo "$name: $(sed -n 's/^stat::number_of_executed_units: *//p' "$work.log") executions in $((SECONDS - begin)) s"
}
export -f run_one
export build limit
if [ $# -eq 0 ]; then
  for folder in tests/fuzz/corpus/*/; do basename "$folder"; done
elif [ "$*" = trust ]; then
  printf '%s\n' "${trust[@]}"
else
  printf '%s\n' "$@"
fi | xargs -P "$((2 * $(nproc)))" -I{} bash -c 'run_one {}'
