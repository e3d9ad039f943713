"""The tables of kernels/README.md: every kernel at every shape of peers-h100.csv, beside the goals and the best peer.

    tables.py measure --program kernels --provider libtvm_ffi.so --hub HUB --out DIR [--kernel NAME …] [--most-tokens N]
                      [--dependent]
    tables.py write DIR [DIR…] > kernels/README.md

`measure` needs a GPU; it leaves one results file of `kernels bench` for each kernel, and a second one with
`--dependent`, where kernels are launched with programmatic dependent launch. `write` needs only those files.
peers-h100.csv has what other libraries reached on one NVIDIA H100 80GB HBM3 (driver 580.159.04, PyTorch 2.11, Triton
3.6, nvcc 13.0), by the same method: calls inside CUDA graphs, `cold` with nothing of the operands in the cache. Its
`best_peer` may use programmatic dependent launch, its `best_nonpdl_peer` does not, so the first is compared with our
launches that do, and the second with our plain ones.
"""

import argparse
import csv
import json
import os
import shutil
import subprocess
import sys
import time
from pathlib import Path

HERE = Path(__file__).resolve().parent


class Operation:
    """One operation of the CSV as our kernel has it. `sizes` makes the sizes of a workload from tokens and hidden."""

    def __init__(self, kernel, function, goals, few, sizes=lambda tokens, hidden: {"rows": tokens, "cols": hidden}):
        self.kernel, self.function, self.goals, self.few, self.sizes = kernel, function, goals, few, sizes


def heads_of(tokens, hidden):
    """Query heads of 128 and, as in Llama 3, 8 of the key."""
    return {"tokens": tokens, "heads": hidden // 128, "kv_heads": 8, "head_dim": 128, "half": 64,
            "max_position": max(tokens, 8192)}


# Goals: percent of the limit for at least so many tokens, up to a hidden size; microseconds for one token, without and
# with dependent launch, at one hidden size.
GATED = [(4096, 99), (1024, 97), (128, 90)]
NORM = [(4096, 99), (1024, 97), (128, 90)]
OPERATIONS = {
    "silu_and_mul": Operation("activation", "silu_and_mul", GATED, {14336: (1.55, 1.20)}),
    "gelu_tanh_and_mul": Operation("activation", "gelu_tanh_and_mul", GATED, {14336: (1.55, 1.20)}),
    "gelu_and_mul": Operation("activation", "gelu_and_mul", [(4096, 98), (1024, 97), (128, 90)], {14336: (1.75, 1.65)}),
    "rms_norm": Operation("rmsnorm", "rms_norm", NORM, {4096: (1.75, 1.45)}),
    "fused_add_rms_norm": Operation("rmsnorm", "fused_add_rms_norm", NORM, {4096: (1.80, 1.57)}),
    "layer_norm": Operation("layer-norm", "layer_norm", [(4096, 99), (1024, 97), (128, 88)], {4096: (2.00, 1.70)}),
    "softmax": Operation("softmax", "softmax", [(4096, 99), (1024, 97), (128, 88)], {4096: (1.97, 1.65), 128256: (4.6, 3.9)}),
    "rope": Operation("rotary", "rotary_neox", [(4096, 97), (128, 95)], {4096: (1.50, 1.27)}, heads_of),
    "fp8_quant": Operation("quantize-fp8", "quantize_fp8_per_token", [(4096, 98), (1024, 97), (128, 95)], {4096: (1.65, 1.34)}),
}


def goal_percent(op, tokens, hidden):
    """The percentage of the limit that a cell is to reach; None where there is no goal."""
    if op in ("rms_norm", "fused_add_rms_norm") and not 4096 <= hidden <= 16384:
        return None
    if op in ("rms_norm", "fused_add_rms_norm") and (tokens, hidden) == (4096, 4096):
        return 98
    if op == "layer_norm" and hidden > 8192 and tokens >= 4096:
        return 97
    if op == "softmax" and hidden > 16384:
        return 95 if tokens >= 4096 else 90 if tokens >= 1024 else 82 if tokens >= 128 else None
    return next((percent for least, percent in OPERATIONS[op].goals if tokens >= least), None)


def peers():
    """(op, dtype, tokens, hidden) -> {mode: row of the CSV}"""
    cells = {}
    with open(HERE / "peers-h100.csv", newline="") as file:
        for row in csv.DictReader(file):
            cells.setdefault((row["op"], row["dtype"], int(row["T"]), int(row["hidden"])), {})[row["mode"]] = row
    return cells


def peers_now(folders):
    """What tests/bench/gpu_peers.py measured beside us, in the form of `peers`, and the text that says with what."""
    cells, texts = {}, []
    for folder in folders:
        file = Path(folder) / "peers.json"
        if not file.is_file():
            continue
        found = json.loads(file.read_text())
        for row in found["rows"]:
            best = cells.setdefault((row["op"], row["dtype"], row["tokens"], row["hidden"]), {}).setdefault(row["mode"], {})
            for which in ("best_peer", "best_nonpdl_peer"):
                if which == "best_nonpdl_peer" and row["contender"].endswith("_pdl"):
                    continue
                if row["us"] < float(best.get(f"{which}_us", "inf")):
                    best[which], best[f"{which}_us"] = row["contender"], row["us"]
        versions = ", ".join(f"{name} {version}" for name, version in sorted(found["versions"].items()))
        texts.append(f"Peers in this run, {found['day']}, {found['device']}: {versions}.")
        texts += [f"- not measured: {name} ({reason})" for name, reason in sorted(found["absent"].items())]
        texts += [f"- not measured: {failure}" for failure in found["failures"]]
    return cells, texts


def workload_text(op, dtype, tokens, hidden):
    operation = OPERATIONS[op]
    sizes = ", ".join(f"{name} = {size}" for name, size in operation.sizes(tokens, hidden).items())
    full = {"bf16": "bfloat16", "fp16": "float16"}[dtype]
    return (f'\n[[workloads]]\nname = "table-{tokens}x{hidden}"\norigin = "{tokens} tokens, {hidden}"\n'
            f'sizes = {{{sizes}}}\ndtypes = ["{full}"]\nfunctions = ["{operation.function}"]\n')


def bench_kernel(kernel, cells, options):
    """One run of `kernels bench` over the cells of a kernel; false if it left no results."""
    folder = options.out / "work" / kernel
    shutil.rmtree(folder, ignore_errors=True)
    shutil.copytree(options.hub / kernel, folder)
    for file in folder.glob("build/*/workloads.toml"):
        # The shapes of the tables in place of the kernel's own, of which only the functions stay.
        text = file.read_text().split("[[probes]]")[0]
        file.write_text(text + "".join(workload_text(*cell) for cell in cells))
    out = options.out / (f"{kernel}.dependent.json" if options.dependent else f"{kernel}.json")
    command = [options.program, "-q", "bench", folder, "--device", options.device, "--workload", "table-", "--budget", options.budget,
               "--tvm-ffi", options.provider, "--save", out, "--seed", "1"]
    environment = {**os.environ, "KERNELS_DEPENDENT_LAUNCH": "1" if options.dependent else "0"}
    begin = time.monotonic()
    done = subprocess.run([str(part) for part in command], capture_output=True, text=True, env=environment)
    took = time.monotonic() - begin
    print(f"{out.stem}: {len(cells)} workloads in {took:.0f} s, status {done.returncode}\n{done.stderr[-2000:]}", flush=True)
    return out.is_file()


def measure(options):
    options.out.mkdir(parents=True, exist_ok=True)
    failed = False
    for kernel in sorted({operation.kernel for operation in OPERATIONS.values()}):
        if options.kernel and kernel not in options.kernel:
            continue
        cells = [cell for cell in sorted(peers()) if cell[0] in OPERATIONS and OPERATIONS[cell[0]].kernel == kernel
                 and cell[2] <= options.most_tokens]
        failed |= not bench_kernel(kernel, cells, options)
    shutil.rmtree(options.out / "work", ignore_errors=True)
    return 1 if failed else 0


def read_results(folders):
    """(op, dtype, tokens, hidden) -> row, without and with dependent launch, and the devices. Later folders take the
    place of earlier ones."""
    plain, dependent, devices = {}, {}, {}
    by_function = {operation.function: op for op, operation in OPERATIONS.items()}
    for folder in folders:
        for file in sorted(Path(folder).glob("*.json")):
            if file.name == "peers.json":
                continue
            results = json.loads(file.read_text())
            rows = dependent if file.stem.endswith(".dependent") else plain
            for device in results["devices"]:
                devices[f"{device['name']} (driver {device['driver']})"] = results["started"][:10]
            for row in results["rows"]:
                if not row["workload"].startswith("table-") or row["function"] not in by_function:
                    continue
                tokens, hidden = map(int, row["workload"][len("table-"):].split("x"))
                dtype = {"bfloat16": "bf16", "float16": "fp16"}[row["dtype"]]
                rows[by_function[row["function"]], dtype, tokens, hidden] = row["result"]
    return plain, dependent, devices


def median_us(result, kind):
    series = (result["timing"] or {"series": {}})["series"].get(kind)
    return series["summary"]["median_ns"] / 1e3 if series else None


def amount(value):
    return "–" if value is None else f"{value:.3g}" if value < 100 else f"{value:.0f}"


def beside_peer(ours, modes, which):
    """How our times, {mode: us}, compare with those of `which` of the CSV's columns, as text; and where they are behind."""
    texts, misses = [], []
    for mode, us in ours.items():
        row = modes.get(mode)
        if us is None or row is None or not row.get(f"{which}_us"):
            texts.append("–")
            continue
        best = float(row[f"{which}_us"])
        texts.append(f"{best / us:.2f}x {row[which]}")
        if us > best * 1.005:
            misses.append(f"{mode}: {row[which]} needs {amount(best)} us, this {amount(us)} us")
    return " / ".join(texts) if set(texts) != {"–"} else "–", misses


def cell_text(key, result, dependent, modes, now):
    """One row of a table, and what of it misses a goal. `dependent` may be None. `modes` has the peers of the CSV, `now`
    those of this run."""
    op, dtype, tokens, hidden = key
    for each in (result, dependent):
        if each is not None and each["verdict"] != "right":
            return f"| {tokens} | {hidden} | {dtype} | {each['verdict']}: {each['reason']} | | | | | | | |", [each["verdict"]]
    cold = median_us(result, "cold")
    share = result["share_of_limit"]["value"] * 100 if result["share_of_limit"] else None
    dependent_cold = median_us(dependent, "cold") if dependent else None
    goal = goal_percent(op, tokens, hidden)
    misses = []
    goal_text = f"{goal} %" if goal else "–"
    if goal and share is not None and share < goal - 0.05:
        misses.append(f"{share:.1f} % of the limit in place of {goal} %")
    if tokens == 1 and hidden in OPERATIONS[op].few:
        few = OPERATIONS[op].few[hidden]
        goal_text = f"{few[0]:.2f} / {few[1]:.2f} us"
        for ours, least, how in ((cold, few[0], ""), (dependent_cold, few[1], " with dependent launch")):
            if ours is not None and ours > least + 0.005:
                misses.append(f"{ours:.2f} us in place of {least:.2f} us{how}")
    plain_peer, behind = beside_peer({mode: median_us(result, mode) for mode in ("cold", "warm")}, modes, "best_nonpdl_peer")
    misses += behind
    dependent_peer = "–"
    if dependent:
        dependent_peer, behind = beside_peer({mode: median_us(dependent, mode) for mode in ("cold", "warm")}, modes, "best_peer")
        misses += [f"with dependent launch, {text}" for text in behind]
    now_text, behind = beside_peer({"cold": cold}, now, "best_nonpdl_peer")
    misses += [f"in this run, {text}" for text in behind]
    if dependent and now:
        text, behind = beside_peer({"cold": dependent_cold}, now, "best_peer")
        now_text += f" / {text}"
        misses += [f"in this run, with dependent launch, {text}" for text in behind]
    shown = "–" if share is None else f"{share:.1f} %"
    return (f"| {tokens} | {hidden} | {dtype} | {amount(cold)} | {amount(median_us(result, 'warm'))} | {amount(dependent_cold)} "
            f"| {shown} | {goal_text} | {plain_peer} | {dependent_peer} | {now_text} |", misses)


HEAD = """# Kernels

The layers that transformers run between their matrix products, for float32, float16 and bfloat16, on CPUs and on CUDA
devices of compute capability 8.0 and up. Each folder is one kernel as the Hub has it: its README says the mathematics
and the idea, its `workloads.toml` the shapes of real models and the tolerances.

| kernel | functions |
|---|---|
| [activation](activation/README.md) | `silu_and_mul`, `gelu_and_mul`, `gelu_tanh_and_mul` |
| [layer-norm](layer_norm/README.md) | `layer_norm`, `layer_norm_no_bias` |
| [quantize-fp8](quantize_fp8/README.md) | `quantize_fp8_per_token`, `rms_norm_quantize_fp8`, `fused_add_rms_norm_quantize_fp8` |
| [rmsnorm](rmsnorm/README.md) | `rms_norm`, `fused_add_rms_norm` |
| [rotary](rotary/README.md) | `rotary_neox`, `rotary_gptj` |
| [softmax](softmax/README.md) | `softmax` |

Every function checks shapes, strides, types and alignment before it launches anything, uses only the given stream,
allocates nothing, waits for nothing, may be captured by CUDA graphs, and gives the same bits from run to run. Rows may
be padded, and any size is right; sizes and addresses off the 16-byte grid take a slower path. Programmatic dependent
launch is an option, `KERNELS_DEPENDENT_LAUNCH=1`, off by default.

The CPU variants of all, and their CUDA code as it runs on the CPU (`tests/kernels/emulated`), are compared with float64
references in every run of the tests; `tests/gpu/run.sh` does the same on a GPU.
"""


def write(folders):
    rows, dependent, devices = read_results(folders)
    of_file, (now, texts) = peers(), peers_now(folders)
    print(HEAD)
    print("## Measured\n")
    if not rows:
        print("Not yet all in one run. What was measured of a kernel, and when, is in its README.")
        return
    for name, day in sorted(devices.items()):
        print(f"{name}, {day}, by `tests/gpu/run.sh run FOLDER tables`.")
    print("""
Median of calls inside CUDA graphs, in microseconds; `cold`: nothing of the operands in the cache; `warm`: all of them.
The limit is the fastest of up to eighteen plain streams of the same traffic in the same state of the cache, sampled in
the same turns. `dependent`: cold, with programmatic dependent launch. `peer`: how many times faster than the best
other library that does without dependent launch, cold / warm; `peer, dependent`: the same with it, against the best of
all. A goal of two times is for one token without and with it.
""")
    print("\n".join(["These peers are those of `tests/gpu/peers-h100.csv`; names that end in `_pdl` use dependent launch. `this run`:",
                     "the best of those that `tests/bench/gpu_peers.py` measured beside this, cold, without / with it.", ""] + texts) + "\n")
    misses = []
    for op in OPERATIONS:
        keys = sorted(key for key in rows if key[0] == op)
        if not keys:
            continue
        print(f"### {OPERATIONS[op].function}\n")
        print("| tokens | size | type | cold | warm | dependent | of the limit | goal | peer | peer, dependent | this run |\n|---|---|---|---|---|---|---|---|---|---|---|")
        for key in keys:
            text, missed = cell_text(key, rows[key], dependent.get(key), of_file.get(key, {}), now.get(key, {}))
            print(text)
            misses += [(key, miss) for miss in missed]
        print()
    print(f"### Goals that are missed\n\n{len(misses)} in {len(rows)} cells.\n")
    for (op, dtype, tokens, hidden), miss in misses:
        print(f"- `{OPERATIONS[op].function}` {dtype} {tokens} x {hidden}: {miss}")


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    commands = parser.add_subparsers(dest="command", required=True)
    command = commands.add_parser("measure")
    for name in ("program", "provider", "hub", "out"):
        command.add_argument(f"--{name}", type=Path, required=True)
    command.add_argument("--kernel", action="append", default=[])
    command.add_argument("--most-tokens", type=int, default=1 << 30)
    command.add_argument("--budget", type=float, default=0.4)
    command.add_argument("--device", default="cuda")
    command.add_argument("--dependent", action="store_true")
    command = commands.add_parser("write")
    command.add_argument("folders", nargs="+")
    options = parser.parse_args()
    if options.command == "write":
        return write(options.folders)
    return measure(options)


if __name__ == "__main__":
    sys.exit(main())
