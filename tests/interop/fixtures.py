"""Kernel repositories, a cache that our program fills from them, and our program as a server over it."""

import json
import os
import re
import signal
import subprocess
import threading
from pathlib import Path

# The worked example of a variant hash: names whose order as bytes differs from the order folder by folder.
VECTOR_FILES = {
    "__init__.py": b"from . import layers\n",
    "_ops.py": b"VALUE = 1\n",
    "layers.py": b"",
    "metadata.json": b'{"version":1}\n',
    "sub-x.txt": b"dash\n",
    "sub.txt": b"dot\n",
    "sub/data.bin": b"LFS payload\n",
    "z.txt": b"z\n",
    "é.txt": b"e-acute\n",
}
VECTOR_HASH = "sha256-6b8dd205379bbc46b7d0bc0dd31f50023886e901c0d0cec4905a36d759e9744b"


# A kernel and a script as they are published, with torch.
TORCH_ACTIVATION = """import torch


def silu_and_mul(out, x):
    half = x.shape[-1] // 2
    torch.mul(torch.nn.functional.silu(x[..., :half]), x[..., half:], out=out)
"""
TORCH_BENCHMARK = """import torch
import torch.nn.functional as F
from kernels.benchmark import Benchmark
from kernels.benchmarks import SiluAndMulBenchmark


class Published(SiluAndMulBenchmark):
    def setup_medium(self):
        self.setup_small()

    def setup_large(self):
        self.setup_small()


class Own(Benchmark):
    seed = 42

    def setup(self):
        self.x = torch.randn(64, 512, device=self.device, dtype=torch.bfloat16)
        self.out = torch.empty(64, 256, device=self.device, dtype=torch.bfloat16)

    def benchmark_silu(self):
        self.kernel.silu_and_mul(self.out, self.x)

    def verify_silu(self):
        return F.silu(self.x[..., :256]) * self.x[..., 256:]

    def benchmark_unchecked(self):
        self.kernel.silu_and_mul(self.out, self.x)
"""


def put(path: Path, content) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content if isinstance(content, bytes) else content.encode())


def metadata(name: str, version: int, depends=()) -> str:
    return json.dumps({
        "name": name,
        "id": f"_{name}_cpu_0a1b2c{version}",
        "version": version,
        "license": "Apache-2.0",
        "python-depends": [],
        "kernel-depends": list(depends),
        "backend": {"type": "cpu"},
    }, indent=2)


def write_doubler(folder: Path, version: int) -> None:
    """A kernel in Python alone, with a large-file binary beside it, for any machine and for the CPU."""
    for variant in ("torch-universal", "torch-cpu"):
        place = folder / "build" / variant
        put(place / "__init__.py", f"VERSION = {version}\n\n\ndef double(values):\n    return [2 * v for v in values]\n")
        put(place / "metadata.json", metadata("doubler", version))
        put(place / "weights.bin", bytes(range(256)) * (4096 * version))
    put(folder / "README.md", "# doubler\n")


def write_dependent(folder: Path) -> None:
    """A kernel that needs another one."""
    place = folder / "build" / "torch-universal"
    put(place / "__init__.py", "from kernels import get_kernel_dep\n\n_doubler = get_kernel_dep('acme/doubler')\n\n\n"
        "def quadruple(values):\n    return _doubler.double(_doubler.double(values))\n")
    put(place / "metadata.json", metadata("quadrupler", 1, [{"repo-id": "acme/doubler", "version": 1}]))


def write_vector(folder: Path) -> None:
    for name, content in VECTOR_FILES.items():
        put(folder / "build" / "torch-cpu" / name, content)


def write_many(folder: Path, count: int) -> None:
    """More files than one page of a listing holds."""
    place = folder / "build" / "torch-universal"
    put(place / "__init__.py", "")
    put(place / "metadata.json", metadata("many", 1))
    for number in range(count):
        put(place / f"part{number // 100:03}" / f"f{number}.py", f"VALUE = {number}\n")


class Program:
    """Our program."""

    def __init__(self, path: str):
        self.path = path

    def run(self, *args, cache: Path, endpoint: str = "http://127.0.0.1:1", **variables) -> subprocess.CompletedProcess:
        result = subprocess.run([self.path, *map(str, args)], env=clean_environment(cache, endpoint, **variables),
                                capture_output=True, text=True, timeout=120)
        if result.returncode != 0:
            raise AssertionError(f"{args[0]} ended with {result.returncode}:\n{result.stdout}{result.stderr}")
        return result


def clean_environment(cache: Path, endpoint: str, **variables) -> dict:
    """An environment in which neither the user's token nor the user's cache can be found."""
    # Telemetry stays on: without it the kernels package sends a User-Agent that its own HTTP library refuses.
    keep = {name: os.environ[name] for name in ("PATH", "LANG", "LD_LIBRARY_PATH", "TMPDIR") if name in os.environ}
    return keep | {
        "HOME": str(cache.parent / "home"),
        "HF_HOME": str(cache.parent / "hf-home"),
        "HF_HUB_CACHE": str(cache),
        "KERNELS_CACHE": str(cache),
        "HF_ENDPOINT": endpoint,
        "KERNELS_ALLOW_HTTP": "1",  # benchmarks ask a server across an emulated network
        "HF_HUB_DISABLE_XET": "1",
        "HF_HUB_DISABLE_PROGRESS_BARS": "1",
        "NO_PROXY": "127.0.0.1",
        "PYTHONDONTWRITEBYTECODE": "1",
    } | {name: str(value) for name, value in variables.items()}


class Server:
    """`serve` over a cache, on loopback, until the end of the `with` block."""

    def __init__(self, program: Program, cache: Path, *options: str):
        self.program, self.cache, self.options = program, cache, options

    def __enter__(self) -> "Server":
        command = [self.program.path, "serve", str(self.cache), "--port", "0", *self.options]
        self.process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                                        stderr=subprocess.STDOUT, text=True,
                                        env=clean_environment(self.cache, "http://127.0.0.1:1"))
        for line in self.process.stdout:
            if found := re.search(r"http://127\.0\.0\.1:\d+", line):
                self.url = found.group(0)
                break
        else:
            raise AssertionError(f"serve ended with {self.process.wait()} and said no address")
        # Whatever it says later must not fill the pipe.
        self.said = []
        self.reader = threading.Thread(target=lambda: self.said.append(self.process.stdout.read()), daemon=True)
        self.reader.start()
        return self

    def __exit__(self, *_) -> None:
        self.process.terminate()
        self.process.wait(timeout=30)
        self.reader.join(timeout=10)
        self.process.stdout.close()
        # A server that crashed is seen by its clients as a connection that broke; here is why.
        if self.process.returncode not in (0, -signal.SIGTERM):
            raise AssertionError(f"serve ended with {self.process.returncode}:\n{''.join(self.said)}")
