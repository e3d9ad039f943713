"""Builds one program for many sets of architectures, lets `kernels check` say which of them run on the GPU that is here, runs
them all, and compares.

    python3 tests/gpu/verdicts.py --program kernels --nvcc nvcc
"""

import argparse
import json
import subprocess
import sys
import tempfile
from pathlib import Path

SOURCE = """
#include <cstdio>
__global__ void add(int* x) { *x += 41; }
int main() {
  int* x = nullptr;
  int value = 1;
  if (cudaMalloc(&x, sizeof(int)) != cudaSuccess) return 3;
  cudaMemcpy(x, &value, sizeof(int), cudaMemcpyHostToDevice);
  add<<<1, 1>>>(x);
  cudaError_t launched = cudaGetLastError();
  cudaError_t done = cudaMemcpy(&value, x, sizeof(int), cudaMemcpyDeviceToHost);
  if (launched != cudaSuccess) return std::printf("%s\\n", cudaGetErrorString(launched)), 1;
  return done == cudaSuccess && value == 42 ? 0 : 1;
}
"""
SETS = [["sm_75"], ["sm_80"], ["sm_86"], ["sm_89"], ["sm_90"], ["sm_90a"], ["sm_100"], ["sm_100a"], ["sm_100f"], ["sm_103"], ["sm_120"],
        ["compute_75"], ["compute_80"], ["compute_89"], ["compute_90"], ["compute_90a"], ["compute_100"], ["compute_100a"],
        ["compute_100f"], ["compute_120"], ["sm_80", "compute_80"], ["sm_80", "sm_100"], ["sm_100", "compute_80"],
        ["sm_80", "sm_90a", "compute_120"]]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--program", required=True)
    parser.add_argument("--nvcc", default="nvcc")
    arguments = parser.parse_args()
    wrong = 0
    with tempfile.TemporaryDirectory() as place:
        source = Path(place) / "add.cu"
        source.write_text(SOURCE)
        for codes in SETS:
            program = Path(place) / "-".join(codes)
            options = [f"-gencode=arch=compute_{code.split('_')[1]},code={code}" for code in codes]
            subprocess.run([arguments.nvcc, *options, "-o", str(program), str(source)], check=True)
            checked = subprocess.run([arguments.program, "check", str(program), "--json"], capture_output=True, text=True)
            row = json.loads(checked.stdout)["kernels"][0]
            ran = subprocess.run([str(program)], capture_output=True, text=True)
            agrees = row["good"] == (ran.returncode == 0)
            wrong += not agrees
            print(f"{'ok ' if agrees else 'BAD'} {' '.join(codes):28} {row['verdict']:18} {'ran' if ran.returncode == 0 else ran.stdout.strip()}")
    print(f"{len(SETS)} programs, {wrong} differences")
    sys.exit(1 if wrong else 0)


if __name__ == "__main__":
    main()
