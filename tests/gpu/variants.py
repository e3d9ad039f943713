"""One kernel as a classic torch variant, as one of the stable ABI and for tvm-ffi: is its time the same?

    variants.py --program kernels --torch-lib DIR --rounds N VARIANT...

Every variant is measured in turns; the medians over the rounds must be within two percent of one another. ALONE has
the launch's gaps in it, which are those of the ABI: it is shown, not judged.
"""

import argparse
import json
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path


def measure(options, variant: str) -> dict:
    with tempfile.TemporaryDirectory() as folder:
        saved = Path(folder) / "run.json"
        command = [options.program, "-q", "bench", variant, "--device", "cuda", "--function", "silu_and_mul", "--dtype", "bfloat16",
                   "--torch-lib", options.torch_lib, "--save", str(saved), "--seed", "1"]
        command += ["--tvm-ffi", options.tvm_ffi] if options.tvm_ffi else []
        done = subprocess.run(command, capture_output=True, text=True)
        if not saved.exists():
            sys.exit(f"{variant}: status {done.returncode}\n{done.stdout}\n{done.stderr}")
        results = json.loads(saved.read_text())
    rows = {}
    for row in results["rows"]:
        result = row["result"]
        if result["verdict"] != "right":
            sys.exit(f"{variant}: {row['workload']}: {result['verdict']}: {result['reason']}")
        if result.get("timing"):
            series = result["timing"]["series"]
            rows[row["workload"]] = {kind: statistics.median(series[kind]["samples_ns"]) for kind in ("cold", "single")}
    print(f"{Path(variant).name}: {results['subjects'][0]['runner']}, {len(rows)} rows", flush=True)
    return rows


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--program", required=True)
    parser.add_argument("--torch-lib", required=True)
    parser.add_argument("--tvm-ffi")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("variants", nargs="+")
    options = parser.parse_args()
    runs = {variant: [] for variant in options.variants}
    for _ in range(options.rounds):
        for variant in options.variants:
            runs[variant].append(measure(options, variant))
    worst = 0.0
    for workload in next(iter(runs.values()))[0]:
        for kind in ("cold", "single"):
            times = {variant: statistics.median(run[workload][kind] for run in rounds) for variant, rounds in runs.items()}
            spread = max(times.values()) / min(times.values()) - 1
            if kind == "cold":
                worst = max(worst, spread)
            text = "  ".join(f"{time / 1000:10.3f} us" for time in times.values())
            print(f"{workload:28} {'TIME' if kind == 'cold' else 'ALONE':6} {text}  {100 * spread:6.2f} %")
    print(f"largest difference of TIME: {100 * worst:.2f} %")
    sys.exit(0 if worst <= 0.02 else 1)


if __name__ == "__main__":
    main()
