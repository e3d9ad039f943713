"""`kernels bench` on benchmark scripts with a CUDA device: verdicts of good and bad scripts, and times beside those of
events around single calls after a flush, as `triton.testing.do_bench` takes them. Needs PyTorch with CUDA."""

import argparse
import json
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path

METADATA = {"name": "probe", "id": "_probe_x_0a1b2c3", "version": 1, "license": "Apache-2.0", "python-depends": [],
            "backend": {"type": "cuda", "archs": ["9.0"]}}

KERNEL = '''
import torch

other = None


def copy(out, x):
    # A kernel: the driver's own copy of this size takes a fifth longer inside of a graph than outside.
    torch.mul(x, 1.0, out=out)


def waits(out, x):
    out.copy_(x)
    torch.cuda.synchronize()


def elsewhere(out, x):
    """Its own stream, and waiting for it: right, but no graph holds it."""
    global other
    if other is None:
        other = torch.cuda.Stream()
    with torch.cuda.stream(other):
        out.copy_(x)
    other.synchronize()
'''

SCRIPT = '''
import os
import torch
from kernels.benchmark import Benchmark


class Copy(Benchmark):
    seed = 1
    rows = {"small": 1 << 10, "medium": 1 << 22, "large": 1 << 27}

    def make(self, elements):
        self.x = torch.randn(elements, device=self.device)
        self.out = torch.empty_like(self.x)

    def setup(self):
        self.make(1 << 22)

    def setup_small(self):
        self.make(1 << 10)

    def setup_large(self):
        self.make(1 << 27)

    def benchmark_small(self):
        self.kernel.copy(self.out, self.x)

    def verify_small(self):
        return self.x * 1.0

    def benchmark_medium(self):
        self.kernel.copy(self.out, self.x)

    def verify_medium(self):
        return self.x * 1.0

    def benchmark_large(self):
        self.kernel.copy(self.out, self.x)

    def verify_large(self):
        return self.x * 1.0

    def benchmark_unchecked(self):
        self.kernel.copy(self.out, self.x)

    def benchmark_result(self):
        self.out = self.x + 1

    def verify_result(self):
        return self.x + 1

    def benchmark_waits(self):
        self.kernel.waits(self.out, self.x)

    def verify_waits(self):
        return self.x * 1.0

    def benchmark_elsewhere(self):
        self.kernel.elsewhere(self.out, self.x)

    def verify_elsewhere(self):
        return self.x * 1.0

    def setup_inplace(self):
        self.make(1 << 22)
        self.out = self.x.clone()

    def benchmark_inplace(self):
        self.out.clamp_(-1, 1)

    def verify_inplace(self):
        return self.x.clamp(-1, 1)

    def benchmark_wrong(self):
        self.kernel.copy(self.out, self.x)
        self.out[12345] += 1

    def verify_wrong(self):
        return self.x * 1.0

    def setup_memory(self):
        self.x = torch.empty(1 << 50, device=self.device)

    def benchmark_memory(self):
        pass

    def benchmark_address(self):
        torch.ones(10, device=self.device)[torch.tensor([10 ** 9], device=self.device)] = 1

    def benchmark_aborts(self):
        os.abort()
'''

EXPECTED = {"small": "right", "medium": "right", "large": "right", "unchecked": "not checked", "result": "right",
            "waits": "right", "elsewhere": "right", "inplace": "right", "wrong": "wrong", "memory": "out of memory",
            "address": "crashed", "aborts": "crashed"}
RECORDABLE = {"small": True, "medium": True, "large": True, "unchecked": True, "result": True, "waits": False,
              "elsewhere": False, "inplace": True}


def events_around_calls(elements):
    """Microseconds of one copy: the median of single calls after a flush, between events."""
    import torch
    x = torch.randn(elements, device="cuda")
    out = torch.empty_like(x)
    flush = torch.empty(64 << 20, dtype=torch.int32, device="cuda")
    times = []
    for _ in range(60):
        begin, end = (torch.cuda.Event(enable_timing=True) for _ in range(2))
        flush.zero_()
        begin.record()
        torch.mul(x, 1.0, out=out)
        end.record()
        torch.cuda.synchronize()
        times.append(begin.elapsed_time(end) * 1e3)
    return statistics.median(times[10:])


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--program", required=True)
    parser.add_argument("--provider", required=True)
    parser.add_argument("--save")
    options = parser.parse_args()
    failures = []
    with tempfile.TemporaryDirectory() as folder:
        variant = Path(folder) / "probe/build/torch-cuda"
        variant.mkdir(parents=True)
        (variant / "metadata.json").write_text(json.dumps(METADATA))
        (variant / "__init__.py").write_text(KERNEL)
        (Path(folder) / "probe/benchmarks").mkdir()
        (Path(folder) / "probe/benchmarks/benchmark.py").write_text(SCRIPT)
        command = [options.program, "-q", "bench", str(variant), "--device", "cuda", "--python", sys.executable,
                   "--tvm-ffi", options.provider, "--budget", "1", "--time-limit", "60", "--json"]
        run = subprocess.run(command, capture_output=True, text=True, timeout=500)
    if run.stderr:
        print(run.stderr)
    results = json.loads(run.stdout)
    if options.save:
        Path(options.save).write_text(run.stdout)
    rows = {row["workload"]: row["result"] for row in results["rows"]}
    medians = {}
    for name, verdict in EXPECTED.items():
        result = rows.get(name, {"verdict": "absent", "reason": "", "timing": None})
        timing = result["timing"]
        if timing:
            medians[name] = {kind: series["summary"]["median_ns"] / 1e3 for kind, series in timing["series"].items()}
        said = "  ".join("%s %.2f us" % item for item in medians.get(name, {}).items())
        print("%-10s %-13s %s%s" % (name, result["verdict"], said, result["reason"] or ""))
        if timing:
            print("           " + timing["method"])
        if result["verdict"] != verdict:
            failures.append("%s is %s, not %s" % (name, result["verdict"], verdict))
        elif name in RECORDABLE and result["probe"]["is_recordable"] != RECORDABLE[name]:
            failures.append("%s: recordable is %s" % (name, result["probe"]["is_recordable"]))
    if results["devices"][0]["kind"] != "cuda" or not results["devices"][0]["name"]:
        failures.append("the device is not named")
    # At hundreds of microseconds launches do not matter. 1 % is what the clock of a device moves between two runs.
    by_events = events_around_calls(1 << 27)
    off = medians.get("large", {}).get("cold", 0) / by_events - 1
    print("large: %.2f us, by events around calls %.2f us: %+.2f %%" % (
        medians.get("large", {}).get("cold", 0), by_events, 100 * off))
    if not abs(off) <= 0.02:
        failures.append("the time of the large copy is off by %.1f %%" % (100 * off))
    # The reference is the same copy.
    for name in ("medium", "large"):
        if name in medians and not 0.9 <= medians[name]["reference"] / medians[name]["cold"] <= 1.1:
            failures.append("%s: a clone takes another time than a copy" % name)
    for failure in failures:
        print("FAILED " + failure)
    print("passed" if not failures else "%d failed" % len(failures))
    return 1 if failures else 0


if __name__ == "__main__":
    sys.exit(main())
