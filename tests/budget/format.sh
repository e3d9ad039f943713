#!/usr/bin/env bash
# Compares every C++ source with clang-format's opinion; --fix rewrites.
set -euo pipefail
cd "$(dirname "$0")/../.."
mapfile -t files < <(git ls-files --cached --others --exclude-standard | grep -E '\.(h|cpp|cu|cuh)$')
if [ "${1:-}" = --fix ]; then
  clang-format-19 -i "${files[@]}"
else
  clang-format-19 --dry-run --Werror "${files[@]}"
fi
