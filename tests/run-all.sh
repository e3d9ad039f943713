#!/usr/bin/env bash
# Everything that `make test` proves: the suite on the release build, the same suite under ASan and UBSan, a minute of
# fuzzing for each parser of hostile bytes, and the house rules. Ends with one line that counts.
set -uo pipefail
cd "$(dirname "$0")/.."
jobs=$(nproc)
passed=0
failed=0

step() { # name, command…
  local name=$1 begin=$SECONDS
  shift
  echo "==> $name"
  if "$@"; then
    passed=$((passed + 1))
    echo "==> $name: passed ($((SECONDS - begin)) s)"
  else
    failed=$((failed + 1))
    echo "==> $name: FAILED ($((SECONDS - begin)) s)"
  fi
}

sanitized() {
  cmake --preset asan -Wno-dev > build/asan.log 2>&1 || { cat build/asan.log; return 1; }
  cmake --build --preset asan -j "$jobs" || return 1
  ASAN_OPTIONS=detect_leaks=1:halt_on_error=1 UBSAN_OPTIONS=print_stacktrace=1:halt_on_error=1 \
    ctest --test-dir build/asan --output-on-failure -j "$jobs" --no-tests=error
}

step "tests, release build" ctest --test-dir build/release --output-on-failure -j "$jobs" --no-tests=error
step "tests, ASan and UBSan" sanitized
# A minute for each parser of what strangers send: what was found before is in the corpus, which the suite replays.
step "fuzzing, ${KERNELS_FUZZ_SECONDS:=60} s each" tests/fuzz/run.sh build/asan "$KERNELS_FUZZ_SECONDS" trust
step "format" tests/budget/format.sh
step "clang-tidy" tests/budget/tidy.sh

echo "$passed passed, $failed failed"
[ "$failed" -eq 0 ]
