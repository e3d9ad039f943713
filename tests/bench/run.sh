#!/usr/bin/env bash
# `make bench-cli`: our program beside its peer, on this machine, without the Internet once the peer is installed.
# Figures, not tests: the status is 0 whatever they are. KERNELS_BENCH_QUICK=1 makes fewer rounds,
# KERNELS_BENCH_ROWS=start,warm,k20,large,loopback,lock,check,signed,bundle only some.
#
# Everything runs in network, mount and process namespaces of its own: the emulated line exists nowhere else, and
# whatever was started ends with this script, however that ends.
set -euo pipefail
build=$(realpath "${1:?usage: run.sh BUILD_FOLDER}")
here=$(realpath "$(dirname "$0")")
work=$build/bench
mkdir -p "$work"
trap 'rm -rf "$work/data"' EXIT

# The package index is out of reach from inside, so the peer is installed first. Without it its rows say so.
python3 "$here/bench_cli.py" install --build "$build"

own=(unshare --net --mount --pid --fork --kill-child --mount-proc)
[ "$(id -u)" -eq 0 ] || own=(unshare --user --map-root-user "${own[@]:1}")
"${own[@]}" true 2> "$work/unshare.log" || {
  echo "no namespaces on this machine, so no emulated line: $(tail -n 1 "$work/unshare.log")" >&2
  own=(env)
}
"${own[@]}" python3 "$here/bench_cli.py" measure --build "$build"
