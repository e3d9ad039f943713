"""Our program beside `huggingface_hub`, `curl` and `openssl`: start, no-op, cold downloads, lock, memory.

The contestants of a row take turns (A B, B A, A B, …) against the same `kernels serve`; what counts is the ratio of
the two runs of a round, of which the median and an interval are printed. Absolute times of two runs of this
script cannot be compared on a shared machine.
"""

import argparse
import datetime
import json
import math
import os
import platform
import random
import re
import shutil
import socket
import statistics
import subprocess
import sys
import time
import zipfile
from dataclasses import dataclass
from pathlib import Path

HERE = Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parent / "interop"))

from environments import IndexUnreachable, environment  # noqa: E402
from fixtures import Program, clean_environment, metadata, put  # noqa: E402

MIB = 1 << 20
GIB = 1024 * MIB
VARIANT = "torch210-cxx11-cu128-x86_64-linux"
NAMES = [f"bench/kernel{number:02}" for number in range(20)]
LARGE, HUGE = "bench/large", "bench/huge"
CHECKED = [f"bench/checked{number:02}" for number in range(16)]
SIGNED = [f"bench/signed{number:02}" for number in range(20)]
RTT_MS = 50
# Ten builds of one library, one for each version of CUDA: what a kernel with many variants looks like.
BUNDLED = "bench/bundled"
WHEEL = "bitsandbytes==0.45.5"
QUICK = os.environ.get("KERNELS_BENCH_QUICK", "0") not in ("", "0")
PEER = "huggingface_hub"


def rounds(full: int, quick: int) -> int:
    return quick if QUICK else full


# --- data ---


def write_random(path: Path, seed: str, size: int, head: bytes = b"") -> None:
    source = random.Random(seed)
    path.parent.mkdir(parents=True, exist_ok=True)
    with open(path, "wb") as out:
        out.write(head)
        for begin in range(len(head), size, MIB):
            out.write(source.randbytes(min(MIB, size - begin)))


def write_kernel(folder: Path, name: str, binary_bytes: int, library: bytes = b"") -> None:
    """Six files, named and sized like those of a real kernel; one of them is the compiled part, which begins with `library`."""
    place = folder / "build" / VARIANT
    module = name.replace("/", "_")
    put(place / "metadata.json", json.dumps({
        "name": module, "id": f"_{module}_cuda_0a1b2c3", "version": 1, "license": "Apache-2.0",
        "python-depends": [], "backend": {"type": "cuda", "archs": ["8.0", "9.0"]},
    }, indent=2))
    put(place / "__init__.py", f"from ._ops import ops\nfrom . import layers\n\nNAME = {name!r}\n")
    put(place / "_ops.py", f"import torch\nfrom . import _{module}\nops = torch.ops._{module}\n")
    put(place / "layers.py", f"# {module}\n" + "".join(f"WIDTH_{i} = {i * 64}\n" for i in range(400)))
    put(place / module / "__init__.py", f"# where older versions look: {name}\n")
    write_random(place / f"_{module}_0a1b2c3.abi3.so", name, binary_bytes, library)


def unpack_builds(wheels: Path, folder: Path) -> int:
    """The libraries of the wheel as variants of a kernel. Returns how many; 0 without the wheel."""
    count = 0
    for wheel in sorted(wheels.glob("*.whl")):
        with zipfile.ZipFile(wheel) as archive:
            for name in archive.namelist():
                if found := re.search(r"_cuda(\d+)\.so$", name):
                    place = folder / "build" / f"tvm-ffi01-cu{found.group(1)}-x86_64-linux"
                    put(place / "__init__.py", "from . import _bundled\n")
                    put(place / "metadata.json", metadata("bundled", 1))
                    put(place / "_bundled.so", archive.read(name))
                    count += 1
    return count


class Data:
    """A cache that our own program filled by `import`, and one project for each size of download."""

    def __init__(self, program: Program, work: Path, library: bytes, sign: Path):
        self.cache = work / "server" / "hub"
        sizes = ({name: 4 * MIB for name in NAMES} | {LARGE: 256 * MIB, HUGE: 1024 * MIB}
                 | {name: 64 * MIB for name in CHECKED})
        for name, size in sizes.items():
            folder = work / "source"
            # `check` reads what it verifies, so there it must be a library.
            write_kernel(folder, name, size, library if name in CHECKED else b"")
            program.run("import", folder, "--repo-id", name, "--version", "1", cache=self.cache)
            shutil.rmtree(folder)
        self.root = self.import_signed(program, work, sign)
        self.projects = {key: self.project(work / "projects" / key, names)
                         for key, names in {"k20": NAMES, "large": [LARGE], "huge": [HUGE], "checked": CHECKED,
                                      "signed": SIGNED}.items()}
        self.names = {"k20": NAMES, "large": [LARGE], "huge": [HUGE], "checked": CHECKED, "signed": SIGNED}

    def import_signed(self, program: Program, work: Path, sign: Path) -> Path:
        """Kernels like those of `k20`, each signed. Returns the trusted root of who signed."""
        folders = {name: work / "signing" / name for name in SIGNED}
        for name, folder in folders.items():
            write_kernel(folder, name, 4 * MIB)
        root = work / "trusted_root.json"
        subprocess.run([str(sign), str(root), *(str(folder / "build" / VARIANT) for folder in folders.values())], check=True)
        for name, folder in folders.items():
            program.run("import", folder, "--repo-id", name, "--version", "1", "--signatures", "require",
                        "--trusted-root", root, cache=self.cache)
        shutil.rmtree(work / "signing")
        return root

    def project(self, folder: Path, names: list) -> Path:
        put(folder / "pyproject.toml", "[tool.kernels.dependencies]\n" + "".join(f'"{name}" = 1\n' for name in names))
        return folder

    def commit(self, name: str) -> str:
        return (self.cache / f"kernels--{name.replace('/', '--')}" / "refs" / "v1").read_text().strip()

    def files(self, key: str) -> list:
        """(name of the repository, path, size) of all files of a project."""
        out = []
        for name in self.names[key]:
            top = self.cache / f"kernels--{name.replace('/', '--')}" / "snapshots" / self.commit(name)
            out += [(name, str(path.relative_to(top)), path.stat().st_size)
                    for path in sorted(top.rglob("*")) if path.is_file()]
        return out

    def total(self, key: str) -> int:
        return sum(size for _, _, size in self.files(key))


# --- processes ---


@dataclass
class Run:
    wall: float
    cpu: float
    rss_mb: float
    requests: int = 0


class Runner:
    """Starts commands through `measure`, which is small: Python's own size and slowness stay outside."""

    def __init__(self, tool: Path, variables: dict, errors: Path):
        self.errors = errors
        self.process = subprocess.Popen([str(tool)], stdin=subprocess.PIPE, stdout=subprocess.PIPE,
                                        stderr=open(errors, "wb"), text=True, env=variables)

    def run(self, command: list) -> Run:
        self.process.stdin.write("\t".join(map(str, command)) + "\n")
        self.process.stdin.flush()
        status, wall, user, system, peak = map(int, self.process.stdout.readline().split())
        if status != 0:
            raise AssertionError(f"{command[0]} ended with {status}:\n{self.errors.read_text()[-2000:]}")
        return Run(wall / 1e9, (user + system) / 1e6, peak * 1024 / 1e6)


class Server:
    """`kernels serve`, in another network namespace if its place says so."""

    def __init__(self, program: str, cache: Path, host: str, log: Path, prefix: tuple = (), options: tuple = ()):
        self.log = log
        port_file = log.with_suffix(".port")
        port_file.unlink(missing_ok=True)
        command = [*prefix, program, "-v", "serve", str(cache), "--host", host, "--port", "0",
                   "--trusted-publisher", "*", "--port-file", str(port_file), *options]
        self.process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL,
                                        stderr=open(log, "wb"), env=clean_environment(cache, "http://127.0.0.1:1"))
        for _ in range(500):
            if port_file.exists() or self.process.poll() is not None:
                break
            time.sleep(0.01)
        self.url = f"http://{host}:{int(port_file.read_text())}"

    def requests(self) -> int:
        return len(re.findall(rb" (?:GET|HEAD|POST) /", self.log.read_bytes()))

    def stop(self) -> None:
        self.process.terminate()
        self.process.wait(timeout=10)


class Line:
    """A namespace at the other end of an emulated line of 50 ms."""

    HERE, THERE = "10.213.0.1", "10.213.0.2"

    def __init__(self, tool: Path):
        own = str(os.getpid())
        if os.readlink("/proc/self/ns/net") == os.readlink("/proc/1/ns/net") and own != "1":
            # As process 1 of our own namespace, or its child, we share its network; only the first one's is the host's.
            if not Path("/proc/1/cmdline").read_bytes().count(b"bench_cli.py"):
                raise OSError("not in a namespace of its own")
        self.command("mount", "-t", "tmpfs", "tmpfs", "/run")
        self.command("ip", "netns", "add", "server")
        self.prefix = ("ip", "netns", "exec", "server")
        self.process = subprocess.Popen([str(tool), "bench0", "-", "bench1", "/run/netns/server", str(RTT_MS / 2)],
                                        stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        if self.process.stdout.readline() != "ready\n":
            raise OSError(self.process.stderr.read().strip())
        for prefix, device, address in ((), "bench0", self.HERE), (self.prefix, "bench1", self.THERE):
            self.command(*prefix, "ip", "link", "set", "lo", "up")
            self.command(*prefix, "ip", "address", "add", f"{address}/30", "dev", device)
            self.command(*prefix, "ip", "link", "set", device, "up", "txqueuelen", "10000")
            # Every run begins as if the server were new: no window remembered from the run before.
            self.command(*prefix, "sysctl", "-qw", "net.ipv4.tcp_no_metrics_save=1")

    @staticmethod
    def command(*arguments) -> None:
        result = subprocess.run(arguments, capture_output=True, text=True)
        if result.returncode != 0:
            raise OSError(f"{' '.join(arguments[:3])}: {result.stderr.strip()}")


# --- statistics ---


def interval(values: list) -> tuple:
    """The pair of order statistics that holds the median with at least 95 %, or all values if they are too few."""
    ordered, count = sorted(values), len(values)
    best = 0
    for drop in range(1, count // 2):
        outside = 2 * sum(math.comb(count, k) for k in range(drop + 1)) / 2**count
        if outside <= 0.05:
            best = drop
    return ordered[best], ordered[-1 - best]


def take_turns(contestants: dict, count: int) -> dict:
    """Runs all contestants `count` times, in alternating order; the first turn of each warms up and is dropped."""
    results = {name: [] for name in contestants}
    for turn in range(count + 1):
        names = list(contestants) if turn % 2 == 0 else list(reversed(contestants))
        for name in names:
            run = contestants[name]()
            if turn > 0:
                results[name].append(run)
    return results


def ratios(above: list, below: list) -> list:
    return [a.wall / b.wall for a, b in zip(above, below)]


def show_ratio(values: list, unit: str = "x") -> str:
    low, high = interval(values)
    return f"{statistics.median(values):.3g}{unit} [{low:.3g}, {high:.3g}]"


def show_runs(runs: list) -> str:
    wall = statistics.median(run.wall for run in runs)
    text = f"{wall * 1e3:.2f} ms" if wall < 0.1 else f"{wall:.3f} s"
    text += f", {statistics.median(run.cpu for run in runs):.3f} s CPU, {max(run.rss_mb for run in runs):.0f} MB"
    requests = max(run.requests for run in runs)
    return text + (f", {requests} requests" if requests else "")


# --- rows ---


class Bench:
    def __init__(self, build: Path):
        self.build, self.work = build, build / "bench"
        self.data_folder = self.work / "data"
        shutil.rmtree(self.data_folder, ignore_errors=True)
        self.program = str(build / "kernels")
        self.python, self.no_peer = find_peer(build)
        self.peer_environment = clean_environment(self.data_folder / "x" / "hub", "http://127.0.0.1:1")
        self.rows, self.raw, self.fresh = [], {}, 0
        try:
            Line.command("ip", "link", "set", "lo", "up")
            self.line, self.no_line = Line(self.work / "tundelay"), ""
        except OSError as reason:
            self.line, self.no_line = None, f"no emulated line: {reason}"
        self.data = Data(Program(self.program), self.data_folder, (build / "lib" / "kernels" / "libtvm_ffi.so").read_bytes(),
                         self.work / "sign")

    # The parts of a row.

    def runner(self, name: str, variables: dict) -> Runner:
        return Runner(self.work / "measure", variables, self.data_folder / f"{name}.err")

    def row(self, title: str, goal: str, values: list, is_met, runs: dict, unit: str = "x") -> None:
        median = statistics.median(values)
        self.rows.append({"row": title, "goal": goal, "measured": show_ratio(values, unit),
                          "verdict": "met" if is_met(median) else "missed",
                          "contestants": {name: show_runs(taken) for name, taken in runs.items() if taken}})
        print(f"  {title}: {show_ratio(values, unit)}", file=sys.stderr, flush=True)
        self.raw[title] = {"ratios": values,
                           "runs": {name: [vars(run) for run in taken] for name, taken in runs.items()}}

    def absent(self, title: str, goal: str, reason: str) -> None:
        self.rows.append({"row": title, "goal": goal, "measured": "-", "verdict": reason, "contestants": {}})

    def fresh_cache(self) -> Path:
        self.fresh += 1
        return self.data_folder / f"cold{self.fresh}" / "hub"

    def cold(self, server: Server, name: str, command) -> callable:
        """A run into an empty cache; `command(cache)` makes its arguments. What it fetched is counted."""
        def run() -> Run:
            cache = self.fresh_cache()
            cache.mkdir(parents=True)
            runner = self.runner(name, clean_environment(cache, server.url))
            arguments, expected = command(cache)
            os.sync()
            before = server.requests()
            result = runner.run(arguments)
            runner.process.stdin.close()
            runner.process.wait()
            time.sleep(0.05)  # the server logs a request after its last byte
            result.requests = server.requests() - before
            found = sum(path.stat().st_size for path in cache.rglob("*") if path.is_file() and not path.is_symlink()
                        and (name == "curl" or path.parent.name == "blobs"))
            assert found == expected, f"{name} fetched {found} bytes of {expected}"
            # A cache of many files stays until all is measured: for minutes after a deletion ext4 searches past the
            # deleted inodes whenever it makes a new one, and the next run would pay for that.
            if found > GIB:
                shutil.rmtree(cache.parent)
            return result
        return run

    def our_download(self, key: str):
        return lambda cache: ([self.program, "-q", "download", self.data.projects[key], "--all-variants"],
                              self.data.total(key))

    def peer_script(self, key: str, options: str = "") -> str:
        wanted = [(name, self.data.commit(name)) for name in self.data.names[key]]
        return (f"from huggingface_hub import snapshot_download; [snapshot_download(n, repo_type='kernel', "
                f"revision=c{options}) for n, c in {wanted!r}]")

    def peer_download(self, key: str):
        return lambda cache: ([self.python, "-c", self.peer_script(key)], self.data.total(key))

    def curl(self, key: str, server: Server):
        def command(cache: Path) -> tuple:
            lines = []
            for number, (name, path, _) in enumerate(self.data.files(key)):
                lines += [f'url = "{server.url}/kernels/{name}/resolve/{self.data.commit(name)}/{path}"',
                          f'output = "{cache / str(number)}"']
            put(cache.parent / "curl.conf", "\n".join(lines) + "\n")
            return (["curl", "-q", "-s", "-L", "--fail", "-Z", "--parallel-max", "64", "-K", cache.parent / "curl.conf"],
                    self.data.total(key))
        return command

    def lock(self, server: Server) -> None:
        for key, folder in self.data.projects.items():
            Program(self.program).run("lock", folder, cache=self.data_folder / "lock" / "hub", endpoint=server.url)

    # The rows themselves.

    def start(self) -> None:
        empty = self.build_empty()
        runner = self.runner("start", clean_environment(self.data_folder / "x" / "hub", "http://127.0.0.1:1"))
        count = rounds(200, 40)
        runs = take_turns({"kernels": lambda: runner.run([self.program, "--version"]),
                           "empty": lambda: runner.run([empty])}, count)
        self.row("start: `--version` / empty program with the same libraries", "<= 1.2x",
                 ratios(runs["kernels"], runs["empty"]), lambda r: r <= 1.2, runs)
        goal = ">= 40x faster"
        # Since 2.x the package imports its parts when they are used, so a bare import does nothing yet. The second row
        # is what a program that downloads something pays.
        for code in (f"import {PEER}", f"from {PEER} import snapshot_download"):
            title = f"start: `{code}` / `--version`"
            if self.no_peer:
                self.absent(title, goal, self.no_peer)
                continue
            runs = take_turns({"kernels": lambda: runner.run([self.program, "--version"]),
                               PEER: lambda code=code: runner.run([self.python, "-c", code])}, rounds(20, 6))
            self.row(title, goal, ratios(runs[PEER], runs["kernels"]), lambda r: r >= 40, runs)

    def build_empty(self) -> Path:
        """A program that does nothing, linked with every library that ours needs at its start."""
        listing = subprocess.run(["readelf", "-d", self.program], capture_output=True, text=True, check=True).stdout
        needed = [name for name in re.findall(r"NEEDED.*\[(.*)\]", listing) if not name.startswith("ld-")]
        source, out = self.data_folder / "empty.cpp", self.data_folder / "empty"
        put(source, "int main() {}\n")
        runtime = [] if any("libstdc++" in name for name in needed) else ["-static-libstdc++", "-static-libgcc"]
        subprocess.run(["c++", "-O2", str(source), "-o", str(out), *runtime, "-Wl,--no-as-needed",
                        *[f"-l:{name}" for name in needed]], check=True)
        return out

    def warm(self, server: Server) -> None:
        """All files are there: nobody makes a request."""
        title, goal = f"warm: {PEER} / `download`, 20 kernels, 120 files, nothing to do", ">= 40x faster"
        cache = self.data_folder / "warm" / "hub"
        cache.mkdir(parents=True)
        variables = clean_environment(cache, server.url)
        runner = self.runner("warm", variables)
        ours = [self.program, "-q", "download", self.data.projects["k20"], "--all-variants"]
        runner.run(ours)
        before = server.requests()
        if self.no_peer:
            take_turns({"kernels": lambda: runner.run(ours)}, 3)
            return self.absent(title, goal, self.no_peer)
        theirs = [self.python, "-c", self.peer_script("k20", ", local_files_only=True")]
        runs = take_turns({"kernels": lambda: runner.run(ours), PEER: lambda: runner.run(theirs)}, rounds(20, 6))
        assert server.requests() == before, "somebody made a request"
        self.row(title, goal, ratios(runs[PEER], runs["kernels"]), lambda r: r >= 40, runs)

    def k20(self, server: Server, suffix: str) -> None:
        contestants = {"kernels": self.cold(server, "kernels", self.our_download("k20")),
                       "curl": self.cold(server, "curl", self.curl("k20", server))}
        if not self.no_peer:
            contestants[PEER] = self.cold(server, PEER, self.peer_download("k20"))
        runs = take_turns(contestants, rounds(6, 2))
        what = f"20 kernels, 120 files, 80 MiB, cold, 50 ms{suffix}"
        if self.no_peer:
            self.absent(f"{PEER} / ours: {what}", ">= 6x faster", self.no_peer)
        else:
            self.row(f"{PEER} / ours: {what}", ">= 6x faster", ratios(runs[PEER], runs["kernels"]), lambda r: r >= 6,
                     {name: runs[name] for name in ("kernels", PEER)})
        self.row(f"ours, verified / `curl -Z --parallel-max 64`, not: {what}", "<= 1.0x",
                 ratios(runs["kernels"], runs["curl"]), lambda r: r <= 1.0, {"kernels": runs["kernels"], "curl": runs["curl"]})

    def large(self, server: Server) -> None:
        title, goal = f"{PEER} / ours: one file of 256 MiB, verified, 50 ms", ">= 3.8x faster"
        if self.no_peer:
            return self.absent(title, goal, self.no_peer)
        runs = take_turns({"kernels": self.cold(server, "kernels", self.our_download("large")),
                           PEER: self.cold(server, PEER, self.peer_download("large"))}, rounds(6, 2))
        self.row(title, goal, ratios(runs[PEER], runs["kernels"]), lambda r: r >= 3.8, runs)

    def loopback(self, server: Server) -> None:
        """How much of what one core can hash arrives verified on the disk."""
        download = self.cold(server, "kernels", self.our_download("huge"))
        total = self.data.total("huge")

        def openssl() -> Run:
            said = subprocess.run(["openssl", "speed", "-seconds", "1", "-bytes", "16384", "-evp", "sha256"],
                                  capture_output=True, text=True, check=True).stdout
            rate = float(re.findall(r"([\d.]+)k\s*$", said, re.MULTILINE)[-1]) * 1e3
            return Run(total / rate, total / rate, 0)
        runs = take_turns({"kernels": download, "openssl": openssl}, rounds(10, 3))
        self.row("1 GiB on loopback, verified and flushed, of one core's `openssl speed` SHA-256", ">= 80 %",
                 [100 * r for r in ratios(runs["openssl"], runs["kernels"])], lambda r: r >= 80, runs, " %")

    def signed(self, server: Server, line: str) -> None:
        """What verification adds to a download, which should be nothing: it is done while other bytes come."""
        def download(policy: str):
            return lambda cache: ([self.program, "-q", "download", self.data.projects["signed"], "--all-variants", "--signatures",
                                   policy, "--trusted-root", self.data.root], self.data.total("signed"))
        runs = take_turns({"kernels": self.cold(server, "kernels", download("require")),
                           "unverified": self.cold(server, "kernels", download("off"))}, rounds(12, 3))
        self.row(f"20 signed kernels, 80 MiB, cold, {line}: signatures required / off", "<= 1.02x",
                 ratios(runs["kernels"], runs["unverified"]), lambda r: r <= 1.02, runs)

    def verifier(self) -> None:
        """One signature, from the start of the process to its end, beside Sigstore's own Python client."""
        data = HERE.parent / "data" / "sigstore" / "production"
        file, bundle = data / "bundle_v3_github.whl", data / "bundle_v3_github.whl.sigstore"
        signer = ("https://github.com/trailofbits/rfc8785.py/.github/workflows/release.yml@refs/tags/v0.1.2",
                  "https://token.actions.githubusercontent.com")
        title, goal = "sigstore-python / `verify-blob`: a wheel's signature, offline, whole process", ">= 10x faster"
        if self.no_peer:
            return self.absent(title, goal, self.no_peer)
        runner = self.runner("verifier", clean_environment(self.data_folder / "x" / "hub", "http://127.0.0.1:1"))
        ours = [self.program, "-q", "verify-blob", file, "--bundle", bundle, "--certificate-identity", signer[0],
                "--certificate-oidc-issuer", signer[1]]
        theirs = [self.python, "-m", "sigstore", "verify", "identity", "--offline", "--bundle", bundle, "--cert-identity", signer[0],
                  "--cert-oidc-issuer", signer[1], file]
        runs = take_turns({"kernels": lambda: runner.run(ours), "sigstore-python": lambda: runner.run(theirs)}, rounds(20, 4))
        self.row(title, goal, ratios(runs["sigstore-python"], runs["kernels"]), lambda r: r >= 10, runs)

    def check(self, server: Server) -> None:
        """A cache of 1 GiB, hashed again in full, and looked at again when nothing has changed."""
        cache = self.data_folder / "checked" / "hub"
        cache.mkdir(parents=True)
        folder = self.data.projects["checked"]
        runner = self.runner("check", clean_environment(cache, server.url))
        runner.run([self.program, "-q", "download", folder, "--all-variants"])
        command = [self.program, "-q", "check", folder, "--target", "os=linux,cpu=x86_64,torch=2.10,cuda=12.8,capability=9.0"]
        total, cores = self.data.total("checked"), os.cpu_count()

        def openssl() -> Run:
            said = subprocess.run(["openssl", "speed", "-seconds", "1", "-multi", str(cores), "-bytes", "16384", "-evp", "sha256"],
                                  capture_output=True, text=True, check=True).stdout
            rate = float(re.findall(r"([\d.]+)k\s*$", said, re.MULTILINE)[-1]) * 1e3
            return Run(total / rate, cores * total / rate, 0)
        runs = take_turns({"kernels": lambda: runner.run([*command, "--rehash"]), "openssl": openssl}, rounds(10, 3))
        self.row(f"`check --rehash` of 1 GiB, of `openssl speed` SHA-256 on {cores} cores", ">= 95 %",
                 [100 * r for r in ratios(runs["openssl"], runs["kernels"])], lambda r: r >= 95, runs, " %")
        again = take_turns({"kernels": lambda: runner.run(command)}, rounds(20, 6))
        self.row("`check` of the same, nothing changed, in ms", "<= 50",
                 [run.wall * 1e3 for run in again["kernels"]], lambda r: r <= 50, again, "")

    def bundle(self) -> None:
        """All variants of a kernel as one file, and back. Both sides flush what they write."""
        variants = unpack_builds(self.work / "wheels", self.data_folder / "bundled")
        if not variants:
            return self.absent(f"bundle: the CUDA builds of {WHEEL}", "<= 0.80", "no wheel: the package index could not be reached")
        source = self.data_folder / "bundled"
        Program(self.program).run("import", source, "--repo-id", BUNDLED, "--version", "1", cache=self.data.cache)
        project = self.data.project(self.data_folder / "projects" / "bundled", [BUNDLED])
        server = Server(self.program, self.data.cache, "127.0.0.1", self.data_folder / "bundle.log")
        runner = self.runner("bundle", clean_environment(self.data_folder / "packing" / "hub", server.url))
        runner.run([self.program, "-q", "lock", project])
        runner.run([self.program, "-q", "download", project, "--all-variants"])
        out = {name: self.data_folder / f"{name}.tar.zst" for name in ("kernels", "zstd", "long", "bsdtar")}
        packers = {
            "kernels": [self.program, "-q", "download", project, "--all-variants", "--bundle", out["kernels"]],
            "zstd": ["sh", "-c", f"tar -C {source} -cf - build | zstd -q -3 -f -o {out['zstd']} && sync {out['zstd']}"],
            "long": ["sh", "-c", f"tar -C {source} -cf - build | zstd -q -3 --long=27 -f -o {out['long']} && sync {out['long']}"],
        }
        if shutil.which("bsdtar"):
            packers["bsdtar"] = ["sh", "-c", f"bsdtar -C {source} --zstd -cf {out['bsdtar']} build && sync {out['bsdtar']}"]
        runs = take_turns({name: (lambda command=command: runner.run(command)) for name, command in packers.items()},
                          rounds(12, 4))
        size = {name: path.stat().st_size for name, path in out.items() if path.exists()}
        title = f"bundle: {variants} builds of one library, {sum(path.stat().st_size for path in source.rglob('*.so')) // MIB} MiB"
        for peer, name in (("zstd", "`tar | zstd -3`"), ("long", "`tar | zstd -3 --long=27`"), ("bsdtar", "`bsdtar --zstd`")):
            if peer not in runs:
                self.absent(f"{title}: size and time / {name}", "-", "absent here")
                continue
            goal = "<= 0.80" if peer == "zstd" else "<= 1.0"
            ratio = size["kernels"] / size[peer]
            self.rows.append({"row": f"{title}: size / {name}", "goal": goal, "measured": f"{ratio:.3g}x",
                              "verdict": "met" if ratio <= float(goal[3:]) else "missed",
                              "contestants": {"kernels": f"{size['kernels'] / 1e6:.1f} MB", name: f"{size[peer] / 1e6:.1f} MB"}})
            self.row(f"{title}: time / {name}", "<= 1.0", ratios(runs["kernels"], runs[peer]), lambda r: r <= 1.0,
                     {"kernels": runs["kernels"], name: runs[peer]})
        self.unbundle(out, server)
        server.stop()

    def unbundle(self, out: dict, server: Server) -> None:
        def fresh(name: str, command) -> callable:
            def run() -> Run:
                place = self.fresh_cache()
                place.mkdir(parents=True)
                runner = self.runner(name, clean_environment(place, server.url))
                os.sync()
                return runner.run(command(place))
            return run
        takers = {"kernels": fresh("import", lambda place: [self.program, "-q", "import", out["kernels"]]),
                  "tar": fresh("tar", lambda place: ["sh", "-c", f"tar -C {place} -I zstd -xf {out['zstd']} && "
                                                     f"find {place} -type f -exec sync {{}} +"])}
        if out["bsdtar"].exists():
            takers["bsdtar"] = fresh("bsdtar", lambda place: ["sh", "-c", f"bsdtar -C {place} -xf {out['bsdtar']} && "
                                                              f"find {place} -type f -exec sync {{}} +"])
        runs = take_turns(takers, rounds(8, 3))
        for peer in ("tar", "bsdtar"):
            if peer in runs:
                self.row(f"bundle: back into a cache, verified and flushed: `import` / `{peer} -x`", "<= 1.0",
                         ratios(runs["kernels"], runs[peer]), lambda r: r <= 1.0, {"kernels": runs["kernels"], peer: runs[peer]})

    def lock_trips(self, server: Server) -> None:
        def run() -> Run:
            folder = self.data_folder / "relock"
            shutil.rmtree(folder, ignore_errors=True)
            shutil.copytree(self.data.projects["k20"], folder, ignore=shutil.ignore_patterns("kernels.*"))
            runner = self.runner("lock", clean_environment(self.data_folder / "lock" / "hub", server.url))
            before = server.requests()
            result = runner.run([self.program, "-q", "lock", folder])
            time.sleep(0.05)
            result.requests = server.requests() - before
            return result
        runs = take_turns({"kernels": run}, rounds(6, 3))
        self.row("lock of 20 kernels at 50 ms, in round trips", "<= 8",
                 [run.wall * 1e3 / RTT_MS for run in runs["kernels"]], lambda r: r <= 8, runs, "")

    def memory(self) -> None:
        peaks = {title.split(":")[0] if title.startswith(("start", "warm")) else title:
                 max(run["rss_mb"] for run in taken["runs"]["kernels"]) for title, taken in self.raw.items()
                 if not title.startswith("bundle")}  # whose window alone takes 128 MiB
        if not peaks:
            return
        worst = max(peaks, key=peaks.get)
        self.rows.append({"row": "peak memory of our runs", "goal": "<= 24 MB", "measured": f"{peaks[worst]:.1f} MB ({worst})",
                          "verdict": "met" if peaks[worst] <= 24 else "missed", "contestants": {}})
        self.raw["memory"] = peaks

    def check_line(self, server: Server) -> str:
        """What the line is, measured with others' tools: the time to connect, and its most bytes in a second."""
        host, port = server.url.removeprefix("http://").split(":")
        times = []
        for _ in range(5):
            begin = time.monotonic()
            socket.create_connection((host, int(port))).close()
            times.append((time.monotonic() - begin) * 1e3)
        name, path, size = max(self.data.files("large"), key=lambda item: item[2])
        url = f"{server.url}/kernels/{name}/resolve/{self.data.commit(name)}/{path}"
        begin = time.monotonic()
        parts = [subprocess.Popen(["curl", "-q", "-s", "-o", "/dev/null", "-r", f"{i * size // 8}-{(i + 1) * size // 8 - 1}", url])
                 for i in range(8)]
        assert all(part.wait() == 0 for part in parts)
        return (f"connect {statistics.median(times):.1f} ms, ceiling {size / (time.monotonic() - begin) / 1e6:.0f} MB/s "
                f"({size // MIB} MiB in 8 ranges)")

    def run(self, wanted: set) -> str:
        log = self.data_folder / "loopback.log"
        near = Server(self.program, self.data.cache, "127.0.0.1", log)
        self.lock(near)
        if "start" in wanted:
            self.start()
        if "warm" in wanted:
            self.warm(near)
        line = self.no_line
        if self.line:
            far = Server(self.program, self.data.cache, Line.THERE, self.data_folder / "far.log", self.line.prefix)
            line = self.check_line(far)
            print(f"  the line: {line}", file=sys.stderr, flush=True)
            if "k20" in wanted:
                self.k20(far, "")
                moved = Server(self.program, self.data.cache, Line.THERE, self.data_folder / "moved.log", self.line.prefix,
                               ("--redirects",))
                self.k20(moved, ", every file behind a redirect")
                moved.stop()
            if "large" in wanted:
                self.large(far)
            if "lock" in wanted:
                self.lock_trips(far)
            if "signed" in wanted:
                self.signed(far, f"{RTT_MS} ms")
            far.stop()
        if "loopback" in wanted:
            self.loopback(near)
        if "check" in wanted:
            self.check(near)
        if "signed" in wanted:
            self.signed(near, "loopback")
            self.verifier()
        if "bundle" in wanted:
            self.bundle()
        near.stop()
        self.memory()
        return line


def find_peer(build: Path) -> tuple:
    python = build / "interop" / "new" / "bin" / "python"
    reason = (build / "bench" / "no-peer").read_text() if (build / "bench" / "no-peer").exists() else ""
    return python, reason


def install(build: Path) -> None:
    """The peer's environment, the same that the interoperation tests use; and real libraries to pack."""
    note = build / "bench" / "no-peer"
    note.unlink(missing_ok=True)
    try:
        environment(build / "interop", "new", "requirements-new.txt")
    except (IndexUnreachable, RuntimeError) as reason:
        note.write_text(f"no peer: {str(reason).splitlines()[0]}")
    wheels = build / "bench" / "wheels"
    if not list(wheels.glob("*.whl")):
        subprocess.run([sys.executable, "-m", "pip", "download", "-q", "--no-deps", "--only-binary", ":all:", "--platform",
                        "manylinux_2_24_x86_64", "-d", str(wheels), WHEEL], capture_output=True, text=True)


def version_of(command: list) -> str:
    result = subprocess.run(command, capture_output=True, text=True)
    return (result.stdout + result.stderr).strip().splitlines()[0] if result.returncode == 0 else "absent"


def describe_machine(bench: Bench) -> dict:
    cpu = re.search(r"model name\s*: (.*)", Path("/proc/cpuinfo").read_text())
    peer = bench.no_peer or version_of([str(bench.python), "-c",
                                        "import huggingface_hub as h, sys; print(h.__version__, 'on Python', sys.version.split()[0])"])
    return {"date": datetime.datetime.now(datetime.timezone.utc).strftime("%Y-%m-%d %H:%M UTC"),
            "machine": f"{os.cpu_count()} x {cpu.group(1) if cpu else platform.machine()}, Linux {platform.release()}",
            "load": "%.1f" % os.getloadavg()[0],
            "kernels": version_of([bench.program, "--version"]), PEER: f"{peer}, HF_HUB_DISABLE_XET=1",
            "curl": version_of(["curl", "--version"]).split(" (")[0], "openssl": version_of(["openssl", "version"])}


def markdown(facts: dict, rows: list) -> str:
    lines = [f"- {key}: {value}" for key, value in facts.items()] + [""]
    lines += ["| what | goal | measured: median [interval] | verdict | each side: time, CPU, peak memory, requests |",
              "|---|---|---|---|---|"]
    for row in rows:
        sides = "; ".join(f"{name}: {text}" for name, text in row["contestants"].items())
        lines.append(f"| {row['row']} | {row['goal']} | {row['measured']} | {row['verdict']} | {sides} |")
    return "\n".join(lines)


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("action", choices=("install", "measure"))
    parser.add_argument("--build", type=Path, required=True)
    options = parser.parse_args()
    if options.action == "install":
        return install(options.build)
    every = "start,warm,k20,large,lock,loopback,check,signed,bundle"
    wanted = set((os.environ.get("KERNELS_BENCH_ROWS") or every).split(","))
    bench = Bench(options.build)
    facts = describe_machine(bench)
    facts["emulated line"] = bench.run(wanted)
    result = options.build / "bench" / "bench-cli.json"
    result.write_text(json.dumps({"facts": facts, "rows": bench.rows, "raw": bench.raw}, indent=1))
    print(markdown(facts, bench.rows))
    print(f"\nall runs: {result}")


if __name__ == "__main__":
    main()
