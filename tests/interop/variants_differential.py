"""Draws random sets of build variants and random systems, and compares what the Python package `kernels` and we decide:
which variants are accepted, in which order, which names are none, and which test refused each of the others.

    python tests/interop/variants_differential.py --decisions build/release/tests/variant_decisions --rounds 100000 [--seed N]
    python tests/interop/variants_differential.py --program build/release/kernels --rounds 100

With `--decisions` one process answers all rounds; with `--program` the command line program is started for each, on a
folder of variants. Must be run with an interpreter that has the package.

Names whose order the package leaves to chance (equal sort keys, and it collects names in an unordered set) may come in
any order on its side. Such rounds are counted apart; what does not depend on chance is compared in them too.
"""

import argparse
import functools
import json
import logging
import random
import subprocess
import sys
import tempfile
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from packaging.version import Version

from kernels import backends, variants as package

TAGS = ["cpu", "metal", "neuron", "tpu", "cu118", "cu124", "cu126", "cu128", "cu129", "cu130", "cu1210", "rocm63", "rocm64",
        "rocm70", "rocm71", "rocm710", "xpu20252", "xpu20253", "xpu202510", "cann85", "cann81", "cann810"]
SYSTEMS = ["backend=cpu", "backend=metal", "backend=neuron", "backend=tpu", "cuda=11.8", "cuda=12.4", "cuda=12.6", "cuda=12.8",
           "cuda=12.9", "cuda=12.10", "cuda=13.0", "cuda=13.1", "cuda=121.0", "rocm=6.3", "rocm=7.0", "rocm=7.1", "rocm=7.10",
           "rocm=71.0", "xpu=2025.2", "xpu=2025.3", "xpu=2025.10", "cann=8.5", "cann=8.1", "cann=8.10"]
ODD_NAMES = ["torch", "torch-", "torch-cuda-x86_64-linux", "torch2-cpu-x86_64-linux", "torch210-cu9-x86_64-linux", "jax06-cuda",
             "torch210-cpu--linux", "torch100-cpu-x86_64-linux", "torch210-cu0128-x86_64-linux", "Torch210-cpu-x86_64-linux",
             "torch210-cxx14-cu128-x86_64-linux", "torch-stable-abi-cu128-x86_64-linux", "torch-stable-abi2-cu128-x86_64-linux",
             "torch-stable-abi29-cxx11-cpu-x86_64-linux", "tvm-ffi-cu128-x86_64-linux", "tvm-ffi0-cpu-x86_64-linux", "__pycache__",
             "torch210-cu128-x86_64", "torch210-cu128-x86_64-linux-gnu", "torch-stable-abi", "torch-stable-abix", "tvm", "tvm-ffi",
             "torch210", "torch210-", "torch210-cxx11", "torch0210-cpu-x86_64-linux", "torch210-hip63-x86_64-linux",
             "torch21-cxx11-cu12-x86_64-linux", "torch210cxx11-cu128-x86_64-linux", "tvm-ffi010-cu128-x86_64-linux-gnu",
             "torch-stable-abi210-x86_64-linux", "torch210-cu128-arm64-darwin", "torch210-cu128-ARM64-windows", "torch-Universal"]
NOARCH = ["cpu", "cuda", "metal", "neuron", "npu", "cann", "rocm", "tpu", "xpu", "universal"]
FRAMEWORKS = ["torch210", "torch29", "torch211", "torch21", "torch30", "torch210-cxx11", "torch210-cxx98", "torch29-cxx11",
              "torch211-cxx11", "torch-stable-abi29", "torch-stable-abi210", "torch-stable-abi211", "torch-stable-abi30",
              "tvm-ffi01", "tvm-ffi010", "tvm-ffi10", "tvm-ffi02"]
PLATFORMS = [("x86_64", "linux")] * 5 + [("aarch64", "linux")] * 2 + [("aarch64", "darwin")] * 2 + [("x86_64", "windows")]
BACKENDS = {"cuda": backends.CUDA, "rocm": backends.ROCm, "xpu": backends.XPU, "cann": backends.CANN}
# What the package says when it refuses, up to where the values begin; `torch missing` has no words of its own.
REASONS = {"CPU (": "cpu", "OS (": "os", "Torch version": "torch version", "Torch stable ABI": "torch too old",
           "Torch CXX11 ABI": "cxx11 abi", "tvm-ffi version": "tvm-ffi", "CUDA version": "cuda version", "backend (": "backend",
           "Metal kernels require": "macos"}


def likely(rng: random.Random, all_of_them: list, begin: str) -> str:
    """Half of the time one that begins like that, or most rounds would accept nothing."""
    some = [item for item in all_of_them if item.startswith(begin)] if rng.random() < 0.5 else []
    return rng.choice(some or all_of_them)


def random_name(rng: random.Random, system: dict) -> str:
    kind = rng.random()
    own = system["backend"].removeprefix("backend=").split("=")[0]
    if kind < 0.06:
        return rng.choice(ODD_NAMES)
    if kind < 0.2:
        return "torch-" + likely(rng, NOARCH, {"cann": "npu"}.get(own, own))
    begin = rng.choice(["torch-stable-abi", "tvm-ffi" + (system["tvm-ffi"] or "").replace(".", ""),
                        "torch" + (system["torch"] or "").replace(".", "")])
    cpu, name = (system["cpu"], system["os"]) if rng.random() < 0.7 else rng.choice(PLATFORMS)
    return f"{likely(rng, FRAMEWORKS, begin)}-{likely(rng, TAGS, 'cu' if own == 'cuda' else own)}-{cpu}-{name}"


def random_system(rng: random.Random) -> dict:
    cpu, system = rng.choice(PLATFORMS)
    backend = rng.choice(SYSTEMS)
    if system == "darwin" and rng.random() < 0.7:
        backend = "backend=metal"
    return {
        "os": system,
        "cpu": cpu,
        "backend": backend,
        "torch": rng.choice([None, "2.1", "2.9", "2.10", "2.10", "2.11", "3.0"]),
        "cxx11": rng.choice([True, True, True, False]),
        "tvm-ffi": rng.choice([None, "0.1", "0.2", "0.10", "1.0"]),
        "macos": rng.choice([None, "15.7", "26.0", "26.1"]) if system == "darwin" else None,
        "free_threaded": rng.random() < 0.1,
    }


def random_round(rng: random.Random) -> tuple:
    system = random_system(rng)
    return sorted({random_name(rng, system) for _ in range(rng.randint(1, 40))}), system


def target_text(system: dict) -> str:
    parts = [f"os={system['os']}", f"cpu={system['cpu']}", system["backend"]]
    parts += [f"{key}={system[key]}" for key in ("torch", "tvm-ffi", "macos") if system[key] is not None]
    if system["os"] == "linux":
        parts.append(f"cxx11-abi={'true' if system['cxx11'] else 'false'}")
    return ",".join(parts)


@functools.cache
def parsed(name: str):
    try:
        variant = package.parse_variant(name)
    except ValueError:
        return None
    return variant if variant.variant_str == name else None  # the others are found, and then missing on disk


@functools.cache
def version_of(text: str | None) -> Version | None:
    return Version(text) if text else None


@functools.cache
def backend_of(text: str):
    key, value = text.split("=")
    return BACKENDS[key](version=Version(value)) if key in BACKENDS else backends.parse_backend(value)


def reason_of(decision) -> str:
    words = next(ours for theirs, ours in REASONS.items() if decision.reason.startswith(theirs))
    missing = words in ("torch version", "torch too old") and decision.reason.endswith("(None)")
    return "torch missing" if missing else words


def package_answer(names: list, system: dict) -> dict:
    valid = {name: parsed(name) for name in names if parsed(name) is not None}
    arguments = {
        "selected_backend": backend_of(system["backend"]),
        "cpu": system["cpu"],
        "os": system["os"],
        "torch_version": version_of(system["torch"]),
        "torch_cxx11_abi": system["cxx11"] if system["os"] == "linux" and system["torch"] else None,
        "tvm_ffi_version": version_of(system["tvm-ffi"]),
        "macos_version": version_of(system["macos"]),
    }
    package._is_unsupported_free_threaded_build = lambda: system["free_threaded"]
    ordered = list(valid.values())
    forward, trace = package._resolve_variant_for_system(variants=ordered, **arguments)
    backward, _ = package._resolve_variant_for_system(variants=ordered[::-1], **arguments)
    refused = {d.variant.variant_str: reason_of(d) for d in trace if isinstance(d, package.VariantRejected)}
    if system["free_threaded"]:  # the package leaves these out altogether
        refused |= {name: "free-threaded" for name, v in valid.items() if isinstance(v, package.ArchVariant)}
    return {"forward": [v.variant_str for v in forward], "backward": [v.variant_str for v in backward], "refused": refused,
            "invalid": sorted(set(names) - set(valid))}


def answers_of_decisions(program: str, rounds: list) -> list:
    questions = "".join(json.dumps({"names": names, "target": target_text(system), "free_threaded": system["free_threaded"]}) + "\n"
                        for names, system in rounds)
    result = subprocess.run([program], input=questions, capture_output=True, text=True, check=True, timeout=600)
    answers = [json.loads(line) for line in result.stdout.splitlines()]
    if len(answers) != len(rounds):
        raise AssertionError(f"{len(answers)} answers to {len(rounds)} questions")
    return answers


def answer_of_program(program: str, names: list, system: dict) -> dict:
    with tempfile.TemporaryDirectory() as folder:
        for name in names:
            (Path(folder) / "build" / name).mkdir(parents=True)
        result = subprocess.run([program, "variants", folder, "--json", "--target", target_text(system)],
                                capture_output=True, text=True, timeout=60)
        if result.returncode not in (0, 1):
            raise AssertionError(f"{target_text(system)}: {result.stderr}")
        revision = json.loads(result.stdout)["revisions"][0]
        return {"accepted": [item["variant"] for item in revision["variants"] if item["compatible"]], "invalid": revision["invalid"]}


def answers_of_program(program: str, rounds: list) -> list:
    with ThreadPoolExecutor(2) as pool:
        return list(pool.map(lambda one: answer_of_program(program, *one), rounds))


def agree(ours: dict, theirs: dict) -> bool:
    """The same sets and reasons; and wherever the package's order does not depend on that of its input, ours is the same."""
    if sorted(ours["accepted"]) != sorted(theirs["forward"]) or ours["invalid"] != theirs["invalid"]:
        return False
    if "refused" in ours and ours["refused"] != theirs["refused"]:
        return False
    if theirs["forward"] == theirs["backward"]:
        return ours["accepted"] == theirs["forward"]
    forward, backward = ({name: i for i, name in enumerate(theirs[key])} for key in ("forward", "backward"))
    place = {name: i for i, name in enumerate(ours["accepted"])}
    return all(place[a] < place[b] for a in place for b in place if forward[a] < forward[b] and backward[a] < backward[b])


def main() -> int:
    parser = argparse.ArgumentParser()
    program = parser.add_mutually_exclusive_group(required=True)
    program.add_argument("--decisions", help="tests/variant_decisions of the build")
    program.add_argument("--program", help="kernels of the build")
    parser.add_argument("--rounds", type=int, default=4000)
    parser.add_argument("--seed", type=int, default=random.SystemRandom().randrange(2**32))
    options = parser.parse_args()
    print(f"seed {options.seed}")
    logging.disable()  # the package warns of every free-threaded system
    rng = random.Random(options.seed)
    rounds = []
    while len(rounds) < options.rounds:
        one = random_round(rng)
        # No target that is described on the command line is free-threaded.
        if options.decisions or not one[1]["free_threaded"]:
            rounds.append(one)
    ours = answers_of_decisions(options.decisions, rounds) if options.decisions else answers_of_program(options.program, rounds)
    names = accepted = chance = failed = 0
    for (offered, system), mine in zip(rounds, ours):
        theirs = package_answer(offered, system)
        names += len(offered)
        accepted += len(theirs["forward"])
        chance += theirs["forward"] != theirs["backward"]
        if agree(mine, theirs):
            continue
        failed += 1
        if failed <= 5:
            print(f"differs on {target_text(system)} with {offered}\n  package {theirs}\n  ours    {mine}")
    print(f"{options.rounds} rounds, {names} names, {accepted} accepted variants; {chance} rounds whose order the package leaves to "
          f"chance; {failed} differences")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
