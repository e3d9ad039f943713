#!/usr/bin/env bash
# Builds the activation kernel as torch variants, classic and of the stable ABI, with the PyTorch of this machine:
#     tests/torch/kernel/build.sh TORCH_FOLDER OUT cpu|cuda
# OUT/build then has one folder each; their workloads.toml is that of kernels/activation, without the functions that
# are not registered.
set -euo pipefail
root=$(cd "$(dirname "$0")/../../.." && pwd)
torch=$1 out=$2 device=$3
version=$(sed -n "s/^__version__ = '\([0-9]*\)\.\([0-9]*\).*/\1\2/p" "$torch/version.py" 2> /dev/null || echo 211)
flags=(-std=c++20 -O2 -fPIC -shared -fvisibility=hidden -D_GLIBCXX_USE_CXX11_ABI=1
  -I"$root/kernels" -I"$root/lib/runtime/include" -isystem "$torch/include"
  -isystem "$torch/include/torch/csrc/api/include")
links=(-L"$torch/lib" -ltorch_cpu -lc10)
mkdir -p "$out"
if [ "$device" = cuda ]; then
  cuda=${CUDA_HOME:-/usr/local/cuda}
  "$cuda/bin/nvcc" -std=c++20 -O3 -arch=sm_90 -Xcompiler -fPIC,-fvisibility=hidden -I"$root/kernels" -c \
    "$root/kernels/activation/activation.cu" -o "$out/activation.o"
  flags+=(-DTORCH_KERNEL_CUDA -DUSE_CUDA -isystem "$cuda/include")
  links=("$out/activation.o" "${links[@]}" -L"$cuda/lib64" -ltorch_cuda -lc10_cuda -lcudart)
  backend=cu130
else
  flags+=("$root/kernels/activation/activation_cpu.cpp" "$root/kernels/activation/dispatch.cpp"
    -DKERNELS_CPU_BASELINE_ONLY -pthread)
  backend=cpu
fi

build_one() { # SOURCE VARIANT
  local name=_activation_$1 folder=$out/build/$2
  mkdir -p "$folder"
  g++ "${flags[@]}" -DTORCH_KERNEL_NAMESPACE="$name" "$root/tests/torch/kernel/$1.cpp" \
    "$root/kernels/activation/reference.cpp" "${links[@]}" ${3:-} -o "$folder/$name.abi3.so"
  python3 - "$root/kernels/activation/workloads.toml" "$folder/workloads.toml" << 'END'
import re, sys
text = open(sys.argv[1]).read()
parts = re.split(r"(?m)^(?=\[\[)", text)
keep = [p for p in parts if not p.startswith("[[functions]]") or 'name = "silu_and_mul"' in p]
open(sys.argv[2], "w").write("".join(keep))
END
  printf '{"id": "%s", "name": "activation", "version": 1, "license": "Apache-2.0", "python-depends": []}\n' "$name" > "$folder/metadata.json"
}
build_one classic "torch$version-cxx11-$backend-x86_64-linux" &
classic=$!
build_one stable "torch-stable-abi210-$backend-x86_64-linux" -Wl,-z,now
wait "$classic"
