#!/usr/bin/env bash
# Kernels for one layer beside one another, a selection, and two locks compared, on a CUDA device of a machine that has
# neither this build nor a network.
#
#   tests/gpu/layers.sh carry BUILD FOLDER        here: puts what is needed into FOLDER
#   tests/gpu/layers.sh run FOLDER [DEVICE=cuda]  there: runs it; ends with 0 if all is as it should be
set -eu

# A repository of one of our kernels, changed: without the digest of its publisher, who did not make these bytes.
variant_of() {
  local hub=$1 out=$2 change=$3 variant
  mkdir -p "$out" && cp -r "$hub/rmsnorm/build" "$out/"
  for variant in "$out"/build/*; do
    python3 - "$variant" "$change" << 'PYTHON'
import json, sys
from pathlib import Path
folder, change = Path(sys.argv[1]), sys.argv[2]
metadata = json.loads((folder / "metadata.json").read_text())
metadata.pop("digest", None)
(folder / "metadata.json").write_text(json.dumps(metadata))
if change == "slow":  # the same layer by a function that moves twice the bytes
    (folder / "layers.toml").write_text('''schema = 1
[[layers]]
name = "RMSNorm"
function = "fused_add_rms_norm"
forward = [{name = "x"}]
members = [{name = "residual"}, {name = "weight"}, {name = "eps", type = "float", members = ["eps"]}]
arguments = ["x", "residual", "weight", "eps"]
returns = ["x"]
has_backward = false
[layers.tolerance]
bfloat16 = {relative = 1.6e-2, absolute = 1e-6}
''')
if change == "same":  # other bytes, the same code
    text = (folder / "workloads.toml").read_text()
    (folder / "workloads.toml").write_text(text + "# changed\n")
PYTHON
  done
}

write_project() {
  printf '%s\n' '[dependencies]' '"demo/fast" = 1' '"demo/slow" = 1' "\"demo/norm\" = $1" \
    '[layers.Norm]' 'cpu = { repo = "demo/slow", layer = "RMSNorm" }' 'cuda = { repo = "demo/slow", layer = "RMSNorm" }' \
    '[[bench.Norm]]' 'name = "prefill"' 'sizes = { tokens = 4096, hidden = 4096 }' 'dtypes = ["bfloat16"]' \
    > project/kernels.toml
}

carry() {
  local build folder name server
  build=$(cd "$1" && pwd)
  mkdir -p "$2"
  folder=$(cd "$2" && pwd)
  cd "$folder"
  rm -rf project cache publisher made lib
  mkdir -p project lib/kernels
  for name in kernels kernels-worker; do cp "$build/$name" . && strip "$name"; done
  cp "$build"/lib/kernels/lib*.so lib/kernels/
  cp "$(ldd "$build/kernels-worker" | awk '/libcrypto/ {print $3}')" lib/
  for name in fast slow same; do variant_of "$build/hub" "made/$name" "$name"; done
  for name in fast slow; do ./kernels -q --cache publisher import "made/$name" --repo-id "demo/$name" --version 1 > /dev/null; done
  ./kernels -q --cache publisher import made/fast --repo-id demo/norm --version 1 > /dev/null
  ./kernels -q --cache publisher import made/same --repo-id demo/norm --version 2 > /dev/null
  "$build/kernels" -q --cache publisher serve --port 0 --port-file port --trusted-publisher demo > serve.log 2>&1 &
  server=$!
  # Expanded now: the function is over when the script ends.
  # shellcheck disable=SC2064
  trap "kill $server" EXIT
  while [ ! -s port ]; do sleep 0.05; done
  export HF_ENDPOINT HF_HUB_CACHE=$folder/cache
  HF_ENDPOINT=http://127.0.0.1:$(cat port)
  for name in 1 2; do
    rm -f project/kernels.lock project/kernels.sum
    write_project "$name"
    ./kernels -q lock project
    ./kernels -q download project --all-variants > /dev/null
    for file in lock sum; do cp "project/kernels.$file" "$name.$file"; done
  done
  rm -rf publisher made port serve.log
  cp "$build/../../tests/gpu/layers.sh" .
  du -sh "$folder"
}

run() {
  local device=${2:-cuda} place capability
  cd "$1"
  export HF_HUB_OFFLINE=1 HF_HUB_CACHE=$PWD/cache
  ldd kernels-worker | grep -q 'libcrypto.*not found' && export LD_LIBRARY_PATH="${LD_LIBRARY_PATH:+$LD_LIBRARY_PATH:}$PWD/lib"
  chmod +x kernels kernels-worker
  place=${OUT:-$PWD/results}
  mkdir -p "$place"
  cp project/kernels.toml "$place/before.toml"
  ./kernels bench project --device "$device" --layer Norm --select --budget 1 --seed 1 --save "$place/layers.json"
  cp project/kernels.toml "$place/after.toml"
  cp "$place/before.toml" project/kernels.toml
  diff "$place/before.toml" "$place/after.toml" && { echo "nothing was selected"; return 1; }
  grep -q '^ *# kernels bench --select: 20' "$place/after.toml"
  capability=$(grep -o 'min-capability = [0-9]*' "$place/after.toml" || true)
  [ "$device" != cuda ] || [ -n "$capability" ]
  # The same code under two commits: what a change of nothing looks like.
  ./kernels bench --compare 1.lock 2.lock --device "$device" --dtype bfloat16 --threshold 2 --budget 1 \
    --fail-on-regression 2 --save "$place/new-lock.json"
  echo "all as it should be"
}

case "${1:-}" in
  carry) [ $# -eq 3 ] && carry "$2" "$3" ;;
  run) [ $# -ge 2 ] && run "${@:2}" ;;
  *) sed -n '2,7p' "$0"; exit 2 ;;
esac
