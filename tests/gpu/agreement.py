"""Our times beside those of others on the same GPU: events around single calls as
`triton.testing.do_bench` does it, its form with a CUDA graph, and Nsight Compute.

    agreement.py --bench gpu_bench --worker W --provider P --hub HUB --results DIR

Five workloads from a few microseconds to some milliseconds. Prints a table; the status is 0 whatever it says.
"""

import argparse
import ctypes
import json
import re
import shutil
import statistics
import subprocess
from pathlib import Path

import torch
import triton.testing

CASES = [  # (kernel, function, workload, rows, columns of the output)
    ("activation", "silu_and_mul", "agreement-128", 128, 14336),
    ("rmsnorm", "rms_norm", "agreement-1024", 1024, 8192),
    ("rmsnorm", "rms_norm", "agreement-8192", 8192, 8192),
    ("activation", "silu_and_mul", "agreement-16384", 16384, 14336),
    ("activation", "silu_and_mul", "agreement-131072", 131072, 14336),
]


class DLTensor(ctypes.Structure):
    _fields_ = [("data", ctypes.c_void_p), ("device_type", ctypes.c_int32), ("device_id", ctypes.c_int32),
                ("ndim", ctypes.c_int32), ("code", ctypes.c_uint8), ("bits", ctypes.c_uint8), ("lanes", ctypes.c_uint16),
                ("shape", ctypes.POINTER(ctypes.c_int64)), ("strides", ctypes.POINTER(ctypes.c_int64)),
                ("byte_offset", ctypes.c_uint64)]


class Any(ctypes.Structure):
    _fields_ = [("type_index", ctypes.c_int32), ("padding", ctypes.c_uint32), ("value", ctypes.c_int64)]


KEPT = []


def tensor_any(tensor):
    shape = (ctypes.c_int64 * tensor.dim())(*tensor.shape)
    strides = (ctypes.c_int64 * tensor.dim())(*tensor.stride())
    bfloat16 = 4
    made = DLTensor(tensor.data_ptr(), 2, 0, tensor.dim(), bfloat16, 16, 1, shape, strides, 0)
    KEPT.extend((shape, strides, made, tensor))
    return Any(7, 0, ctypes.addressof(made))


def float_any(value):
    return Any(3, 0, int.from_bytes(memoryview(ctypes.c_double(value)).tobytes(), "little", signed=True))


def make_call(provider, library, function, rows, cols):
    host = ctypes.CDLL(str(provider), mode=ctypes.RTLD_GLOBAL)
    kernel = getattr(ctypes.CDLL(str(library)), f"__tvm_ffi_{function}")
    out = torch.empty(rows, cols, dtype=torch.bfloat16, device="cuda")
    if function == "silu_and_mul":
        arguments = [tensor_any(out), tensor_any(torch.randn(rows, 2 * cols, dtype=torch.bfloat16, device="cuda"))]
    else:
        arguments = [tensor_any(out), tensor_any(torch.randn(rows, cols, dtype=torch.bfloat16, device="cuda")),
                     tensor_any(torch.randn(cols, dtype=torch.bfloat16, device="cuda")), float_any(1e-6)]
    packed = (Any * len(arguments))(*arguments)
    result = Any()

    def call():
        host.TVMFFIEnvSetStream(2, 0, ctypes.c_void_p(torch.cuda.current_stream().cuda_stream), None)
        assert kernel(None, packed, len(arguments), ctypes.byref(result)) == 0
    return call


def event_times(call):
    """What `triton.testing.do_bench` does, with a cache that is flushed by reading: its own flush leaves it full of what must
    be written back first."""
    flush = torch.ones(64 << 20, dtype=torch.float32, device="cuda")
    events = []
    for turn in range(120):
        flush.amax()
        begin, end = (torch.cuda.Event(enable_timing=True) for _ in range(2))
        begin.record()
        call()
        end.record()
        if turn >= 20:
            events.append((begin, end))
    torch.cuda.synchronize()
    return statistics.median(begin.elapsed_time(end) for begin, end in events) * 1e3


def ours(options, folder, workload, precision_ms):
    out = options.results / f"{workload}.json"
    subprocess.run([options.bench, "--device", "cuda", "--worker", options.worker, "--provider", options.provider, "--workload", workload,
                    "--budget-ms", str(precision_ms), "--time-limit-ms", "150000", "--json", out, folder], check=True, capture_output=True)
    for line in out.read_text().splitlines():
        row = json.loads(line)
        if row["dtype"] == "bfloat16" and row["workload"] == workload and row["result"]["timing"]:
            series = row["result"]["timing"]["series"]
            return {kind: statistics.median(value["samples_ns"]) / 1e3 for kind, value in series.items()}
    return {}


def ncu(options, folder, workload, function):
    """The duration of a launch as the hardware counts it, in our own replays: in turn over buffers that are not cached."""
    if not shutil.which("ncu"):
        return None
    command = ["ncu", "--target-processes", "all", "--cache-control", "none", "--clock-control", "none", "--metrics",
               "gpu__time_duration.sum", "--csv", "--page", "raw", "--kernel-name", "regex:gated|norm", "--launch-skip", "4",
               "--launch-count", "15", options.bench, "--device", "cuda", "--worker", options.worker, "--provider", options.provider,
               "--workload", workload, "--budget-ms", "1", folder]
    done = subprocess.run(command, capture_output=True, text=True, timeout=200)
    (options.results / f"{workload}-ncu.csv").write_text(done.stdout + done.stderr)
    rows = [line for line in done.stdout.splitlines() if line.startswith('"')]
    if len(rows) < 3:
        return None
    header = [cell.strip('"') for cell in rows[0].split('","')]
    column = next(i for i, name in enumerate(header) if name.startswith("gpu__time_duration"))
    unit = [cell.strip('"') for cell in rows[1].split('","')][column]
    scale = {"ns": 1e-3, "us": 1, "usecond": 1, "nsecond": 1e-3, "ms": 1e3, "msecond": 1e3}[unit]
    values = [float(line.split('","')[column].strip('"').replace(",", "")) * scale for line in rows[2:]]
    return statistics.median(values)


def main():
    parser = argparse.ArgumentParser()
    for name in ("bench", "worker", "provider", "hub", "results"):
        parser.add_argument(f"--{name}", type=Path, required=True)
    options = parser.parse_args()
    print(f"{'us':18} {'cold':>9} {'floor':>6} {'warm':>8} {'alone':>8} {'events':>9} {'graph':>9} {'ncu':>9}  alone/events   "
          "(cold-floor)/ncu")
    for kernel, function, workload, rows, cols in CASES:
        folder = next((options.hub / kernel / "build").glob("*-cu[0-9]*"))
        place = options.results / f"variant-{workload}" / folder.name
        shutil.copytree(folder, place, dirs_exist_ok=True)
        text = re.sub(r"(?s)\[\[(workloads|probes)\]\].*", "", (folder / "workloads.toml").read_text())
        place.joinpath("workloads.toml").write_text(
            text + f'[[probes]]\nsizes = {{rows = 3, cols = 64}}\n[[workloads]]\nname = "{workload}"\norigin = "agreement"\n'
            f'sizes = {{rows = {rows}, cols = {cols}}}\ndtypes = ["bfloat16"]\nfunctions = ["{function}"]\n')
        times = ours(options, place, workload, 2000)
        call = make_call(options.provider, next(place.glob("*.so")), function, rows, cols)
        single = event_times(call)
        with torch.cuda.stream(torch.cuda.Stream()):
            graph = triton.testing.do_bench_cudagraph(call, rep=100, return_mode="median") * 1e3
        counted = ncu(options, place, workload, function)
        cold = times.get("cold", float("nan"))
        nothing = float("nan")
        alone, floor, counted = times.get("single", nothing), times.get("floor", nothing), counted or nothing
        print(f"{workload:18} {cold:9.3f} {floor:6.3f} {times.get('warm', nothing):8.3f} {alone:8.3f} {single:9.3f} {graph:9.3f} "
              f"{counted:9.3f}  {alone / single:14.4f} {(cold - floor) / counted:16.4f}", flush=True)
        shutil.rmtree(options.results / f"variant-{workload}")


if __name__ == "__main__":
    main()
