"""Draws random sets of build variants and random systems, and compares which variants the Python package `kernels` and our
program accept, and in which order.

    python tests/interop/variants_differential.py --program build/release/kernels [--rounds 2000] [--seed N]

Must be run with an interpreter that has the package. Names whose order the package leaves to chance (equal sort keys)
may come in any order on its side; ours is held to be the same for every order of the input.
"""

import argparse
import json
import random
import subprocess
import sys
import tempfile
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from packaging.version import Version

from kernels import variants as package
from kernels.backends import parse_backend

BACKENDS = ["cpu", "metal", "neuron", "tpu", "cu118", "cu124", "cu126", "cu128", "cu129", "cu130", "cu1210", "rocm63",
            "rocm64", "rocm70", "rocm71", "rocm710", "xpu20252", "xpu20253", "cann85", "cann81"]
ODD_NAMES = ["torch", "torch-", "torch-cuda-x86_64-linux", "torch2-cpu-x86_64-linux", "torch210-cu9-x86_64-linux", "jax06-cuda",
             "torch210-cpu--linux", "torch100-cpu-x86_64-linux", "torch210-cu0128-x86_64-linux", "Torch210-cpu-x86_64-linux",
             "torch210-cxx14-cu128-x86_64-linux", "torch-stable-abi-cu128-x86_64-linux", "torch-stable-abi2-cu128-x86_64-linux",
             "torch-stable-abi29-cxx11-cpu-x86_64-linux", "tvm-ffi-cu128-x86_64-linux", "tvm-ffi0-cpu-x86_64-linux", "__pycache__",
             "torch210-cu128-x86_64", "torch210-cu128-x86_64-linux-gnu", "torch-stable-abi", "torch-stable-abix", "tvm", "tvm-ffi",
             "torch210", "torch210-", "torch210-cxx11", "torch0210-cpu-x86_64-linux", "torch210-hip63-x86_64-linux"]
NOARCH = ["cpu", "cuda", "metal", "neuron", "npu", "cann", "rocm", "tpu", "xpu", "universal"]


def random_name(rng: random.Random) -> str:
    kind = rng.random()
    if kind < 0.08:
        return rng.choice(ODD_NAMES)
    if kind < 0.25:
        return "torch-" + rng.choice(NOARCH)
    framework = rng.choice(["torch210", "torch29", "torch211", "torch210-cxx11", "torch210-cxx98", "torch29-cxx11", "torch-stable-abi29",
                            "torch-stable-abi210", "torch-stable-abi211", "torch-stable-abi30", "tvm-ffi01", "tvm-ffi010", "tvm-ffi10"])
    cpu, system = rng.choice([("x86_64", "linux")] * 6 + [("aarch64", "linux"), ("aarch64", "darwin"), ("x86_64", "windows")])
    return f"{framework}-{rng.choice(BACKENDS)}-{cpu}-{system}"


def random_system(rng: random.Random) -> dict:
    cpu, system = rng.choice([("x86_64", "linux")] * 5 + [("aarch64", "linux"), ("aarch64", "darwin"), ("x86_64", "windows")])
    return {
        "os": system,
        "cpu": cpu,
        "backend": rng.choice(BACKENDS),
        "torch": rng.choice([None, "2.9", "2.10", "2.10", "2.11", "3.0"]),
        "cxx11": rng.choice([True, True, True, False]),
        "tvm-ffi": rng.choice([None, "0.1", "0.10", "1.0"]),
        "macos": rng.choice([None, "15.7", "26.0", "26.1"]) if system == "darwin" else None,
    }


def target_text(system: dict) -> str:
    backend = parse_backend(system["backend"])
    version = getattr(backend, "version", None)
    # The package compares the versions as text, and so must the description say 71.0 for `rocm710`.
    own = f"{backend.name}={version.major}.{version.minor}" if version is not None else f"backend={backend.name}"
    parts = [f"os={system['os']}", f"cpu={system['cpu']}", own]
    parts += [f"{key}={system[key]}" for key in ("torch", "tvm-ffi", "macos") if system[key] is not None]
    if system["os"] == "linux":
        parts.append(f"cxx11-abi={'true' if system['cxx11'] else 'false'}")
    return ",".join(parts)


def package_answer(names: list, system: dict) -> tuple:
    parsed = {}
    for name in names:
        try:
            variant = package.parse_variant(name)
        except ValueError:
            continue
        if variant.variant_str == name:  # the others are found, and then missing on disk
            parsed[name] = variant
    arguments = {
        "selected_backend": parse_backend(system["backend"]),
        "cpu": system["cpu"],
        "os": system["os"],
        "torch_version": Version(system["torch"]) if system["torch"] else None,
        "torch_cxx11_abi": system["cxx11"] if system["os"] == "linux" and system["torch"] else None,
        "tvm_ffi_version": Version(system["tvm-ffi"]) if system["tvm-ffi"] else None,
        "macos_version": Version(system["macos"]) if system["macos"] else None,
    }
    ordered = sorted(parsed.values(), key=lambda variant: variant.variant_str)
    forward, _ = package._resolve_variant_for_system(variants=ordered, **arguments)
    backward, _ = package._resolve_variant_for_system(variants=ordered[::-1], **arguments)
    return [v.variant_str for v in forward], [v.variant_str for v in backward]


def our_answer(program: str, names: list, system: dict) -> list:
    with tempfile.TemporaryDirectory() as folder:
        for name in names:
            (Path(folder) / "build" / name).mkdir(parents=True)
        result = subprocess.run([program, "variants", folder, "--json", "--target", target_text(system)],
                                capture_output=True, text=True, timeout=60)
        if result.returncode not in (0, 1):
            raise AssertionError(f"{target_text(system)}: {result.stderr}")
        return accepted_names(json.loads(result.stdout))


def accepted_names(answer: dict) -> list:
    revision = answer["revisions"][0] if "revisions" in answer else answer
    return [item["variant"] for item in revision["variants"] if item["compatible"]]


def agree(ours: list, forward: list, backward: list) -> bool:
    """Same set; and wherever the package's order does not depend on the order of its input, ours is the same."""
    if sorted(ours) != sorted(forward):
        return False
    ahead = {(a, b) for i, a in enumerate(forward) for b in forward[i + 1:]}
    ahead &= {(a, b) for i, a in enumerate(backward) for b in backward[i + 1:]}
    place = {name: i for i, name in enumerate(ours)}
    return all(place[a] < place[b] for a, b in ahead)


def main() -> int:
    parser = argparse.ArgumentParser()
    parser.add_argument("--program", required=True)
    parser.add_argument("--rounds", type=int, default=2000)
    parser.add_argument("--seed", type=int, default=random.SystemRandom().randrange(2**32))
    options = parser.parse_args()
    print(f"seed {options.seed}")
    rng = random.Random(options.seed)
    rounds = [(sorted({random_name(rng) for _ in range(rng.randint(1, 40))}), random_system(rng)) for _ in range(options.rounds)]
    accepted = failed = 0
    with ThreadPoolExecutor(2) as pool:
        for (names, system), ours in zip(rounds, pool.map(lambda r: our_answer(options.program, *r), rounds)):
            forward, backward = package_answer(names, system)
            accepted += len(forward)
            if agree(ours, forward, backward):
                continue
            failed += 1
            if failed <= 5:
                print(f"differs on {target_text(system)} with {names}\n  package {forward}\n  ours    {ours}")
    print(f"{options.rounds} rounds, {accepted} accepted variants, {failed} differences")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
