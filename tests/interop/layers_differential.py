"""Plays random scripts of layer mappings (nested scopes, registrations that inherit or erase, devices, capability ranges, modes)
through the Python package `kernels` and through ours, and compares which repository each chooses for a layer, or why none.

    python tests/interop/layers_differential.py --program build/release/tests/layer_choices [--rounds 2000] [--seed N]

Must be run with an interpreter that has the package. The package side is its public `register_kernel_mapping`,
`use_kernel_mapping` and `kernelize` over stand-in layers; where torch is missing, a module with `nn.Module` stands in for it. The
capability is the only thing that is replaced, because there is no GPU.

Of ranges of equal width the package takes the one with the lower memory address, so those questions are left out and counted. Its
tree may also hold the same bounds twice after an insertion that should have replaced: left out and counted too.
"""

import argparse
import contextvars
import json
import logging
import random
import subprocess
import sys
import types

from kernels import CUDAProperties, Device, Mode, ROCMProperties, kernelize, register_kernel_mapping, use_kernel_mapping
from kernels import use_kernel_forward_from_hub
from kernels.layer import KernelizeFallback, globals as package_globals, repos as package_repos


class Module:
    """What the package needs of torch's: a constructor that its layers share, and a forward."""

    def __init__(self):
        pass

    def forward(self):
        return None


try:
    from torch.nn import Module  # noqa: F811
except ImportError:  # after the package, which looks for torch when it is imported
    sys.modules["torch"] = types.ModuleType("torch")
    sys.modules["torch.nn"] = sys.modules["torch"].nn = types.ModuleType("torch.nn")
    sys.modules["torch.nn"].Module = Module

LAYERS = ["RMSNorm"] * 6 + ["SiluAndMul"] * 3 + ["Attention"]
DEVICES = ["cuda"] * 12 + ["rocm"] * 6 + ["cpu", "xpu", "mps", "npu", "neuron", "tpu"]
MODES = {
    "inference": Mode.INFERENCE,
    "inference|torch-compile": Mode.INFERENCE | Mode.TORCH_COMPILE,
    "training": Mode.TRAINING,
    "training|torch-compile": Mode.TRAINING | Mode.TORCH_COMPILE,
    "fallback": Mode.FALLBACK,
}
REQUESTS = {**MODES, "torch-compile": Mode.TORCH_COMPILE}
BOUNDS = [0, 70, 75, 80, 86, 89, 90, 94, 100, 120]
CAPABILITIES = [0, 69, 70, 72, 75, 80, 85, 86, 87, 89, 90, 91, 94, 99, 100, 110, 120, 121, 9000]
REASONS = (("with device type", "no device"), ("with the right properties", "no range"), ("No repository for", "no mode"),
           ("No layer mapping for", "no layer"))


class Repository:
    """Loads a layer that says which repository it is from, and can do everything."""

    layers: dict = {}

    def __init__(self, name: str):
        self.name = name

    def load(self):
        if self.name not in self.layers:
            name = self.name
            self.layers[name] = type("Layer", (Module,), {"forward": lambda self: name, "can_torch_compile": True, "has_backward": True})
        return self.layers[self.name]

    def __eq__(self, other):
        return isinstance(other, Repository) and self.name == other.name

    def __hash__(self):
        return hash(self.name)


class Model:
    def __init__(self, layer):
        self.layer = layer

    def named_modules(self):
        return [("layer", self.layer)]


def own_layer(name: str):
    class Own(Module):
        def forward(self):
            return "own forward"

    return use_kernel_forward_from_hub(name)(Own)


OWN_LAYERS = {name: own_layer(name) for name in set(LAYERS)}


def random_mapping(rng: random.Random, names) -> list:
    entries = {}
    for _ in range(rng.randint(1, 16)):
        device = rng.choice(DEVICES)
        bounds = None
        if device in ("cuda", "rocm") and rng.random() < 0.85:
            low, high = sorted(rng.choices(BOUNDS, k=2))
            # One without an upper bound of its own; but below the highest that we know, which the package does not have.
            bounds = (low, 9998 if rng.random() < 0.2 else high)
        modes = rng.sample(list(MODES), rng.choice([1, 1, 2, 3, 5])) if rng.random() < 0.8 else ["fallback"]
        entries[rng.choice(LAYERS), device, bounds] = [[mode, f"acme/kernel-{next(names)}"] for mode in modes]
    return [[*key, modes] for key, modes in entries.items()]


def random_script(rng: random.Random) -> list:
    names = iter(range(10**6))
    script, depth = [], 0
    for _ in range(rng.randint(3, 12)):
        kind = rng.choice(["enter", "exit", "register", "register"])
        if kind == "exit" and depth == 0:
            kind = "enter"
        depth += {"enter": 1, "exit": -1, "register": 0}[kind]
        script.append([kind] if kind == "exit" else [kind, rng.random() < 0.75, random_mapping(rng, names)])
        for _ in range(rng.randint(1, 12)):
            mode = rng.choice(list(MODES)[:4]) if rng.random() < 0.97 else rng.choice(["fallback", "torch-compile"])
            script.append(["ask", rng.choice(LAYERS), rng.choice(DEVICES), rng.choice(CAPABILITIES), mode])
    return script + [["exit"]] * depth


def package_mapping(entries: list) -> dict:
    mapping = {}
    for layer, device, bounds, modes in entries:
        key = device
        if bounds is not None:
            properties = {"cuda": CUDAProperties, "rocm": ROCMProperties}[device]
            key = Device(type=device, properties=properties(min_capability=bounds[0], max_capability=bounds[1]))
        elif len(modes) % 2:
            key = Device(type=device)
        alone = len(modes) == 1 and modes[0][0] == "fallback"
        mapping.setdefault(layer, {})[key] = Repository(modes[0][1]) if alone else {MODES[m]: Repository(name) for m, name in modes}
    return mapping


class Package:
    """One script at a time, in a context of its own."""

    def __init__(self):
        self.capability = 0
        self.ties = self.doubles = 0
        package_repos._find_capability = lambda: self.capability

    def play(self, script: list) -> list:
        return contextvars.Context().run(self._play, script)

    def _play(self, script: list) -> list:
        package_globals._KERNEL_MAPPING.set({})
        scopes, answers = [], []
        for kind, *rest in script:
            if kind == "enter":
                scopes.append(use_kernel_mapping(package_mapping(rest[1]), inherit_mapping=rest[0]))
                scopes[-1].__enter__()
            elif kind == "exit":
                scopes.pop().__exit__(None, None, None)
            elif kind == "register":
                register_kernel_mapping(package_mapping(rest[1]), inherit_mapping=rest[0])
            else:
                answers.append(self.ask(*rest))
        return answers

    def ask(self, layer: str, device: str, capability: int, mode: str):
        self.capability = capability
        if self.left_to_chance(layer, device):
            return None
        module = OWN_LAYERS[layer]()
        try:
            kernelize(Model(module), mode=REQUESTS[mode], device=device)
        except ValueError:
            return ["refused"]
        chosen = module.forward()
        if chosen != "own forward":
            return ["kernel", chosen]
        try:
            kernelize(Model(OWN_LAYERS[layer]()), mode=REQUESTS[mode], device=device, use_fallback=KernelizeFallback.NONE)
        except ValueError as error:
            return ["fallback", next(reason for text, reason in REASONS if text in str(error))]
        raise AssertionError(f"a fallback that does not count as one: {layer} on {device}")

    def left_to_chance(self, layer: str, device: str) -> bool:
        found = package_globals._KERNEL_MAPPING.get().get(layer, {}).get(device)
        if not hasattr(found, "repos_by_capability"):
            return False
        matches = []
        found.repos_by_capability._find_with_intervals(found.repos_by_capability.root, self.capability, matches)
        narrowest = min((high - low for low, high, _ in matches), default=None)
        best = [(low, high) for low, high, _ in matches if high - low == narrowest]
        if len(best) < 2:
            return False
        if len(set(best)) < len(best):
            self.doubles += 1
        else:
            self.ties += 1
        return True


def our_answers(program: str, scripts: list) -> list:
    text = "".join(json.dumps(script) + "\n" for script in scripts)
    result = subprocess.run([program], input=text, capture_output=True, text=True, timeout=300, check=True)
    return [json.loads(line) for line in result.stdout.splitlines()]


def main() -> int:
    parser = argparse.ArgumentParser()
    parser.add_argument("--program", required=True)
    parser.add_argument("--rounds", type=int, default=2000)
    parser.add_argument("--seed", type=int, default=random.SystemRandom().randrange(2**32))
    options = parser.parse_args()
    print(f"seed {options.seed}")
    logging.disable(logging.CRITICAL)
    rng = random.Random(options.seed)
    scripts = [random_script(rng) for _ in range(options.rounds)]
    package = Package()
    counts = dict.fromkeys(["kernel", "no layer", "no device", "no range", "no mode", "refused"], 0)
    failed = 0
    for script, ours in zip(scripts, our_answers(options.program, scripts), strict=True):
        theirs = package.play(script)
        questions = [step for step in script if step[0] == "ask"]
        for question, their, our in zip(questions, theirs, ours, strict=True):
            if their is None:
                continue
            counts[their[1] if their[0] == "fallback" else their[0]] += 1
            if their == our:
                continue
            failed += 1
            if failed <= 5:
                print(f"differs for {question}\n  package {their}\n  ours    {our}\n  in {json.dumps(script)}")
    print(f"{options.rounds} rounds: " + ", ".join(f"{number} {kind}" for kind, number in counts.items()) +
          f"; left out: {package.ties} ties, {package.doubles} bounds held twice; {failed} differences")
    if not all(counts.values()):
        print("not every kind of answer came up; take more rounds")
        return 1
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
