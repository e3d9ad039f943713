#!/usr/bin/env bash
# Runs every fuzzer of a build made with the preset `fuzz` for some seconds each, two at a time:
#     tests/fuzz/run.sh [build/fuzz] [seconds=60] [target…]
# What is found lies in <build>/findings; the corpus that is checked in is only read.
set -euo pipefail
cd "$(dirname "$0")/../.."
build=${1:-build/fuzz}
seconds=${2:-60}
shift $(($# < 2 ? $# : 2))
mkdir -p "$build/findings"

run_one() {
  local name=$1 work=$build/fuzz-work/$1
  mkdir -p "$work"
  # Inputs that a parser must refuse quickly are as interesting as those that it accepts: no input may take 5 s.
  if ! "$build/fuzzers/fuzz_$name" -max_total_time="$seconds" -timeout=5 -rss_limit_mb=2048 -max_len=65536 \
      -print_final_stats=1 -artifact_prefix="$build/findings/$name-" "$work" "tests/fuzz/corpus/$name" \
      > "$work.log" 2>&1; then
    echo "$name: FAILED"
    tail -n 40 "$work.log"
    return 1
  fi
  echo "$name: $(sed -n 's/^stat::number_of_executed_units: *//p' "$work.log") executions in $seconds s"
}
export -f run_one
export build seconds
if [ $# -eq 0 ]; then
  for folder in tests/fuzz/corpus/*/; do basename "$folder"; done | xargs -P 2 -I{} bash -c 'run_one {}'
else
  printf '%s\n' "$@" | xargs -P 2 -I{} bash -c 'run_one {}'
fi
