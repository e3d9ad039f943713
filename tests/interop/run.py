"""Tests against the real Python packages `kernels` and `huggingface_hub`.

Each test runs a short script or a command of those packages in a virtual environment, with our server as the
Hub or our cache as theirs. Ends with 77 if the packages cannot be installed here.
"""

import argparse
import hashlib
import json
import os
import shutil
import subprocess
import sys
import tempfile
import unittest
from pathlib import Path

import fixtures
from environments import IndexUnreachable, environment
from fixtures import Program, Server, clean_environment, put

PYTHON_NEW = PYTHON_016 = PROGRAM = BUILT = LAYER_CHOICES = VARIANT_DECISIONS = FAULTY_HUBS = None
VARIANT_ROUNDS = 4000
TRUSTED = ("--trusted-publisher", "acme")


def python(interpreter: Path, script: str, cache: Path, endpoint: str = "http://127.0.0.1:1", **variables):
    """Runs a script that prints one JSON value, and returns it."""
    result = subprocess.run([str(interpreter), "-c", script], env=clean_environment(cache, endpoint, **variables),
                            capture_output=True, text=True, timeout=180)
    if result.returncode != 0:
        raise AssertionError(f"the script ended with {result.returncode}:\n{result.stdout}{result.stderr}")
    return json.loads(result.stdout.splitlines()[-1])


def kernels(interpreter: Path, *args, cache: Path, endpoint: str, expect: int = 0, **variables) -> str:
    """Runs the command line program of the Python package and returns what it printed."""
    command = [str(interpreter.parent / "kernels"), *map(str, args)]
    result = subprocess.run(command, env=clean_environment(cache, endpoint, **variables), capture_output=True,
                            text=True, timeout=180)
    if result.returncode != expect:
        raise AssertionError(f"kernels {args[0]} ended with {result.returncode}:\n{result.stdout}{result.stderr}")
    return result.stdout


def content_below(folder: Path) -> dict:
    return {str(path.relative_to(folder)): path.read_bytes() for path in sorted(folder.rglob("*"))
            if path.is_file() and "__pycache__" not in path.parts}


def project(folder: Path, dependencies: dict) -> Path:
    lines = ["[tool.kernels.dependencies]"] + [f'"{name}" = {version}' for name, version in dependencies.items()]
    put(folder / "pyproject.toml", "\n".join(lines) + "\n")
    return folder


class Interop(unittest.TestCase):
    """One cache that our program filled by `import`; every test has fresh folders beside it."""

    KERNELS = ("acme/doubler", "acme/quadrupler", "acme/vector", "acme/many")

    @classmethod
    def setUpClass(cls):
        cls.temp = tempfile.TemporaryDirectory(prefix="kernels-interop-")
        cls.root = Path(cls.temp.name)
        cls.ours = cls.root / "ours" / "hub"
        cls.commits = {}
        for repo, version, write in (("acme/doubler", 1, lambda folder: fixtures.write_doubler(folder, 1)),
                                     ("acme/doubler", 2, lambda folder: fixtures.write_doubler(folder, 2)),
                                     ("acme/quadrupler", 1, fixtures.write_dependent),
                                     ("acme/vector", 1, fixtures.write_vector),
                                     ("acme/many", 1, lambda folder: fixtures.write_many(folder, 2500))):
            if repo not in cls.KERNELS:
                continue
            source = cls.root / "sources" / f"{repo.replace('/', '-')}-v{version}"
            write(source)
            cls.take(repo, version, source)

    @classmethod
    def take(cls, repo: str, version: int, source: Path) -> None:
        PROGRAM.run("import", source, "--repo-id", repo, "--version", version, cache=cls.ours)
        ref = cls.ours / f"kernels--{repo.replace('/', '--')}" / "refs" / f"v{version}"
        cls.commits[repo, version] = ref.read_text()

    @classmethod
    def tearDownClass(cls):
        cls.temp.cleanup()

    def setUp(self):
        self.place = Path(tempfile.mkdtemp(dir=self.root))
        self.cache = self.place / "hub"
        self.cache.mkdir()

    def source(self, name: str) -> Path:
        return self.root / "sources" / name


class HuggingFaceHub(Interop):
    """The library under the kernels package: our server as the Hub, our cache as its own."""

    DOWNLOAD = """
import json, sys
from huggingface_hub import snapshot_download
print(json.dumps(snapshot_download("acme/doubler", repo_type="kernel", revision={revision!r}, local_files_only={local})))
"""

    def test_a_snapshot_from_our_server_has_every_byte_and_is_found_again_offline(self):
        for options in ((), ("--redirects",)):
            with self.subTest(options=options), Server(PROGRAM, self.ours, *TRUSTED, *options) as server:
                cache = Path(tempfile.mkdtemp(dir=self.place)) / "hub"
                folder = python(PYTHON_NEW, self.DOWNLOAD.format(revision="v1", local=False), cache, server.url)
                self.assertEqual(content_below(Path(folder)), content_below(self.source("acme-doubler-v1")))
                self.assertEqual(Path(folder).name, self.commits["acme/doubler", 1])
            again = python(PYTHON_NEW, self.DOWNLOAD.format(revision="v1", local=True), cache)
            self.assertEqual(again, folder)

    def test_our_cache_is_read_offline_by_version_branch_main_and_commit(self):
        for revision, version in (("v1", 1), ("v2", 2), ("main", 2), (self.commits["acme/doubler", 1], 1)):
            with self.subTest(revision=revision):
                folder = python(PYTHON_NEW, self.DOWNLOAD.format(revision=revision, local=True), self.ours)
                self.assertEqual(content_below(Path(folder)), content_below(self.source(f"acme-doubler-v{version}")))

    def test_both_caches_are_the_same_on_disk(self):
        with Server(PROGRAM, self.ours, *TRUSTED) as server:
            python(PYTHON_NEW, self.DOWNLOAD.format(revision="v1", local=False), self.cache, server.url)
        commit = self.commits["acme/doubler", 1]
        links = []
        for root in (self.ours, self.cache):
            snapshot = root / "kernels--acme--doubler" / "snapshots" / commit
            links.append({str(path.relative_to(snapshot)): os.readlink(path) for path in snapshot.rglob("*")
                          if path.is_symlink()})
            self.assertEqual((root / "kernels--acme--doubler" / "refs" / "v1").read_bytes(), commit.encode())
        self.assertEqual(links[0], links[1])
        self.assertEqual(len(links[0]), 7)

    def test_listings_over_several_pages_are_complete(self):
        script = """
import json
from huggingface_hub import HfApi
api = HfApi()
tree = list(api.list_repo_tree("acme/many", repo_type="kernel", revision="v1", recursive=True))
paths = api.get_paths_info("acme/many", ["build", "nope", "build/torch-universal/__init__.py"], repo_type="kernel", revision="v1")
print(json.dumps([len(tree), len({e.path for e in tree}), [p.path for p in paths]]))
"""
        with Server(PROGRAM, self.ours, *TRUSTED) as server:
            count, distinct, paths = python(PYTHON_NEW, script, self.cache, server.url)
        # 2500 and 2 files; build, the variant and 25 parts as folders.
        self.assertEqual((count, distinct), (2529, 2529))
        self.assertEqual(paths, ["build", "build/torch-universal/__init__.py"])

    def test_questions_about_a_repository_are_answered(self):
        script = """
import json
from huggingface_hub import HfApi, get_hf_file_metadata, hf_hub_url
from huggingface_hub.errors import RepositoryNotFoundError, RevisionNotFoundError, RemoteEntryNotFoundError
api = HfApi()
def name_of(call):
    try:
        return str(call())
    except Exception as error:
        return type(error).__name__
info = api.repo_info("acme/doubler", repo_type="kernel", revision="v1")
refs = api.list_repo_refs("acme/doubler", repo_type="kernel")
url = hf_hub_url("acme/doubler", "build/torch-cpu/weights.bin", repo_type="kernel", revision="v1")
file = get_hf_file_metadata(url)
print(json.dumps({
    "sha": info.sha,
    "branches": [b.name for b in refs.branches],
    "file": [file.commit_hash, file.size, len(file.etag)],
    "no repo": name_of(lambda: api.hf_hub_download("acme/none", "x", repo_type="kernel")),
    "no revision": name_of(lambda: api.hf_hub_download("acme/doubler", "x", repo_type="kernel", revision="v9")),
    "no file": name_of(lambda: api.hf_hub_download("acme/doubler", "kernel-status.toml", repo_type="kernel", revision="v1")),
}))
"""
        with Server(PROGRAM, self.ours, *TRUSTED) as server:
            said = python(PYTHON_NEW, script, self.cache, server.url)
        commit = self.commits["acme/doubler", 1]
        self.assertEqual(said["sha"], commit)
        self.assertEqual(said["branches"], ["main", "v1", "v2"])
        self.assertEqual(said["file"], [commit, 256 * 4096, 64])
        self.assertEqual(said["no repo"], "RepositoryNotFoundError")
        self.assertEqual(said["no revision"], "RevisionNotFoundError")
        self.assertIn("EntryNotFoundError", said["no file"])


class KernelsPackage(Interop):
    """Commands and loading of the newest release."""

    KERNELS = ("acme/doubler", "acme/quadrupler")

    LOAD = """
import json
from kernels import get_kernel
module = get_kernel("acme/doubler", version=1)
print(json.dumps([module.VERSION, module.double([1, 2, 3])]))
"""

    def test_versions_and_info_describe_what_we_serve(self):
        with Server(PROGRAM, self.ours, *TRUSTED) as server:
            versions = kernels(PYTHON_NEW, "versions", "acme/doubler", cache=self.cache, endpoint=server.url)
            info = kernels(PYTHON_NEW, "info", "acme/doubler", "--json", cache=self.cache, endpoint=server.url)
        self.assertIn("Version 1", versions)
        self.assertIn("Version 2", versions)
        self.assertIn("torch-universal", versions)
        info = json.loads(info)
        self.assertEqual((info["repo_id"], info["name"], info["version"]), ("acme/doubler", "doubler", 2))

    def test_lock_pins_the_kernels_that_a_kernel_needs_and_download_takes_them(self):
        folder = project(self.place / "project", {"acme/quadrupler": 1})
        with Server(PROGRAM, self.ours, *TRUSTED) as server:
            kernels(PYTHON_NEW, "lock", folder, cache=self.cache, endpoint=server.url)
            kernels(PYTHON_NEW, "download", folder, cache=self.cache, endpoint=server.url)
        locked = {entry["dependency"]["repo-id"]: entry["lock"]["commit"]
                  for entry in json.loads((folder / "kernels.lock").read_text())}
        self.assertEqual(locked, {"acme/quadrupler": self.commits["acme/quadrupler", 1],
                                  "acme/doubler": self.commits["acme/doubler", 1]})
        snapshot = self.cache / "kernels--acme--doubler" / "snapshots" / locked["acme/doubler"]
        self.assertTrue((snapshot / "build" / "torch-universal" / "__init__.py").exists()
                        or (snapshot / "build" / "torch-cpu" / "__init__.py").exists())

    def test_download_of_all_variants_takes_all_of_them(self):
        folder = project(self.place / "project", {"acme/doubler": 2})
        with Server(PROGRAM, self.ours, *TRUSTED, "--redirects") as server:
            kernels(PYTHON_NEW, "lock", folder, cache=self.cache, endpoint=server.url)
            kernels(PYTHON_NEW, "download", folder, "--all-variants", cache=self.cache, endpoint=server.url)
        snapshot = self.cache / "kernels--acme--doubler" / "snapshots" / self.commits["acme/doubler", 2]
        self.assertEqual(content_below(snapshot / "build"), content_below(self.source("acme-doubler-v2") / "build"))

    def test_a_kernel_is_loaded_from_our_server_if_its_publisher_is_trusted(self):
        with Server(PROGRAM, self.ours, *TRUSTED) as server:
            self.assertEqual(python(PYTHON_NEW, self.LOAD, self.cache, server.url), [1, [2, 4, 6]])
        with Server(PROGRAM, self.ours, "--trusted-publisher", "somebody-else") as server:
            with self.assertRaisesRegex(AssertionError, "not from a trusted publisher"):
                python(PYTHON_NEW, self.LOAD, self.cache, server.url)

    def test_a_kernel_is_loaded_offline_from_our_cache(self):
        self.assertEqual(python(PYTHON_NEW, self.LOAD, self.ours, HF_HUB_OFFLINE=1), [1, [2, 4, 6]])

    def test_a_kernel_that_needs_another_is_loaded_offline_from_our_cache(self):
        script = """
import json
from kernels import get_kernel
print(json.dumps(get_kernel("acme/quadrupler", version=1).quadruple([1, 2])))
"""
        self.assertEqual(python(PYTHON_NEW, script, self.ours, HF_HUB_OFFLINE=1), [4, 8])


class BenchmarkScripts(Interop):
    """`bench` runs scripts that were written for the package's own command, with the package itself where it is."""

    KERNELS = ("acme/doubler", "acme/quadrupler")

    SCRIPT = """
import kernels.benchmark
from kernels import get_kernel
from kernels.benchmark import Benchmark
{more}

class Doubling(Benchmark):
    seed = 42

    def setup(self):
        assert "site-packages" in kernels.benchmark.__file__
        self.x = [0.25 * i for i in range(100)]

    def benchmark_{method}(self):
        self.out = self.kernel.{method}(self.x)

    def verify_{method}(self):
        return [{factor} * x for x in self.x]
"""

    def bench(self, *arguments, **options):
        run = PROGRAM.run("bench", *arguments, "--device", "cpu", "--python", PYTHON_NEW, "--budget", "0.1", "--json",
                          **options)
        return json.loads(run.stdout)["rows"]

    def write(self, name: str, method: str, factor: int, more: str = "") -> Path:
        folder = self.place / "repository"
        shutil.copytree(self.source(name), folder)
        put(folder / "benchmarks/benchmark.py", self.SCRIPT.format(method=method, factor=factor, more=more))
        return folder

    def test_a_script_runs_with_the_base_class_of_the_package(self):
        folder = self.write("acme-doubler-v1", "double", 2)
        rows = self.bench(folder / "build/torch-cpu", cache=self.cache)
        self.assertEqual([(row["function"], row["workload"], row["result"]["verdict"]) for row in rows],
                         [("Doubling", "double", "right")], rows)

    def test_a_script_that_asks_the_package_for_its_own_repository_gets_what_is_measured(self):
        folder = self.write("acme-doubler-v1", "double", 2, "from pathlib import Path\nfrom kernels import "
                            "get_local_kernel\nassert get_local_kernel(Path.cwd()).VERSION == 1\n")
        rows = self.bench(folder / "build/torch-cpu", cache=self.cache)
        self.assertEqual(rows[0]["result"]["verdict"], "right", rows)

    def test_a_kernel_that_needs_another_is_measured_from_the_hub_and_offline(self):
        folder = self.write("acme-quadrupler-v1", "quadruple", 4)
        mine = self.place / "publisher" / "hub"
        for source, name in ((folder, "acme/quadrupler"), (self.source("acme-doubler-v1"), "acme/doubler")):
            PROGRAM.run("import", source, "--repo-id", name, "--version", 1, cache=mine)
        with Server(PROGRAM, mine, *TRUSTED) as server:
            rows = self.bench("acme/quadrupler@v1", cache=self.cache, endpoint=server.url)
        self.assertEqual(rows[0]["result"]["verdict"], "right", rows)
        rows = self.bench("acme/quadrupler@v1", cache=self.cache, HF_HUB_OFFLINE=1)
        self.assertEqual(rows[0]["result"]["verdict"], "right", rows)

    @unittest.skipUnless(os.environ.get("KERNELS_TORCH_PYTHON"),
                         "KERNELS_TORCH_PYTHON names no interpreter with a torch for the CPU, kernels and tabulate")
    def test_both_programs_find_the_same_workloads_and_agree_which_are_verified(self):
        interpreter = Path(os.environ["KERNELS_TORCH_PYTHON"])
        folder = self.place / "activation"
        put(folder / "build/torch-cpu/metadata.json", fixtures.metadata("activation", 1))
        put(folder / "build/torch-cpu/__init__.py", fixtures.TORCH_ACTIVATION)
        put(folder / "benchmarks/benchmark.py", fixtures.TORCH_BENCHMARK)
        output = self.place / "theirs.json"
        kernels(interpreter, "benchmark", folder, "--iterations", 5, "--warmup", 1, "--output", output,
                cache=self.cache, endpoint="http://127.0.0.1:1", HF_HUB_OFFLINE=1)
        theirs = {result["workload"]: result.get("verified") for result in json.loads(output.read_text())["results"]}
        run = PROGRAM.run("bench", folder / "build/torch-cpu", "--device", "cpu", "--python", interpreter, "--iterations",
                          5, "--json", cache=self.cache)
        verdicts = {"right": True, "wrong": False, "not checked": None}
        ours = {f'{row["function"]}.{row["workload"]}': verdicts[row["result"]["verdict"]]
                for row in json.loads(run.stdout)["rows"]}
        self.assertEqual(ours, theirs)
        self.assertGreater(len(ours), 4)


class Bundles(Interop):
    """What was packed into a file on one machine and imported on another, where there is no network."""

    KERNELS = ("acme/doubler", "acme/quadrupler", "acme/vector")

    def setUp(self):
        super().setUp()
        folder = project(self.place / "project", {"acme/quadrupler": 1, "acme/vector": 1})
        bundle = self.place / "kernels.tar.zst"
        with Server(PROGRAM, self.ours, *TRUSTED) as server:
            packing = self.place / "packing" / "hub"
            PROGRAM.run("lock", folder, cache=packing, endpoint=server.url)
            PROGRAM.run("download", folder, "--all-variants", "--bundle", bundle, cache=packing, endpoint=server.url)
        PROGRAM.run("import", bundle, cache=self.cache)

    def test_huggingface_hub_finds_every_byte_offline(self):
        script = """
import json
from huggingface_hub import snapshot_download
print(json.dumps(snapshot_download("acme/vector", repo_type="kernel", revision="v1", local_files_only=True)))
"""
        snapshot = Path(python(PYTHON_NEW, script, self.cache, HF_HUB_OFFLINE=1))
        self.assertEqual(snapshot.name, self.commits["acme/vector", 1])
        self.assertEqual(content_below(snapshot / "build"), content_below(self.source("acme-vector-v1") / "build"))

    def test_the_kernels_package_loads_a_kernel_and_the_one_that_it_needs_offline(self):
        script = """
import json
from kernels import get_kernel
print(json.dumps(get_kernel("acme/quadrupler", version=1).quadruple([1, 2])))
"""
        self.assertEqual(python(PYTHON_NEW, script, self.cache, HF_HUB_OFFLINE=1), [4, 8])


class BuiltKernels(Interop):
    """Compiled CPU variants of this project, loaded by the Python package through tvm-ffi."""

    KERNELS = ()

    def load(self, name: str, script: str):
        source = BUILT / name
        if not (source / "build").is_dir():
            self.skipTest(f"{name} is not built here")
        self.take(f"acme/{name}", 1, source)
        with Server(PROGRAM, self.ours, *TRUSTED) as server:
            online = python(PYTHON_NEW, script, self.cache, server.url)
        self.assertEqual(python(PYTHON_NEW, script, self.ours, HF_HUB_OFFLINE=1), online)
        return online

    def test_activation_computes_what_numpy_computes(self):
        error = self.load("activation", """
import json, numpy as np
from kernels import get_kernel
kernel = get_kernel("acme/activation", version=1, backend="cpu")
x = np.random.default_rng(1).standard_normal((5, 64), dtype=np.float32)
a, b = x[:, :32].astype(np.float64), x[:, 32:]
print(json.dumps(float(np.abs(kernel.silu_and_mul(x) - a / (1 + np.exp(-a)) * b).max())))
""")
        self.assertLess(error, 1e-5)

    def test_rmsnorm_computes_what_numpy_computes(self):
        error = self.load("rmsnorm", """
import json, numpy as np
from kernels import get_kernel
kernel = get_kernel("acme/rmsnorm", version=1, backend="cpu")
random = np.random.default_rng(1)
x, w = random.standard_normal((5, 64), dtype=np.float32), random.standard_normal(64, dtype=np.float32)
right = x / np.sqrt((x.astype(np.float64) ** 2).mean(-1, keepdims=True) + 1e-6) * w
print(json.dumps(float(np.abs(kernel.rms_norm(x, w, 1e-6) - right).max())))
""")
        self.assertLess(error, 1e-5)


    def test_layer_norm_computes_what_numpy_computes(self):
        error = self.load("layer-norm", """
import json, numpy as np
from kernels import get_kernel
kernel = get_kernel("acme/layer-norm", version=1, backend="cpu")
random = np.random.default_rng(1)
x = random.standard_normal((5, 64), dtype=np.float32) + 3
w, b = random.standard_normal(64, dtype=np.float32), random.standard_normal(64, dtype=np.float32)
d = x.astype(np.float64) - x.astype(np.float64).mean(-1, keepdims=True)
right = d / np.sqrt((d ** 2).mean(-1, keepdims=True) + 1e-5) * w
print(json.dumps(float(max(np.abs(kernel.layer_norm(x, w, b) - right - b).max(),
                           np.abs(kernel.layer_norm(x, w) - right).max()))))
""")
        self.assertLess(error, 1e-5)

    def test_softmax_computes_what_numpy_computes(self):
        error = self.load("softmax", """
import json, numpy as np
from kernels import get_kernel
kernel = get_kernel("acme/softmax", version=1, backend="cpu")
x = np.random.default_rng(1).standard_normal((5, 64), dtype=np.float32) * 5
x[0, 3] = -np.inf
e = np.exp(x.astype(np.float64) - x.max(-1, keepdims=True))
print(json.dumps(float(np.abs(kernel.softmax(x) - e / e.sum(-1, keepdims=True)).max())))
""")
        self.assertLess(error, 1e-6)

    def test_rotary_computes_what_numpy_computes(self):
        error = self.load("rotary", """
import json, numpy as np
from kernels import get_kernel
kernel = get_kernel("acme/rotary", version=1, backend="cpu")
random = np.random.default_rng(1)
q, k, cache = (random.standard_normal(shape, dtype=np.float32) for shape in ((5, 4, 32), (5, 2, 32), (9, 16)))
positions = random.integers(0, 9, 5)
def turned(x):
    cos, sin = cache[positions, None, :8].astype(np.float64), cache[positions, None, 8:]
    a, b = x[..., :8], x[..., 8:16]
    return np.concatenate((a * cos - b * sin, b * cos + a * sin, x[..., 16:]), axis=-1)
right = turned(q), turned(k)
kernel.rotary_neox(q, k, positions, cache)
print(json.dumps(float(max(np.abs(q - right[0]).max(), np.abs(k - right[1]).max()))))
""")
        self.assertLess(error, 1e-5)


class LockFiles(Interop):
    """kernels.lock as each side writes it, byte for byte."""

    def both(self, interpreter: Path, form: str, dependencies: dict) -> tuple:
        theirs = project(self.place / "theirs", dependencies)
        mine = project(self.place / "mine", dependencies)
        with Server(PROGRAM, self.ours, *TRUSTED) as server:
            kernels(interpreter, "lock", theirs, cache=self.cache, endpoint=server.url)
            PROGRAM.run("lock", mine, "--lock-format", form, cache=self.place / "own" / "hub", endpoint=server.url)
        return (theirs / "kernels.lock").read_bytes(), (mine / "kernels.lock").read_bytes()

    def test_the_form_of_0_16_is_byte_for_byte_the_same(self):
        theirs, mine = self.both(PYTHON_016, "v1", {"acme/vector": 1, "acme/doubler": 2, "acme/many": 1})
        self.assertEqual(mine, theirs)
        entry = json.loads(theirs)[0]
        self.assertEqual(entry["sha"], self.commits["acme/vector", 1])
        self.assertEqual(entry["variants"]["torch-cpu"]["hash"], fixtures.VECTOR_HASH)

    def test_the_newest_form_is_byte_for_byte_the_same(self):
        theirs, mine = self.both(PYTHON_NEW, "v2", {"acme/quadrupler": 1, "acme/many": 1})
        self.assertEqual(mine, theirs)

    def test_what_python_locked_we_download_and_check_and_python_loads(self):
        folder = project(self.place / "project", {"acme/doubler": 1})
        for interpreter in (PYTHON_NEW, PYTHON_016):
            with self.subTest(interpreter=interpreter.parts[-3]):
                cache = Path(tempfile.mkdtemp(dir=self.place)) / "hub"
                with Server(PROGRAM, self.ours, *TRUSTED) as server:
                    kernels(interpreter, "lock", folder, cache=self.cache, endpoint=server.url)
                    # All of them: the two programs may see another backend where CUDA is installed but no GPU.
                    PROGRAM.run("download", folder, "--all-variants", cache=cache, endpoint=server.url)
                PROGRAM.run("check", folder, cache=cache, HF_HUB_OFFLINE=1)
                self.assertEqual(python(interpreter, KernelsPackage.LOAD.replace("version=1", f"revision={self.commits['acme/doubler', 1]!r}"),
                                        cache, HF_HUB_OFFLINE=1), [1, [2, 4, 6]])

    def test_what_we_locked_and_downloaded_python_accepts_as_downloaded(self):
        for interpreter, form in ((PYTHON_NEW, "v2"), (PYTHON_016, "v1")):
            with self.subTest(form=form):
                folder = project(Path(tempfile.mkdtemp(dir=self.place)), {"acme/doubler": 1})
                cache = Path(tempfile.mkdtemp(dir=self.place)) / "hub"
                with Server(PROGRAM, self.ours, *TRUSTED) as server:
                    PROGRAM.run("lock", folder, "--lock-format", form, cache=cache, endpoint=server.url)
                    PROGRAM.run("download", folder, "--all-variants", cache=cache, endpoint=server.url)
                    blobs = cache / "kernels--acme--doubler" / "blobs"
                    before = {path.name: path.stat().st_ino for path in blobs.iterdir()}
                    # 0.16 also compares the locked hash with the files in the cache.
                    kernels(interpreter, "download", folder, cache=cache, endpoint=server.url)
                after = {path.name: path.stat().st_ino for path in blobs.iterdir()}
                self.assertEqual({name: after[name] for name in before}, before)


class Liars(Interop):
    """The same lies to both: what they keep of them."""

    KERNELS = ("acme/doubler",)

    # Attack of speed-and-reliability.md §6 → what it is, and what we do: refuse, or end with the right bytes.
    ATTACKS = {
        "1": ("a body of the right size with other bytes", "refused"),
        "2": ("a body that ends early, declared so", "refused"),
        "3": ("bytes beyond the declared length", "right bytes"),
        "4": ("16 MiB in place of 1 MiB", "refused"),
        "9": ("304 without a condition", "refused"),
        "10": ("gzip that was not asked for", "refused"),
        "13": ("a redirect to file://", "refused"),
        "15": ("a redirect to another port", "right bytes"),
        "16": ("a redirect with a user name as the host", "refused"),
        "17": ("a redirect to look-alike dots", "refused"),
        "19": ("two lengths", "refused"),
        "20": ("two ETags", "right bytes"),
        "21": ("a circle of redirects", "refused"),
        "65": ("a planted blob", "right bytes"),
    }
    PEER = """
import json, os, sys
from concurrent.futures import ThreadPoolExecutor
from huggingface_hub import snapshot_download
revision, hubs = json.loads(sys.argv[1])
def take(item):
    name, url, cache = item
    try:
        return name, snapshot_download("acme/doubler", repo_type="kernel", revision=revision, cache_dir=cache, endpoint=url, etag_timeout=3)
    except BaseException as error:
        return name, "!" + type(error).__name__
with ThreadPoolExecutor(len(hubs)) as pool:
    print(json.dumps(dict(pool.map(take, hubs))))
"""

    def verdict(self, cache: Path) -> str:
        """What lies under the file's name in the snapshot."""
        commit = self.commits["acme/doubler", 1]
        file = cache / "kernels--acme--doubler" / "snapshots" / commit / "build" / "torch-cpu" / "weights.bin"
        if not file.exists():
            return "refused"
        right = (self.source("acme-doubler-v1") / "build" / "torch-cpu" / "weights.bin").read_bytes()
        return "right bytes" if file.read_bytes() == right else "WRONG BYTES ACCEPTED"

    def plant(self, cache: Path) -> None:
        right = (self.source("acme-doubler-v1") / "build" / "torch-cpu" / "weights.bin").read_bytes()
        put(cache / "kernels--acme--doubler" / "blobs" / hashlib.sha256(right).hexdigest(), b"evil" * (len(right) // 4))

    def test_what_a_lying_hub_achieves(self):
        folder = project(self.place / "project", {"acme/doubler": 1})
        commit = self.commits["acme/doubler", 1]
        with Server(PROGRAM, self.ours, *TRUSTED) as server:
            PROGRAM.run("lock", folder, cache=self.cache, endpoint=server.url)
            liars = subprocess.Popen([FAULTY_HUBS, server.url.rsplit(":", 1)[1]], stdin=subprocess.PIPE,
                                     stdout=subprocess.PIPE, text=True)
            try:
                urls = {"65": server.url}
                while line := liars.stdout.readline().strip():
                    name, urls[name] = line.split()
                caches = {who: {name: self.place / who / name / "hub" for name in urls} for who in ("ours", "theirs")}
                for who in caches:
                    self.plant(caches[who]["65"])
                for name, url in urls.items():
                    command = [PROGRAM.path, "download", str(folder), "--all-variants"]
                    subprocess.run(command, env=clean_environment(caches["ours"][name], url, KERNELS_HTTP_RETRIES=0,
                                                                  HF_TOKEN="hf_canary"),
                                   capture_output=True, timeout=60)
                led = {"ours": self.led_away(liars)}
                hubs = [(name, url, str(caches["theirs"][name])) for name, url in urls.items()]
                run = subprocess.run([str(PYTHON_NEW), "-c", self.PEER, json.dumps([commit, hubs])],
                                     env=clean_environment(self.cache, server.url, HF_HUB_DOWNLOAD_TIMEOUT=3,
                                                           HF_TOKEN="hf_canary"),
                                     capture_output=True, text=True, timeout=120)
                self.assertEqual(run.returncode, 0, run.stderr)
                both = self.led_away(liars)
                led["theirs"] = {name: [all - ours for all, ours in zip(both[name], led["ours"][name])] for name in both}
            finally:
                liars.communicate(timeout=10)
        self.show({who: {name: self.verdict(cache) for name, cache in caches[who].items()} for who in caches}, led)

    @staticmethod
    def led_away(liars) -> dict:
        """Requests, and those with a token, that came to where redirects of an attack lead."""
        out = {}
        for name in ("15", "16", "17"):
            liars.stdin.write(name + "\n")
            liars.stdin.flush()
            out[name] = [int(number) for number in liars.stdout.readline().split()]
        return out

    def show(self, verdicts: dict, led: dict) -> None:
        lines = [("attack", "kernels", "huggingface_hub")]
        for name, (what, expected) in self.ATTACKS.items():
            words = [verdicts[who][name] + (", followed" if led[who].get(name, [0])[0] else "")
                     + (", WITH THE TOKEN" if led[who].get(name, [0, 0])[1] else "") for who in ("ours", "theirs")]
            lines.append((f"{name} {what}", *words))
        print("\n" + "\n".join(f"{a:44} {b:24} {c}" for a, b, c in lines))
        for name, (what, expected) in self.ATTACKS.items():
            self.assertEqual(verdicts["ours"][name], expected, f"{name} {what}")
        self.assertEqual(led["ours"], {"15": [1, 0], "16": [0, 0], "17": [0, 0]})
        # The reason for this program's first promise.
        self.assertEqual(verdicts["theirs"]["1"], "WRONG BYTES ACCEPTED")
        self.assertEqual(verdicts["theirs"]["65"], "WRONG BYTES ACCEPTED")


class Differential(unittest.TestCase):
    """Random questions to the package and to us. The scripts take more rounds and a seed when they are run by hand."""

    def compare(self, script: str, *args) -> None:
        path = Path(__file__).resolve().parent / script
        with tempfile.TemporaryDirectory(prefix="kernels-interop-") as place:
            result = subprocess.run([str(PYTHON_NEW), str(path), *map(str, args)],
                                    env=clean_environment(Path(place) / "hub", "http://127.0.0.1:1"), capture_output=True,
                                    text=True, timeout=300)
        print(result.stdout)
        self.assertEqual(result.returncode, 0, result.stdout + result.stderr)

    def test_random_mappings_choose_what_the_package_chooses(self):
        self.compare("layers_differential.py", "--program", LAYER_CHOICES, "--rounds", 200)

    def test_random_systems_decide_about_variants_as_the_package_does(self):
        self.compare("variants_differential.py", "--decisions", VARIANT_DECISIONS, "--rounds", VARIANT_ROUNDS)

    def test_libraries_break_the_promises_that_the_package_says_they_break(self):
        self.compare("abi_differential.py", "--program", PROGRAM.path, "--libraries", BUILT)

    def test_the_program_shows_what_the_package_accepts(self):
        self.compare("variants_differential.py", "--program", PROGRAM.path, "--rounds", 60)


def main() -> int:
    global PYTHON_NEW, PYTHON_016, PROGRAM, BUILT, LAYER_CHOICES, VARIANT_DECISIONS, VARIANT_ROUNDS, FAULTY_HUBS
    parser = argparse.ArgumentParser()
    parser.add_argument("--work", type=Path, required=True)
    parser.add_argument("--program", required=True)
    parser.add_argument("--built", type=Path, required=True)
    parser.add_argument("--layer-choices", required=True)
    parser.add_argument("--variant-decisions", required=True)
    parser.add_argument("--faulty-hubs", required=True)
    parser.add_argument("--variant-rounds", type=int, default=VARIANT_ROUNDS, help="random systems and sets of variants")
    parser.add_argument("tests", nargs="*")
    options = parser.parse_args()
    PROGRAM = Program(os.environ.get("KERNELS_BIN") or options.program)
    BUILT = options.built
    LAYER_CHOICES = options.layer_choices
    VARIANT_DECISIONS = options.variant_decisions
    VARIANT_ROUNDS = options.variant_rounds
    FAULTY_HUBS = options.faulty_hubs
    try:
        PYTHON_NEW = environment(options.work, "new", "requirements-new.txt")
        PYTHON_016 = environment(options.work, "016", "requirements-016.txt")
    except IndexUnreachable as reason:
        print(f"skipped: {reason}")
        return 77
    result = unittest.main(argv=[sys.argv[0], "--verbose", *options.tests], exit=False).result
    return 0 if result.wasSuccessful() else 1


if __name__ == "__main__":
    sys.exit(main())
