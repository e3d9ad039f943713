"""The tables of kernels/README.md: every kernel at every shape of peers-h100.csv, beside the goals and the best peer.

    tables.py measure --program kernels --provider libtvm_ffi.so --hub HUB --out DIR [--kernel NAME …] [--dependent]
                      [--least-tokens N] [--most-tokens N]
    tables.py write DIR [DIR…] [--note TEXT] [--other DIR …] > kernels/README.md
    tables.py pages DIR [DIR…]

`measure` needs a GPU; it leaves one results file of `kernels bench` for each kernel, and a second one with
`--dependent`, where kernels are launched with programmatic dependent launch. `write` and `pages`, which puts what was
measured into the README of each kernel, need only those files: cells of later folders take the place of those of earlier
ones, and `--note` says what is to be known of that. `--other` has what was measured on a device of another kind, whose
shares of its own limit stand beside those of the first.
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
    "rms_norm_fp8": Operation("quantize-fp8", "rms_norm_quantize_fp8", [], {}),
    "fused_add_rms_norm_fp8": Operation("quantize-fp8", "fused_add_rms_norm_quantize_fp8", [], {}),
}
# Cells without goals and without peers in the CSV.
OWN = [(op, "bf16", tokens, hidden) for op in ("rms_norm_fp8", "fused_add_rms_norm_fp8") for tokens in (1, 16, 128, 1024, 4096)
       for hidden in (4096, 8192)]


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
    """What tests/bench/gpu_peers.py measured beside us, in the form of `peers` with our own time as `ours_us`, and the text
    that says with what."""
    cells, texts = {}, []
    for folder in folders:
        file = Path(folder) / "peers.json"
        if not file.is_file():
            continue
        found = json.loads(file.read_text())
        for row in found["rows"]:
            best = cells.setdefault((row["op"], row["dtype"], row["tokens"], row["hidden"]), {}).setdefault(row["mode"], {})
            if row["contender"] == "kernels":
                best["ours_us"] = row["us"]
                continue
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
    for kernel in options.kernel or sorted({operation.kernel for operation in OPERATIONS.values()}):
        cells = [cell for cell in [*sorted(peers()), *OWN] if cell[0] in OPERATIONS and OPERATIONS[cell[0]].kernel == kernel
                 and options.least_tokens <= cell[2] <= options.most_tokens]
        failed |= not bench_kernel(kernel, cells, options)
    shutil.rmtree(options.out / "work", ignore_errors=True)
    return 1 if failed else 0


def read_results(folders):
    """(op, dtype, tokens, hidden) -> row, without and with dependent launch, and the devices, name -> {uuid: day}. Later
    folders take the place of earlier ones."""
    plain, dependent, devices = {}, {}, {}
    by_function = {operation.function: op for op, operation in OPERATIONS.items()}
    for folder in folders:
        for file in sorted(Path(folder).glob("*.json")):
            if file.name == "peers.json":
                continue
            results = json.loads(file.read_text())
            rows = dependent if file.stem.endswith(".dependent") else plain
            for device in results["devices"]:
                name = f"{device['name']} (driver {device['driver']})"
                devices.setdefault(name, {}).setdefault(device["uuid"], results["started"][:10])
            for row in results["rows"]:
                if not row["workload"].startswith("table-") or row["function"] not in by_function:
                    continue
                tokens, hidden = map(int, row["workload"][len("table-"):].split("x"))
                dtype = {"bfloat16": "bf16", "float16": "fp16"}[row["dtype"]]
                rows[by_function[row["function"]], dtype, tokens, hidden] = row["result"]
    return plain, dependent, devices


def devices_text(devices):
    """`NVIDIA … (driver …), 2026-11-23`"""
    return " and ".join(f"{name}, " + " to ".join(sorted({min(days.values()), max(days.values())}))
                        for name, days in sorted(devices.items()))


def median_us(result, kind):
    series = (result["timing"] or {"series": {}})["series"].get(kind)
    return series["summary"]["median_ns"] / 1e3 if series else None


def amount(value):
    return "–" if value is None else f"{value:.3g}" if value < 100 else f"{value:.0f}"


def share_of_limit(result, limit_of):
    """Percent of the limit of `limit_of`, cold; None without both."""
    us, limit = median_us(result, "cold") if result else None, median_us(limit_of, "limit")
    return None if us is None or limit is None else limit / us * 100


class Miss:
    """A goal that a cell does not reach, or another library that is ahead of it."""

    def __init__(self, key, how, ours, wanted, beside="", peer=None):
        self.key, self.how, self.ours, self.wanted, self.beside, self.peer = key, how, ours, wanted, beside, peer

    def line(self):
        op, dtype, tokens, hidden = self.key
        shape = f"| `{OPERATIONS[op].function}` | {dtype} | {tokens} x {hidden} |"
        if self.peer is None:
            return f"{shape} {self.ours} | {self.wanted} | {self.beside} |"
        return f"{shape} {self.how} | {amount(self.ours)} | {amount(self.wanted)} | {self.peer} | {self.wanted / self.ours:.3f}x |"


def beside_peer(key, ours, modes, which, how=""):
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
            misses.append(Miss(key, mode + how, us, best, peer=row[which]))
    return " / ".join(texts) if set(texts) - {"–"} else "–", misses


def missed_goals(key, result, dependent):
    """The text of a cell's goal, and what it misses of it."""
    op, _, tokens, hidden = key
    share, dependent_share = share_of_limit(result, result), share_of_limit(dependent, result)
    beside = "" if dependent_share is None else f"{dependent_share:.1f} %"
    if tokens == 1 and hidden in OPERATIONS[op].few:
        goals = OPERATIONS[op].few[hidden]
        times = [median_us(each, "cold") if each else None for each in (result, dependent)]
        misses = [Miss(key, "", f"{ours:.2f} us{how}", f"{goal:.2f} us") for ours, goal, how in zip(times, goals, ("", ", dependent"))
                  if ours is not None and ours > goal + 0.005]
        return f"{goals[0]:.2f} / {goals[1]:.2f} us", misses
    goal = goal_percent(op, tokens, hidden)
    if goal is None:
        return "–", []
    return f"{goal} %", [Miss(key, "", f"{share:.1f} %", f"{goal} %", beside)] if share is not None and share < goal - 0.05 else []


def cell_text(key, result, dependent, modes, now):
    """One row of a table, and what of it misses a goal or is behind. `dependent` may be None. `modes` has the peers of the
    CSV, `now` those of this run."""
    op, dtype, tokens, hidden = key
    for each in (result, dependent):
        if each is not None and each["verdict"] != "right":
            return f"| {tokens} | {hidden} | {dtype} | {each['verdict']}: {each['reason']} |" + " |" * (10 if now is not None else 9), [
                Miss(key, "", each["verdict"], "right")]
    goal_text, misses = missed_goals(key, result, dependent)
    plain_peer, behind = beside_peer(key, {mode: median_us(result, mode) for mode in ("cold", "warm")}, modes, "best_nonpdl_peer")
    misses += behind
    dependent_peer = "–"
    if dependent:
        dependent_peer, behind = beside_peer(key, {mode: median_us(dependent, mode) for mode in ("cold", "warm")}, modes, "best_peer",
                                             ", dependent")
        misses += behind
    shares = [share_of_limit(each, result) for each in (result, dependent)]
    share, dependent_share = ("–" if each is None else f"{each:.1f} %" for each in shares)
    text = (f"| {tokens} | {hidden} | {dtype} | {amount(median_us(result, 'cold'))} | {amount(median_us(result, 'warm'))} | {share} "
            f"| {goal_text} | {amount(median_us(dependent, 'cold') if dependent else None)} | {dependent_share} | {plain_peer} "
            f"| {dependent_peer} |")
    if now is not None:
        # Both by the same program, so that what it adds to every call is on both sides.
        ours = {mode: row.get("ours_us") for mode, row in now.items()}
        now_text, behind = beside_peer(key, ours, now, "best_nonpdl_peer", ", this run")
        text += f" {now_text} |"
        misses += behind
    return text, misses


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


# Why goals are missed: a text for each of the groups, and which cells it is for.
REASONS = [
    (lambda op, tokens: tokens == 128 and op in ("rms_norm", "fused_add_rms_norm", "layer_norm", "softmax", "fp8_quant"),
     """128 rows, a block each: one wave on 132 multiprocessors. Each block reads, reduces and writes once, and nothing
hides the reduction, which takes 0.1 us (float8) to 1 us (layer_norm of 16,384 columns) that a stream does not need. Parts
left out one at a time (128 x 4,096): the barrier and what follows it 0.16 us of rms_norm and 0.18 us of layer_norm, 0.11 and
0.08 us more than of one row, likely the wait for the last part of a row, while a stream writes what came first; the shuffles
of a warp 0.06 us, weights 0.05 us, weights and bias 0.11 us. With dependent launch the next kernel's beginning hides it. Kept: four
sums side by side and the warps' results read eight at once, addresses and parameters ahead of the row, two sums through the
same shuffles, half of the threads where instructions hold it up (norms), points that need no reduction (layer_norm,
softmax). Tried: the sum of a warp by tensor cores (2 to 8 % slower), weights multiplied ahead of the barrier (up to 5 %
slower), blocks of 1,024 threads (softmax, up to 3 % slower), sums as whole numbers in place of shuffles (0 to 2 % faster,
with fewer bits), the plain launch without the wait for the previous kernel (no change)."""),
    (lambda op, tokens: op == "rope" and tokens < 4096,
     """A position is read before the cosines that it leads to: two latencies of the memory, one behind the other,
where a stream has one. Kept: query and key, which do not need the position, do not wait for it. Tried: the position through
a barrier (2.81 in place of 2.52 us), four heads a thread, one head a thread with 1,024 tokens (9.2 in place of 8.7 us), the
signal to the next kernel right behind the wait (128 tokens no better, one token 1.27 in place of 1.01 us with dependent
launch)."""),
    (lambda op, tokens: op == "layer_norm" and tokens == 1024,
     """Two sums and two operands of weights need 40 registers: from 4,096 columns on 1,024 rows are 1.3 to 2.6 waves of
blocks, the last of which is not full. Tried: 32 registers with weights read last (7.20 in place of 7.19 us with 4,096
columns, 13.9 in place of 13.0 us with 8,192), eight vectors a thread (26.1 in place of 25.2 us with 16,384)."""),
    (lambda op, tokens: op in ("layer_norm", "softmax") and tokens >= 4096,
     """With 4,096 tokens 0.2 to 0.5 us more than the stream, of 13 to 24; likely the first rows' reads and the last rows'
reductions, which nothing overlaps. Devices differ: the same code of rms_norm of 4,096 x 8,192 takes 45.8 us on one and
46.2 us on this one, where streams are the same. Tried: one vector a thread in blocks of 512 (softmax 24.4 in place of 23.9 us),
layer_norm with weights read last (24.6 in place of 23.9) and without the instructions of dependent launch (24.5)."""),
    (lambda op, tokens: op in ("rms_norm", "fused_add_rms_norm") and tokens >= 1024,
     """What limits it is not known. It is neither the instructions of dependent launch (without them the same to 0.2 %,
with 4,096 tokens) nor waves that are not full (there are 8 to 250). Devices differ by 1 %, where streams are the same."""),
]


def write_goals(misses, cells):
    goals = [miss for miss in misses if miss.peer is None]
    print(f"### Goals that are missed\n\nIn {len({miss.key for miss in goals})} of {len(cells)} cells with a goal.\n")
    print("| function | type | tokens x size | reached | goal | with dependent launch |\n|---|---|---|---|---|---|")
    print("\n".join(miss.line() for miss in goals) + "\n")
    for applies, text in REASONS:
        names = sorted({f"`{OPERATIONS[miss.key[0]].function}`" for miss in goals if applies(miss.key[0], miss.key[2])})
        tokens = sorted({miss.key[2] for miss in goals if applies(miss.key[0], miss.key[2])})
        if names:
            print(f"- {', '.join(names)}, {', '.join(f'{count:,}' for count in tokens)} tokens. {' '.join(text.split())}")


def write_behind(misses, compared):
    behind = [miss for miss in misses if miss.peer is not None]
    print(f"\n### Where another library is ahead\n\nBy more than 0.5 %, in {len({miss.key for miss in behind})} of {compared} cells.\n")
    print("| function | type | tokens x size | cache | this, us | other, us | other | ratio |\n|---|---|---|---|---|---|---|---|")
    print("\n".join(miss.line() for miss in behind))


# The same of the other device.
REASON_OF_OTHER = """The memory of an H200 brings 1.4 times as much in the same time as that of an H100, so that a multiprocessor likely
needs as many more reads at a time, and what is not reading (the launch, reductions, the last rows) weighs more. Tried there: twice the vectors a
thread in half of the threads (layer_norm of 1,024 x 8,192 12.7 in place of 10.6 us, rms_norm of 4,096 x 16,384 67.9 in place of
66.3 us), layer_norm with weights read last (4,096 x 8,192 34.9 in place of 35.4 us, but 1,024 x 8,192 11.1 in place of 10.6 us),
the residual of fused add written behind the barrier (4,096 x 4,096 38.2 in place of 34.3 us)."""


def write_other(folders, rows):
    """What share of its limit another device reaches, beside that of this one."""
    others, _, devices = read_results(folders)
    keys = sorted((key for key in others if key in rows), key=lambda key: (list(OPERATIONS).index(key[0]), key))
    shares = {key: share_of_limit(others[key], others[key]) for key in keys}
    goals = {key: goal_percent(key[0], key[2], key[3]) for key in keys}
    with_goal = [key for key in keys if goals[key] is not None]
    met = [key for key in with_goal if shares[key] is not None and shares[key] >= goals[key] - 0.05]
    print(f"\n### Beside another device\n\n{devices_text(devices)}, against its own limit; {len(met)} of {len(with_goal)} goals "
          f"for shares of the limit are met there. {' '.join(REASON_OF_OTHER.split())}\n")
    print("| function | type | tokens x size | there, us | of the limit there | here | goal |\n|---|---|---|---|---|---|---|")
    for key in keys:
        op, dtype, tokens, hidden = key
        here = share_of_limit(rows[key], rows[key])
        percent = ["–" if share is None else f"{share:.1f} %" for share in (shares[key], here)]
        goal = "–" if goals[key] is None else f"{goals[key]} %"
        print(f"| `{OPERATIONS[op].function}` | {dtype} | {tokens} x {hidden} | {amount(median_us(others[key], 'cold'))} | {percent[0]} "
              f"| {percent[1]} | {goal} |")


def write(folders, note="", others=()):
    rows, dependent, devices = read_results(folders)
    of_file, (now, texts) = peers(), peers_now(folders)
    print(HEAD)
    print("## Measured\n")
    if not rows:
        print("Not yet all in one run. What was measured of a kernel, and when, is in its README.")
        return
    count = sum(map(len, devices.values()))
    print(f"{devices_text(devices)}, by `tests/gpu/tables.py`, which is `tests/gpu/run.sh run FOLDER tables`"
          + (f"; parts of it on each of {count} devices." if count > 1 else ".") + (f" {note}" if note else ""))
    print("""
Median of calls inside CUDA graphs, in microseconds; `cold`: nothing of the operands in the cache; `warm`: all of them.
The limit is the fastest of up to eighteen plain streams of the same traffic in the same state of the cache, without
dependent launch, sampled in the same turns. `dependent`: cold, with programmatic dependent launch, and its share of that
limit. `peer`: how many times faster than the best other library that does without dependent launch, cold / warm; `peer,
dependent`: the same with it, against the best of all. A goal of two times is for one token without and with it.

These peers are those of `tests/gpu/peers-h100.csv`, measured on another day by another program; names that end in `_pdl`
use dependent launch. What they differ by from other programs is not known below 5 us.
""")
    now = {key: modes for key, modes in now.items() if any("ours_us" in row for row in modes.values())}
    if now:
        print("`this run`: against the best of those without dependent launch that `tests/bench/gpu_peers.py` measured beside this, "
              "both by that program.\n")
        print("\n".join(texts) + "\n")
    misses = []
    for op in OPERATIONS:
        keys = sorted(key for key in rows if key[0] == op)
        if not keys:
            continue
        print(f"### {OPERATIONS[op].function}\n")
        print("| tokens | size | type | cold | warm | of the limit | goal | dependent | of the limit | peer | peer, dependent |"
              + (" this run |" if now else "") + "\n|" + "---|" * (12 if now else 11))
        for key in keys:
            text, missed = cell_text(key, rows[key], dependent.get(key), of_file.get(key, {}), now.get(key, {}) if now else None)
            print(text)
            misses += missed
        print()
    write_goals(misses, [key for key in rows if missed_goals(key, rows[key], None)[0] != "–"])
    write_behind(misses, sum(key in of_file for key in rows))
    if others:
        write_other(others, rows)


def page_table(op, rows, dependent):
    """The table of one function in its kernel's README: tokens down, sizes across, bfloat16."""
    keys = [key for key in rows if key[0] == op and key[1] == "bf16"]
    sizes = sorted({key[3] for key in keys})
    lines = ["| tokens | " + " | ".join(f"{size:,}" for size in sizes) + " |", "|" + "---|" * (len(sizes) + 1)]
    for tokens in sorted({key[2] for key in keys}):
        cells = []
        for size in sizes:
            key = (op, "bf16", tokens, size)
            us = median_us(rows[key], "cold") if key in rows else None
            if us is None:
                cells.append("–")
                continue
            digits = 2 if us < 100 else 1 if us < 1000 else 0
            text = f"{us:.{digits}f} us, {share_of_limit(rows[key], rows[key]):.1f} %"
            beside = median_us(dependent[key], "cold") if key in dependent else None
            cells.append(text if beside is None else f"{text} ({beside:.2f} us)")
        lines.append(f"| {tokens:,} | " + " | ".join(cells) + " |")
    return lines


def replace_tables(lines, tables, when):
    """`lines` of a README with its tables of tokens, in their order, replaced, and the day and machine of its measurements."""
    out, tables, skips = [], list(tables), False
    for line in lines:
        if line.startswith("| tokens |"):
            out += tables.pop(0)
            skips = True
        elif skips and line.startswith("|"):
            continue
        else:
            skips = False
            out.append(f"On an {when}, bfloat16, by `tests/gpu/tables.py`: median of calls inside" if line.startswith("On an NVIDIA") else line)
    if tables:
        raise SystemExit(f"{len(tables)} tables more than the page has")
    return out


def pages(folders):
    """Writes what was measured into the README of each kernel."""
    rows, dependent, devices = read_results(folders)
    for kernel in sorted({operation.kernel for operation in OPERATIONS.values()}):
        file = HERE.parent.parent / "kernels" / kernel.replace("-", "_") / "README.md"
        tables = [page_table(op, rows, dependent) for op, operation in OPERATIONS.items()
                  if operation.kernel == kernel and any(key[0] == op for key in rows)]
        if tables:
            file.write_text("\n".join(replace_tables(file.read_text().rstrip("\n").split("\n"), tables, devices_text(devices))) + "\n")


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    commands = parser.add_subparsers(dest="command", required=True)
    command = commands.add_parser("measure")
    for name in ("program", "provider", "hub", "out"):
        command.add_argument(f"--{name}", type=Path, required=True)
    command.add_argument("--kernel", action="append", default=[])
    command.add_argument("--least-tokens", type=int, default=0)
    command.add_argument("--most-tokens", type=int, default=1 << 30)
    command.add_argument("--budget", type=float, default=0.4)
    command.add_argument("--device", default="cuda")
    command.add_argument("--dependent", action="store_true")
    command = commands.add_parser("write")
    command.add_argument("folders", nargs="+")
    command.add_argument("--note", default="")
    command.add_argument("--other", action="append", default=[])
    commands.add_parser("pages").add_argument("folders", nargs="+")
    options = parser.parse_args()
    if options.command == "write":
        return write(options.folders, options.note, options.other)
    if options.command == "pages":
        return pages(options.folders)
    return measure(options)


if __name__ == "__main__":
    sys.exit(main())
