#!/usr/bin/env bash
# The tests that need a CUDA device, for a machine that has neither this build nor a network.
#
#   tests/gpu/run.sh carry BUILD FOLDER   here: puts what is needed into FOLDER
#   tests/gpu/run.sh run FOLDER [PART…]   there: runs it; results go to $OUT, or FOLDER/results without that
#
# Parts: kernels (conformance and bench), planted (faults that must be named), agreement (with Triton
# and Nsight Compute), example, torch, variants (the same kernel for torch, classic and stable ABI, and for
# tvm-ffi; builds the first two there), python (benchmark scripts; needs PyTorch), inspect (what `check` says
# against what runs, and against cuobjdump; needs nvcc); without any, all of them. Only when named: repeat (the same run
# twenty times), tables (the tables of kernels/README.md), sanitizer (compute-sanitizer's memcheck, initcheck and racecheck).
#
# `run` needs a CUDA driver and the C++ runtime of the system, nothing else. It ends with 0 if all is right.
set -u

carry() {
  local build=$1 folder=$2 file
  mkdir -p "$folder/lib"
  for file in kernels kernels-worker tests/test_kernels tests/gpu_bench; do
    cp "$build/$file" "$folder/" && strip "$folder/$(basename "$file")" || return 1
  done
  cp "$build/lib/kernels/libtvm_ffi.so" "$build/lib/kernels/libkernels_python.so" "$folder/lib/" || return 1
  # The one library of ours that a bare system may lack; used only where it is missing.
  cp "$(ldd "$build/kernels-worker" | awk '/libcrypto/ {print $3}')" "$folder/lib/" || return 1
  carry_example "$build" "$folder" || return 1
  # Only a build with libtorch (KERNELS_TORCH) has it.
  rm -f "$folder/test_torch"
  if [ -e "$build/tests/test_torch" ]; then
    cp "$build/tests/test_torch" "$folder/" && strip "$folder/test_torch" || return 1
  fi
  rm -rf "$folder/hub" "$folder/planted" && cp -r "$build/hub" "$folder/hub" && cp -r "$build/gpu-planted" "$folder/planted" || return 1
  cp "$(dirname "$0")/verdicts.py" "$(dirname "$0")/agreement.py" "$(dirname "$0")/variants.py" \
    "$(dirname "$0")/python_scripts.py" "$(dirname "$0")/tables.py" "$(dirname "$0")/peers-h100.csv" \
    "$(dirname "$0")/../bench/gpu_peers.py" \
    "$(dirname "$0")/../inspect/gpu_code_agreement.py" "$folder/" || return 1
  cp "$0" "$folder/run.sh"
  du -sh "$folder"
}

# The model of lib/examples with a locked project and a cache that has what it needs, for a machine without a network.
carry_example() {
  local build=$1 folder=$2 server name
  build=$(cd "$build" && pwd) && rm -rf "$folder/example" && mkdir -p "$folder/example/project" || return 1
  cp "$build/examples/llama_block" "$folder/example/" && strip "$folder/example/llama_block" || return 1
  (
    cd "$folder/example" || exit 1
    for name in activation rmsnorm; do
      "$build/kernels" -q --cache publisher import "$build/hub/$name" --repo-id "demo/$name" > /dev/null || exit 1
    done
    "$build/kernels" -q --cache publisher serve --port 0 --port-file port --trusted-publisher demo > /dev/null 2>&1 &
    server=$!
    trap 'kill $server' EXIT
    while [ ! -s port ]; do sleep 0.05; done
    export HF_ENDPOINT HF_HUB_CACHE=$PWD/cache
    HF_ENDPOINT=http://127.0.0.1:$(cat port)
    printf '%s\n' '[dependencies]' '"demo/activation" = 1' '"demo/rmsnorm" = 1' \
      '[layers.SiluAndMul]' 'cpu = { repo = "demo/activation" }' 'cuda = { repo = "demo/activation" }' \
      '[layers.RMSNorm]' 'cpu = { repo = "demo/rmsnorm" }' 'cuda = { repo = "demo/rmsnorm" }' > project/kernels.toml
    "$build/kernels" -q lock project && "$build/kernels" -q download project --all-variants > /dev/null
  ) && rm -rf "$folder/example/publisher" "$folder/example/port"
}

# step NAME COMMAND...: runs it, keeps its output, remembers a failure.
failed=""
step() {
  local name=$1 begin=$SECONDS
  shift
  echo "== $name"
  if "$@" >"$results/$name.txt" 2>&1; then
    echo "   passed in $((SECONDS - begin)) s"
  else
    echo "   FAILED with status $? in $((SECONDS - begin)) s"
    failed="$failed $name"
  fi
  tail -n "${lines:-3}" "$results/$name.txt" | sed 's/^/   /'
}

describe_machine() {
  uname -a
  ldd --version | head -1
  nvidia-smi --query-gpu=name,driver_version,memory.total,clocks.sm,clocks.mem --format=csv 2>&1 || true
}

# The decoder block of lib/examples with and without kernels, from a lock and a cache, offline.
example() {
  export HF_HUB_OFFLINE=1 HF_HUB_CACHE=$folder/example/cache KERNELS_TVM_FFI=$folder/lib/libtvm_ffi.so
  export LD_LIBRARY_PATH="${LD_LIBRARY_PATH:+$LD_LIBRARY_PATH:}/usr/local/cuda/lib64:$folder/lib"
  chmod +x "$folder/example/llama_block"
  local tokens
  for tokens in 1 128 4096; do
    lines=12 step "example-$tokens" timeout 100 "$folder/example/llama_block" "$folder/example/project" \
      --device cuda --tokens "$tokens"
  done
}

kernels_part() {
  local tools=(--worker "$folder/kernels-worker" --provider "$folder/lib/libtvm_ffi.so")
  step conformance-cpu timeout 200 "$folder/test_kernels"
  lines=20 step conformance-cuda timeout 300 "$folder/test_kernels" "[gpu]"
  KERNELS_DEPENDENT_LAUNCH=1 lines=20 step conformance-cuda-dependent timeout 300 "$folder/test_kernels" "[gpu]"
  lines=200 step bench-cuda timeout 400 "$folder/gpu_bench" --device cuda "${tools[@]}" \
    --budget-ms 500 --json "$results/bench-cuda.json" "$folder"/hub/*/build/*-cu[0-9]*
  lines=40 step bench-cpu timeout 200 "$folder/gpu_bench" --device cpu "${tools[@]}" \
    --budget-ms 200 --workload decode --json "$results/bench-cpu.json" "$folder"/hub/*/build/*-cpu-*
}

# Every planted fault by its name, and the same function twice: what a change of nothing looks like.
planted_part() {
  lines=80 step planted planted_verdicts
}

planted_verdicts() {
  local name verdict wrong=0
  # It ends with 1, as what is planted is not right.
  timeout 300 "$folder/gpu_bench" --device cuda --worker "$folder/kernels-worker" --provider "$folder/lib/libtvm_ffi.so" \
    --budget-ms 500 --time-limit-ms 5000 --json "$results/planted.json" "$folder"/planted/build/* > "$results/planted-rows.txt" 2>&1
  cat "$results/planted-rows.txt"
  while read -r name verdict; do
    grep -qE "^$name +probes .* $verdict " "$results/planted-rows.txt" || { echo "WRONG: $name should be $verdict"; wrong=1; }
  done << 'END'
copy right
slower right
one_wrong wrong
race wrong
ignores_stream misbehaved
allocates misbehaved
waits misbehaved
sleeps misbehaved
leaves crashed
crashes crashed
illegal crashed
hangs timed out
END
  return $wrong
}

# The same function twenty times over, and one that takes three percent more: what two runs may differ by. Then every
# variant twice. What is saved is compared by `kernels bench --compare`, here or elsewhere.
repeat_part() {
  local i name program=$folder/kernels
  chmod +x "$program"
  mkdir -p "$results/repeat"
  for i in $(seq 1 20); do
    for name in copy slower; do
      "$program" -q bench "$folder/planted" --device cuda --function "$name" --workload large --tvm-ffi "$folder/lib/libtvm_ffi.so" \
        --save "$results/repeat/$name-$i.json" --seed 1 > "$results/repeat/last.txt" 2>&1 || cat "$results/repeat/last.txt"
    done
  done
  for i in 1 2; do
    for name in activation rmsnorm; do
      "$program" -q bench "$folder/hub/$name" --device cuda --workload prefill --tvm-ffi "$folder/lib/libtvm_ffi.so" \
        --save "$results/repeat/$name-$i.json" --seed 1 > "$results/repeat/$name-$i.txt" 2>&1
    done
  done
  tar -C "$results" -czf "$results/repeat.tar.gz" repeat && rm -rf "$results/repeat"
  echo "== repeat: done"
}

# Our times beside those of others; needs PyTorch with Triton, and Nsight Compute for its column.
agreement_part() {
  export PATH=$PATH:/usr/local/cuda/bin
  lines=12 step agreement timeout 400 python3 "$folder/agreement.py" --bench "$folder/gpu_bench" \
    --worker "$folder/kernels-worker" --provider "$folder/lib/libtvm_ffi.so" --hub "$folder/hub" --results "$results"
}

# Repositories with benchmark scripts, run by this machine's Python.
python_part() {
  if ! python3 -c 'import torch; assert torch.cuda.is_available()' 2> /dev/null; then
    echo "== python: skipped, no PyTorch with CUDA here"
    return
  fi
  chmod +x "$folder/kernels"
  lines=40 step python timeout 600 python3 "$folder/python_scripts.py" --program "$folder/kernels" \
    --provider "$folder/lib/libtvm_ffi.so" --save "$results/python.json"
}

# The same tests under NVIDIA's tools for faulty kernels.
sanitizer_part() {
  local tool
  for tool in memcheck initcheck racecheck; do
    lines=2 step "$tool" timeout 400 compute-sanitizer --error-exitcode 9 --tool "$tool" "$folder/test_kernels" "[gpu]"
  done
}

# What kernels/README.md says: every kernel at every shape that other libraries were measured at. KERNELS_TABLES and
# KERNELS_PEERS narrow it (`--kernel softmax --most-tokens 4096`, `--op softmax`), for machines that are lent for minutes.
tables_part() {
  chmod +x "$folder/kernels"
  mkdir -p "$folder/lib/kernels" && cp "$folder"/lib/lib*.so "$folder/lib/kernels/"
  # shellcheck disable=SC2086
  lines=40 step tables timeout 3000 python3 "$folder/tables.py" measure --program "$folder/kernels" \
    --provider "$folder/lib/libtvm_ffi.so" --hub "$folder/hub" --out "$results/tables" ${KERNELS_TABLES:-}
  # shellcheck disable=SC2086
  lines=40 step tables-dependent timeout 3000 python3 "$folder/tables.py" measure --dependent --program "$folder/kernels" \
    --provider "$folder/lib/libtvm_ffi.so" --hub "$folder/hub" --out "$results/tables" ${KERNELS_TABLES:-}
  if python3 -c 'import torch; assert torch.cuda.is_available()' 2> /dev/null; then
    # shellcheck disable=SC2086
    lines=20 step peers timeout 3000 python3 "$folder/gpu_peers.py" --cells "$folder/peers-h100.csv" --out "$results/tables" \
      --hub "$folder/hub" ${KERNELS_PEERS:-}
  fi
  lines=400 step tables.md python3 "$folder/tables.py" write "$results/tables"
  tar -C "$results" -czf "$results/tables.tar.gz" tables && rm -rf "$results/tables"
}

# Layers of libtorch models, with the libtorch of this machine's PyTorch.
torch() {
  local place
  place=$(python3 -c 'import torch; print(torch.__path__[0])' 2> /dev/null)
  if [ ! -e "$folder/test_torch" ] || [ -z "$place" ]; then
    echo "== torch: skipped, no PyTorch here or none where this was built"
    return
  fi
  chmod +x "$folder/test_torch"
  # Not the toolkit's libraries: PyTorch brings its own.
  export LD_LIBRARY_PATH="$place/lib:$folder/lib"
  lines=20 step torch timeout 200 "$folder/test_torch" -s
}

# The same launcher behind three ways of calling. The sources of this repository lie beside the folder.
variants_part() {
  local place sources
  sources=$(dirname "$0")/../../tests/torch/kernel/build.sh
  [ -e "$sources" ] || sources=$folder/../tests/torch/kernel/build.sh
  place=$(python3 -c 'import torch; print(torch.__path__[0])' 2> /dev/null)
  if [ -z "$place" ]; then
    echo "== variants: skipped, no PyTorch here"
    return
  fi
  chmod +x "$folder/kernels"
  # As an installation has it: the program finds what it loads beside itself.
  mkdir -p "$folder/lib/kernels" && cp "$folder"/lib/lib*.so "$folder/lib/kernels/"
  lines=10 step build-torch-kernel timeout 300 bash "$sources" "$place" "$folder/torch-kernel" cuda
  lines=30 step variants timeout 400 python3 "$folder/variants.py" --program "$folder/kernels" --torch-lib "$place/lib" \
    "$folder"/torch-kernel/build/* "$folder"/hub/activation/build/*-cu[0-9]*
}

# What is read of binaries: this machine's own description, verdicts against the GPU, GPU code against cuobjdump, over
# builds of every kind and over the libraries of an installed PyTorch.
inspect() {
  local nvcc cuobjdump program=$folder/kernels torch_folder files=()
  nvcc=$(command -v nvcc || echo /usr/local/cuda/bin/nvcc)
  cuobjdump=$(dirname "$nvcc")/cuobjdump
  if [ ! -x "$nvcc" ]; then
    echo "== inspect: skipped, no nvcc here"
    return
  fi
  chmod +x "$program"
  lines=60 step doctor "$program" doctor --offline
  "$program" doctor --offline --json > "$results/doctor.json" 2>&1
  lines=12 step check-built timeout 60 "$program" check "$folder/hub/activation"
  lines=30 step verdicts timeout 300 python3 "$folder/verdicts.py" --program "$program" --nvcc "$nvcc"
  torch_folder=$(python3 -c 'import torch; print(torch.__path__[0])' 2> /dev/null)
  if [ -n "$torch_folder" ]; then
    mapfile -t files < <(find "$torch_folder/lib" "$(dirname "$torch_folder")/nvidia" -type f -name '*.so*' 2> /dev/null | sort)
    lines=3 step inspect-time "$program" inspect "$torch_folder/lib/libtorch_cuda.so"
  fi
  lines=60 step agreement timeout 500 python3 "$folder/gpu_code_agreement.py" --program "$program" --nvcc "$nvcc" \
    --cuobjdump "$cuobjdump" --all "${files[@]}"
}

run() {
  local folder parts
  folder=$(cd "$1" && pwd) || return 1
  parts=" ${*:2} "
  [ $# -gt 1 ] || parts=" kernels planted agreement example torch variants python inspect "
  results=${OUT:-$folder/results}
  mkdir -p "$results"
  chmod +x "$folder/kernels-worker" "$folder/test_kernels" "$folder/gpu_bench"
  if ldd "$folder/kernels-worker" | grep -q 'libcrypto.*not found'; then
    export LD_LIBRARY_PATH="${LD_LIBRARY_PATH:+$LD_LIBRARY_PATH:}$folder/lib"
  fi
  export KERNELS_TEST_HUB=$folder/hub KERNELS_TEST_PROVIDER=$folder/lib/libtvm_ffi.so
  lines=10 step machine describe_machine
  [[ $parts == *" kernels "* ]] && kernels_part
  [[ $parts == *" planted "* ]] && planted_part
  [[ $parts == *" repeat "* ]] && repeat_part
  [[ $parts == *" agreement "* ]] && agreement_part
  [[ $parts == *" example "* ]] && example
  [[ $parts == *" torch "* ]] && torch
  [[ $parts == *" variants "* ]] && variants_part
  [[ $parts == *" python "* ]] && python_part
  [[ $parts == *" inspect "* ]] && inspect
  [[ $parts == *" sanitizer "* ]] && sanitizer_part
  [[ $parts == *" tables "* ]] && tables_part
  if [ -n "$failed" ]; then
    echo "failed:$failed"
    return 1
  fi
  echo "all passed"
}

case "${1:-}" in
  carry) [ $# -eq 3 ] && carry "$2" "$3" ;;
  run) [ $# -ge 2 ] && run "${@:2}" ;;
  *) sed -n '2,12p' "$0"; exit 2 ;;
esac
