"""What other libraries need for the operations of kernels/, on this GPU, in this run.

    gpu_peers.py --out FOLDER [--hub HUB] [--op NAME …] [--tokens N …] [--hidden N …] [--dtype bf16|fp16 …]

Contenders are PyTorch (eager and compiled), plain Triton kernels, and, where they are installed, liger-kernel,
flashinfer and quack-kernels. Their versions are written beside the times, and why one could not be measured. With
`--hub`, a folder of built repositories, ours are one of them (`kernels`), by apache-tvm-ffi: what is compared comes
from one program. The method is that of `kernels bench`: many calls in one CUDA graph, each with operands of its own,
events around its replay, the cache filled with other things before it (`cold`), or one set of operands that stays
there (`warm`). tests/gpu/tables.py puts FOLDER/peers.json into its tables.
"""

import argparse
import csv
import importlib
import importlib.metadata
import json
import statistics
import time
from pathlib import Path

import torch
import torch._dynamo
import torch.nn.functional as F

DEVICE = "cuda"
EPS = 1e-6
DTYPES = {"bf16": torch.bfloat16, "fp16": torch.float16}
HEAD_DIM, KV_HEADS, POSITIONS = 128, 8, 8192


def random(*sizes, dtype):
    return torch.randn(*sizes, dtype=dtype, device=DEVICE)


def gated_operands(tokens, hidden, dtype):
    return {"x": random(tokens, 2 * hidden, dtype=dtype), "out": torch.empty(tokens, hidden, dtype=dtype, device=DEVICE)}


def norm_operands(tokens, hidden, dtype):
    return {"x": random(tokens, hidden, dtype=dtype), "weight": random(hidden, dtype=dtype), "bias": random(hidden, dtype=dtype),
            "residual": random(tokens, hidden, dtype=dtype), "out": torch.empty(tokens, hidden, dtype=dtype, device=DEVICE)}


def plain_operands(tokens, hidden, dtype):
    return {"x": random(tokens, hidden, dtype=dtype), "out": torch.empty(tokens, hidden, dtype=dtype, device=DEVICE)}


def rope_operands(tokens, hidden, dtype):
    angles = torch.rand(POSITIONS, HEAD_DIM // 2, device=DEVICE) * 6.28
    positions = torch.randint(POSITIONS, (tokens,), device=DEVICE)
    cos, sin = (torch.cat([part[positions]] * 2, dim=-1).to(dtype) for part in (angles.cos(), angles.sin()))
    return {"query": random(tokens, hidden, dtype=dtype), "key": random(tokens, KV_HEADS * HEAD_DIM, dtype=dtype), "cos": cos, "sin": sin,
            "positions": positions, "cache": torch.cat([angles.cos(), angles.sin()], dim=-1)}


OPERANDS = {"silu_and_mul": gated_operands, "gelu_and_mul": gated_operands, "gelu_tanh_and_mul": gated_operands, "rms_norm": norm_operands,
            "fused_add_rms_norm": norm_operands, "layer_norm": norm_operands, "softmax": plain_operands, "fp8_quant": plain_operands,
            "rope": rope_operands}


# PyTorch, as people write these operations.


def eager_gated(function):
    def run(o):
        gate, up = o["x"].chunk(2, dim=-1)
        return function(gate) * up
    return run


def eager_fused_add(o):
    o["residual"].add_(o["x"])
    o["x"].copy_(F.rms_norm(o["residual"], o["weight"].shape, o["weight"], EPS))


def rotated(x):
    first, second = x.chunk(2, dim=-1)
    return torch.cat((-second, first), dim=-1)


def eager_rope(o):
    tokens = o["query"].shape[0]
    for name in ("query", "key"):
        heads = o[name].view(tokens, -1, HEAD_DIM)
        heads.copy_(heads * o["cos"][:, None] + rotated(heads) * o["sin"][:, None])


def eager_fp8(o):
    x = o["x"].float()
    scale = (x.abs().amax(dim=-1, keepdim=True) / 448.0).clamp(min=1.0 / (448.0 * 512.0))
    return (x / scale).clamp(-448.0, 448.0).to(torch.float8_e4m3fn), scale


EAGER = {
    "silu_and_mul": eager_gated(F.silu),
    "gelu_and_mul": eager_gated(F.gelu),
    "gelu_tanh_and_mul": eager_gated(lambda x: F.gelu(x, approximate="tanh")),
    "rms_norm": lambda o: F.rms_norm(o["x"], o["weight"].shape, o["weight"], EPS),
    "fused_add_rms_norm": eager_fused_add,
    "layer_norm": lambda o: F.layer_norm(o["x"], o["weight"].shape, o["weight"], o["bias"], EPS),
    "softmax": lambda o: torch.softmax(o["x"], dim=-1),
    "fp8_quant": eager_fp8,
    "rope": eager_rope,
}


def float_parameters(o):
    return o["weight"].float(), o["bias"].float()


def flashinfer_contenders():
    """Its CUDA kernels, without programmatic dependent launch."""
    import flashinfer

    norm = importlib.import_module("flashinfer.norm").get_norm_module()
    return {
        "silu_and_mul": lambda o: flashinfer.silu_and_mul(o["x"], o["out"], enable_pdl=False),
        "gelu_and_mul": lambda o: flashinfer.gelu_and_mul(o["x"], o["out"], enable_pdl=False),
        "gelu_tanh_and_mul": lambda o: flashinfer.gelu_tanh_and_mul(o["x"], o["out"], enable_pdl=False),
        "rms_norm": lambda o: norm.rmsnorm(o["out"], o["x"], o["weight"], EPS, False),
        "fused_add_rms_norm": lambda o: norm.fused_add_rmsnorm(o["x"], o["residual"], o["weight"], EPS, False),
        # Its weight and bias are float32.
        "layer_norm": (float_parameters, lambda o: flashinfer.norm.layernorm(o["x"], *o["parts"], EPS)),
        "rope": lambda o: flashinfer.rope.apply_rope_with_cos_sin_cache_inplace(o["positions"], o["query"], o["key"], HEAD_DIM, o["cache"]),
    }


def flashinfer_pdl_contenders():
    """As it comes: with dependent launch, and norms in CuTe-DSL."""
    import flashinfer

    return {
        "silu_and_mul": lambda o: flashinfer.silu_and_mul(o["x"], o["out"]),
        "gelu_and_mul": lambda o: flashinfer.gelu_and_mul(o["x"], o["out"]),
        "gelu_tanh_and_mul": lambda o: flashinfer.gelu_tanh_and_mul(o["x"], o["out"]),
        "rms_norm": lambda o: flashinfer.norm.rmsnorm(o["x"], o["weight"], EPS, out=o["out"]),
        "fused_add_rms_norm": lambda o: flashinfer.norm.fused_add_rmsnorm(o["x"], o["residual"], o["weight"], EPS),
    }


def liger_contenders():
    ops = {name: importlib.import_module(f"liger_kernel.ops.{name}")
           for name in ("rms_norm", "layer_norm", "softmax", "rope", "swiglu", "geglu", "fused_add_rms_norm")}

    def halves(o):
        return (part.contiguous() for part in o["x"].chunk(2, dim=-1))

    def rope(o):
        tokens = o["query"].shape[0]
        heads = [o[name].view(1, tokens, -1, HEAD_DIM).transpose(1, 2) for name in ("query", "key")]
        return ops["rope"].LigerRopeFunction.apply(*heads, o["cos"][None], o["sin"][None])

    return {
        "silu_and_mul": lambda o: ops["swiglu"].LigerFusedGateUpSiLUMulFunction.apply(o["x"]),
        # Its gate and up are two tensors, as two products leave them.
        "gelu_tanh_and_mul": (halves, lambda o: ops["geglu"].LigerGELUMulFunction.apply(*o["parts"])),
        "rms_norm": lambda o: ops["rms_norm"].LigerRMSNormFunction.apply(o["x"], o["weight"], EPS),
        "fused_add_rms_norm": lambda o: ops["fused_add_rms_norm"].LigerFusedAddRMSNormFunction.apply(o["x"], o["residual"], o["weight"], EPS),
        "layer_norm": lambda o: ops["layer_norm"].LigerLayerNormFunction.apply(o["x"], o["weight"], o["bias"], EPS),
        "softmax": lambda o: ops["softmax"].LigerSoftmaxFunction.apply(o["x"]),
        "rope": rope,
    }


def quack_contenders():
    rmsnorm = importlib.import_module("quack.rmsnorm")
    softmax = importlib.import_module("quack.softmax")
    return {
        "rms_norm": lambda o: rmsnorm.rmsnorm_fwd(o["x"], o["weight"], eps=EPS),
        "fused_add_rms_norm": lambda o: rmsnorm.rmsnorm_fwd(o["x"], o["weight"], residual=o["residual"], eps=EPS),
        "layer_norm": (float_parameters, lambda o: rmsnorm.layernorm_fwd(o["x"], *o["parts"], EPS)),
        "softmax": lambda o: softmax.softmax(o["x"]),
    }


def triton_contenders():
    import triton
    import triton.language as tl

    @triton.jit
    def gated_kernel(x, out, hidden, kind: tl.constexpr, block: tl.constexpr):
        row = tl.program_id(1).to(tl.int64)
        columns = tl.program_id(0) * block + tl.arange(0, block)
        mask = columns < hidden
        gate = tl.load(x + row * 2 * hidden + columns, mask=mask).to(tl.float32)
        up = tl.load(x + row * 2 * hidden + hidden + columns, mask=mask).to(tl.float32)
        if kind == 0:
            value = gate * tl.sigmoid(gate)
        elif kind == 1:
            value = 0.5 * gate * (1 + tl.erf(gate * 0.7071067811865476))
        else:
            value = gate * tl.sigmoid(1.5957691216057308 * (gate + 0.044715 * gate * gate * gate))
        tl.store(out + row * hidden + columns, value * up, mask=mask)

    @triton.jit
    def norm_kernel(x, residual, weight, bias, out, hidden, eps, kind: tl.constexpr, block: tl.constexpr):
        row = tl.program_id(0).to(tl.int64)
        columns = tl.arange(0, block)
        mask = columns < hidden
        value = tl.load(x + row * hidden + columns, mask=mask, other=0.0).to(tl.float32)
        if kind == 1:
            value += tl.load(residual + row * hidden + columns, mask=mask, other=0.0).to(tl.float32)
            tl.store(residual + row * hidden + columns, value, mask=mask)
        if kind == 2:
            value = tl.where(mask, value - tl.sum(value) / hidden, 0.0)
        value *= tl.rsqrt(tl.sum(value * value) / hidden + eps)
        value *= tl.load(weight + columns, mask=mask).to(tl.float32)
        if kind == 2:
            value += tl.load(bias + columns, mask=mask).to(tl.float32)
        tl.store(out + row * hidden + columns, value, mask=mask)

    @triton.jit
    def softmax_kernel(x, out, hidden, block: tl.constexpr):
        row = tl.program_id(0).to(tl.int64)
        columns = tl.arange(0, block)
        mask = columns < hidden
        value = tl.load(x + row * hidden + columns, mask=mask, other=-float("inf")).to(tl.float32)
        value = tl.exp(value - tl.max(value))
        tl.store(out + row * hidden + columns, value / tl.sum(value), mask=mask)

    def gated(kind):
        def run(o):
            rows, hidden = o["out"].shape
            block = 1024
            gated_kernel[(triton.cdiv(hidden, block), rows)](o["x"], o["out"], hidden, kind, block, num_warps=4)
        return run

    def norm(kind, warps):
        def run(o):
            rows, hidden = o["x"].shape
            out = o["x"] if kind == 1 else o["out"]
            norm_kernel[(rows,)](o["x"], o["residual"], o["weight"], o["bias"], out, hidden, EPS, kind, triton.next_power_of_2(hidden),
                                 num_warps=warps)
        return run

    def softmax(warps):
        def run(o):
            rows, hidden = o["x"].shape
            softmax_kernel[(rows,)](o["x"], o["out"], hidden, triton.next_power_of_2(hidden), num_warps=warps)
        return run

    contenders = {"triton": {"silu_and_mul": gated(0), "gelu_and_mul": gated(1), "gelu_tanh_and_mul": gated(2)}}
    for warps in (4, 8, 16):
        contenders[f"triton_w{warps}"] = {"rms_norm": norm(0, warps), "fused_add_rms_norm": norm(1, warps), "layer_norm": norm(2, warps),
                                          "softmax": softmax(warps)}
    return contenders


def our_contenders(hub):
    """The CUDA variants that were built here."""
    import tvm_ffi

    def load(name):
        found = sorted((hub / name / "build").glob("*-cu[0-9]*/*.so"))
        if not found:
            raise FileNotFoundError(f"{hub / name} has no CUDA variant")
        return tvm_ffi.load_module(str(found[0]))

    def fp8_parts(o):
        return torch.empty_like(o["x"], dtype=torch.float8_e4m3fn), torch.empty(o["x"].shape[0], dtype=torch.float32, device=DEVICE)

    def rope_parts(o):
        tokens = o["query"].shape[0]
        return [*(o[name].view(tokens, -1, HEAD_DIM) for name in ("query", "key")), o["positions"], o["cache"].to(o["query"].dtype)]

    activation, norm, layer_norm, softmax, fp8, rotary = (
        load(name) for name in ("activation", "rmsnorm", "layer-norm", "softmax", "quantize-fp8", "rotary"))
    return {
        "silu_and_mul": lambda o: activation.silu_and_mul(o["out"], o["x"]),
        "gelu_and_mul": lambda o: activation.gelu_and_mul(o["out"], o["x"]),
        "gelu_tanh_and_mul": lambda o: activation.gelu_tanh_and_mul(o["out"], o["x"]),
        "rms_norm": lambda o: norm.rms_norm(o["out"], o["x"], o["weight"], EPS),
        "fused_add_rms_norm": lambda o: norm.fused_add_rms_norm(o["x"], o["residual"], o["weight"], EPS),
        "layer_norm": lambda o: layer_norm.layer_norm(o["out"], o["x"], o["weight"], o["bias"], EPS),
        "softmax": lambda o: softmax.softmax(o["out"], o["x"]),
        "fp8_quant": (fp8_parts, lambda o: fp8.quantize_fp8_per_token(*o["parts"], o["x"])),
        "rope": (rope_parts, lambda o: rotary.rotary_neox(*o["parts"])),
    }


def all_contenders(hub):
    """{contender: {op: function, or (what is prepared from the operands, function)}}, and why others are not there."""
    contenders, absent = {"eager": EAGER}, {}
    contenders["compile"] = {op: torch.compile(function, dynamic=False) for op, function in EAGER.items()}
    makers = [("flashinfer", flashinfer_contenders), ("flashinfer_pdl", flashinfer_pdl_contenders), ("liger", liger_contenders),
              ("quack", quack_contenders)]
    if hub is not None:
        makers.append(("kernels", lambda: our_contenders(hub)))
    for name, make in makers:
        try:
            contenders[name] = make()
        except Exception as error:
            absent[name] = f"{type(error).__name__}: {error}"[:300]
    try:
        contenders.update(triton_contenders())
    except Exception as error:
        absent["triton"] = f"{type(error).__name__}: {error}"[:300]
    return contenders, absent


def versions():
    found = {"torch": torch.__version__}
    for package in ("triton", "flashinfer-python", "liger-kernel", "quack-kernels", "nvidia-cutlass-dsl", "apache-tvm-ffi"):
        try:
            found[package] = importlib.metadata.version(package)
        except importlib.metadata.PackageNotFoundError:
            pass
    return found


class Timer:
    """Times of calls inside CUDA graphs."""

    def __init__(self):
        self.sweep = torch.ones(128 << 20, dtype=torch.float32, device=DEVICE)

    def replay_us(self, graph, calls, cold):
        times = []
        for _ in range(9):
            # The device is busy until all that follows is on the stream: else it would wait for the host, and that would
            # be measured.
            torch.cuda._sleep(4_000_000)
            if cold:
                self.sweep.amax()
            begin, end = (torch.cuda.Event(enable_timing=True) for _ in range(2))
            begin.record()
            graph.replay()
            end.record()
            end.synchronize()
            times.append(begin.elapsed_time(end) * 1e3 / calls)
        return statistics.median(times[2:])

    def measure(self, run, make, cold):
        """Microseconds per call. `make` gives a set of operands; what calls return is kept, so that no two share memory."""
        sets = [make()]
        for _ in range(3):
            kept = [run(sets[0])]
        # As many as take a millisecond at half of the memory's rate, or 600 of the shortest: what a replay itself takes
        # counts for little.
        bytes_each = sum(part.numel() * part.element_size() for part in sets[0].values() if torch.is_tensor(part)) or 1
        calls = max(min(int(1.5e9 / bytes_each), 600), 2)
        sets += [make() for _ in range(calls - 1)] if cold else []
        graph = torch.cuda.CUDAGraph()
        kept = []
        with torch.cuda.graph(graph):
            for call in range(calls):
                kept.append(run(sets[call % len(sets)]))
        graph.replay()
        torch.cuda.synchronize()
        return self.replay_us(graph, calls, cold)


def measure_cell(timer, contender, op, tokens, hidden, dtype, modes):
    prepare, run = contender if isinstance(contender, tuple) else (None, contender)

    def make():
        operands = OPERANDS[op](tokens, hidden, DTYPES[dtype])
        if prepare is not None:
            operands["parts"] = tuple(prepare(operands))
        return operands

    return {mode: timer.measure(run, make, mode == "cold") for mode in modes}


def cells_of(options):
    cells = {}
    with open(options.cells, newline="") as file:
        for row in csv.DictReader(file):
            tokens, hidden = int(row["T"]), int(row["hidden"])
            if (row["mode"] in ("cold", "warm") and (not options.tokens or tokens in options.tokens)
                    and (not options.hidden or hidden in options.hidden) and (not options.op or row["op"] in options.op)
                    and (not options.dtype or row["dtype"] in options.dtype)):
                cells.setdefault((row["op"], row["dtype"], tokens, hidden), []).append(row["mode"])
    return cells


def save(out, rows, absent, failures):
    """After every cell, so that a run that is cut off has what it measured."""
    out.mkdir(parents=True, exist_ok=True)
    found = {"device": torch.cuda.get_device_name(), "day": time.strftime("%Y-%m-%d"), "versions": versions(), "absent": absent,
             "failures": [f"{key[0]}: {text}" for key, text in failures.items()], "rows": rows}
    (out / "peers.json").write_text(json.dumps(found))


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--hub", type=Path)
    parser.add_argument("--op", action="append", default=[])
    parser.add_argument("--tokens", type=int, action="append", default=[])
    parser.add_argument("--hidden", type=int, action="append", default=[])
    parser.add_argument("--dtype", action="append", default=[])
    parser.add_argument("--cells", type=Path, default=Path(__file__).resolve().parent.parent / "gpu" / "peers-h100.csv")
    options = parser.parse_args()
    torch.manual_seed(1)
    # Every shape is compiled for itself, however many there are.
    torch._dynamo.config.recompile_limit = torch._dynamo.config.accumulated_recompile_limit = 1 << 20
    contenders, absent = all_contenders(options.hub)
    timer, rows, failures = Timer(), [], {}
    for (op, dtype, tokens, hidden), modes in cells_of(options).items():
        for name, functions in contenders.items():
            if op not in functions or (name, op, dtype, hidden) in failures:
                continue
            try:
                times = measure_cell(timer, functions[op], op, tokens, hidden, dtype, modes)
            except Exception as error:
                failures[name, op, dtype, hidden] = f"{op} {dtype} {tokens} x {hidden}: {type(error).__name__}: {error}"[:300]
                continue
            rows += [{"op": op, "dtype": dtype, "tokens": tokens, "hidden": hidden, "mode": mode, "contender": name, "us": us}
                     for mode, us in times.items()]
            torch.cuda.empty_cache()
        save(options.out, rows, absent, failures)
    print((options.out / "peers.json").read_text().split('"rows"')[0], f"\n{len(rows)} times")


if __name__ == "__main__":
    main()
