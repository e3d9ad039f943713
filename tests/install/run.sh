#!/usr/bin/env bash
# run.sh <build folder> <cmake> <compiler> <flags> <version>
set -euo pipefail
build=$1 cmake=$2 compiler=$3 flags=$4 version=$5
here=$(cd "$(dirname "$0")" && pwd)
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

"$cmake" --install "$build" --prefix "$work/prefix" > "$work/install.log" || { cat "$work/install.log"; exit 1; }

said=$("$work/prefix/bin/kernels" --version)
[ "$said" = "kernels $version" ] || { echo "the installed program says: $said"; exit 1; }
for file in share/man/man1/kernels.1 share/bash-completion/completions/kernels share/zsh/site-functions/_kernels \
    share/fish/vendor_completions.d/kernels.fish libexec/kernels/kernels-worker; do
  [ -s "$work/prefix/$file" ] || { echo "not installed: $file"; exit 1; }
done
# Every public header came along; those for libtorch only where it was there.
while IFS= read -r header; do
  [ -s "$work/prefix/include/${header#*/include/}" ] || { echo "not installed: $header"; exit 1; }
done < <(find "$here/../../lib" -path '*/include/*.h' | sed "s|^.*/lib/||" |
  { [ -n "$(find "$work/prefix" -name 'libkernels_torch.a')" ] && cat || grep -v '^torch/'; })

"$cmake" -S "$here/consumer" -B "$work/consumer" -G Ninja -DCMAKE_PREFIX_PATH="$work/prefix" \
  -DCMAKE_CXX_COMPILER="$compiler" -DCMAKE_CXX_FLAGS="$flags" > "$work/configure.log" 2>&1 || { cat "$work/configure.log"; exit 1; }
"$cmake" --build "$work/consumer" > "$work/build.log" 2>&1 || { cat "$work/build.log"; exit 1; }
said=$("$work/consumer/consumer")
[ "$said" = "torch210-cxx11-cu128-x86_64-linux" ] || { echo "the consumer says: $said"; exit 1; }
