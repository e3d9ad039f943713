#!/usr/bin/env bash
# clang-tidy over all our sources, each alone, with the flags of the preset `tidy`, which is configured and not built. A file
# whose text, headers and rules were clean before is not checked again: the stamp is kept in the build folder.
set -euo pipefail
cd "$(dirname "$0")/../.."
build=build/tidy
mkdir -p build
cmake --preset tidy -Wno-dev > build/tidy.log 2>&1 || { cat build/tidy.log; exit 1; }
stamps=$build/tidy-stamps
mkdir -p "$stamps"
mapfile -t files < <(git ls-files --cached --others --exclude-standard | grep -E '^(lib|app)/.*\.cpp$')
# Only what this build compiles: not every machine has a CUDA compiler or libtorch.
mapfile -t files < <(for file in "${files[@]}"; do grep -qF "/$file\"" "$build/compile_commands.json" && echo "$file"; done)
tidy=build/clang-tidy/bin/clang-tidy
[ -x "$tidy" ] || tidy=clang-tidy-19
rules=$( (cat .clang-tidy && "$tidy" --version) | sha256sum | cut -c1-16)

check_one() {
  local file=$1 key
  key=$(cat "$file" $(git ls-files 'lib/**/*.h' 'app/*.h') | sha256sum | cut -c1-32)-$rules
  local stamp=$stamps/$(echo "$file" | tr / _)-$key
  [ -e "$stamp" ] && return 0
  if "$tidy" --quiet -p "$build" "$file" 2> "$stamp.log" > "$stamp.out"; then
    rm -f "$stamp.log" "$stamp.out"
    touch "$stamp"
  else
    cat "$stamp.out"
    grep -v -E 'warnings generated|^$' "$stamp.log" || true
    rm -f "$stamp.log" "$stamp.out"
    return 1
  fi
}
export -f check_one
export build stamps rules tidy
printf '%s\n' "${files[@]}" | xargs -P "$(nproc)" -I{} bash -c 'check_one {}'
