"""Runs the benchmark classes of a kernel repository for `kernels bench`.

Started by kernels-worker in the environment's interpreter, one process for each class and method. The request is a
frame on descriptor 3, answers go to descriptor 4, requests for samples come on descriptor 5; the frames and their JSON
are those of lib/bench/include/kernels/bench/worker.h. The scripts follow the conventions of the Python package
`kernels`: subclasses of `kernels.benchmark.Benchmark` with `benchmark_X`, `setup_X` or `setup`, and `verify_X`.
"""

import ctypes
import gc
import importlib
import importlib.util
import json
import math
import os
import random
import re
import struct
import sys
import time
import traceback
import types
import warnings

REQUEST, ANSWER, MORE = 3, 4, 5
MOST_NAMES = 1000
MOST_TEXT = 2000
ABSOLUTE, RELATIVE = 1e-2, 1e-5  # what the package compares with
SAMPLE_NS = 1_000_000


def clean(text, most=MOST_TEXT):
    """A text of others as it may travel: no lone surrogates, not endless."""
    return str(text)[:most].encode("utf-8", "replace").decode("utf-8")


def send(value):
    payload = json.dumps(value).encode()
    data = struct.pack("<I", len(payload)) + payload
    while data:
        data = data[os.write(ANSWER, data):]


def read_exactly(descriptor, size):
    data = b""
    while len(data) < size:
        part = os.read(descriptor, size - len(data))
        if not part:
            return None
        data += part
    return data


def receive(descriptor):
    head = read_exactly(descriptor, 4)
    if head is None:
        return None
    payload = read_exactly(descriptor, struct.unpack("<I", head)[0])
    return None if payload is None else json.loads(payload)


class Ended(Exception):
    """How a case ended instead of being right."""

    def __init__(self, verdict, reason):
        super().__init__(reason)
        self.verdict, self.reason = verdict, clean(reason)


def place_of(error, script):
    """` (benchmark.py:12)`: the innermost line of the script that an exception went through."""
    found = ""
    for frame in traceback.extract_tb(error.__traceback__):
        if frame.filename == script:
            found = " (%s:%s)" % (os.path.basename(script), frame.lineno)
    return found


class Runner:
    def __init__(self, request):
        self.request = request
        self.script = request["script"]
        self.doing = "starting"
        self.torch = None
        self.numerics = {"max_error": 0.0, "worst_share": 0.0, "checked": 0}
        self.is_recordable = False
        self.dtype = None

    # --- what is told ---

    def step(self, text):
        self.doing = clean(text, 200)
        send({"step": self.doing})

    def result(self, verdict, reason=""):
        return {"verdict": verdict, "reason": reason, "timing": None, "numerics": self.numerics,
                "probe": {"launches": [], "copies": 0, "is_recordable": self.is_recordable, "faults": []}}

    def ended(self, error, verdict):
        """What an exception means; `verdict` if it is an ordinary one."""
        if isinstance(error, Ended):
            return self.result(error.verdict, error.reason)
        if isinstance(error, MemoryError) or "OutOfMemory" in type(error).__name__:
            verdict = "out of memory"
        elif isinstance(error, SystemExit):
            return self.result("crashed", clean("it called sys.exit(%s) while %s" % (
                "" if error.code is None else error.code, self.doing)))
        elif "CUDA error" in str(error) or type(error).__name__ == "AcceleratorError":
            verdict = "crashed"
        text = "%s: %s while %s%s" % (clean(type(error).__name__, 200), clean(first_line(error)), self.doing,
                                      place_of(error, self.script))
        if isinstance(error, ImportError) and verdict != "raised":
            verdict = "failed"
            name = (getattr(error, "name", None) or "").split(".")[0]
            if isinstance(error, ModuleNotFoundError) and name:
                text += "; `%s` has no module `%s`" % (sys.executable, name)
        return self.result(verdict, clean(text))

    # --- the script ---

    def import_script(self):
        self.step("importing " + os.path.basename(self.script))
        benchmark = provide_package(self)
        self.torch = find_torch()
        spec = importlib.util.spec_from_file_location("benchmark_module", self.script)
        if spec is None:
            raise Ended("failed", "`%s` cannot be imported" % self.script)
        module = importlib.util.module_from_spec(spec)
        sys.modules["benchmark_module"] = module
        before = os.getcwd()
        os.chdir(self.request["repository"])
        try:
            spec.loader.exec_module(module)
        finally:
            os.chdir(before)
        self.torch = find_torch()
        found = {}
        for name in dir(module):
            value = getattr(module, name)
            if (isinstance(value, type) and issubclass(value, benchmark) and value is not benchmark
                    and value.__module__ == "benchmark_module"):
                found[name] = value
        if not found:
            raise Ended("failed", "the script has no subclass of `kernels.benchmark.Benchmark`")
        return found

    def listing(self):
        out = []
        for name, one in self.import_script().items():
            methods = [item for item in dir(one)
                       if item.startswith("benchmark_") and callable(getattr(one, item, None))]
            if not methods:
                raise Ended("failed", "the class `%s` has no method `benchmark_…`" % clean(name, 200))
            out.append({"class": clean(name, 200), "methods": [clean(item, 200) for item in methods]})
        if sum(len(one["methods"]) for one in out) > MOST_NAMES:
            raise Ended("failed", "the script has more than %d benchmarks" % MOST_NAMES)
        return out

    def load_kernel(self):
        self.step("loading the kernel")
        return load_variant(self.request["variant"], self.request["needs"])

    # --- one case ---

    def prepare(self):
        """The meter, or None when nothing is to be timed; with the verdict and its reason."""
        classes = self.guard(self.import_script, "failed")
        one = classes.get(self.request["class"])
        if one is None:
            raise Ended("failed", "the script has no class `%s` any more" % self.request["class"])
        kernel = self.guard(self.load_kernel, "failed")
        device = self.guard(self.open_device, "failed")
        method = self.request["method"]
        name = method[len("benchmark_"):]
        instance = self.guard(lambda: self.make_instance(one, kernel, device, name), "failed")
        call = getattr(instance, method)
        self.step("calling " + method)
        self.guard(lambda: self.run(call), "raised")
        self.dtype = dtype_name(getattr(instance, "out", None))
        verify = getattr(instance, "verify_" + name, None)
        verdict, reason = self.check(instance, verify, "verify_" + name)
        if not self.request["timed"]:
            return None, verdict, reason
        self.step("setting up the measurement of " + method)
        meter = self.guard(lambda: make_meter(self, instance, call, verify), "raised")
        return meter, verdict, reason

    def guard(self, action, verdict):
        try:
            return action()
        except Ended:
            raise
        except BaseException as error:  # noqa: B902 sys.exit and all else that a script may raise
            traceback.print_exc()
            said = self.ended(error, verdict)
            raise Ended(said["verdict"], said["reason"]) from None

    def open_device(self):
        device = self.request["device"]
        if device == "cpu":
            return device
        torch = self.torch
        if torch is None:
            torch = self.torch = importlib.import_module("torch")
        if not torch.cuda.is_available():
            raise Ended("failed", "the torch of `%s` finds no CUDA device" % sys.executable)
        torch.cuda.set_device(self.request["index"])
        return device

    def make_instance(self, one, kernel, device, name):
        instance = one()
        instance.kernel = kernel
        instance.device = device
        seed = getattr(instance, "seed", None)
        seed = self.request["seed"] if seed is None else seed
        random.seed(seed)
        if self.torch is not None:
            self.torch.manual_seed(seed % (1 << 63))
        specific = getattr(instance, "setup_" + name, None)
        self.step("running " + ("setup" if specific is None else "setup_" + name))
        (instance.setup if specific is None else specific)()
        self.synchronize()
        return instance

    def run(self, call):
        value = call()
        self.synchronize()
        return value

    def synchronize(self):
        if self.request["device"] != "cpu" and self.torch is not None:
            self.torch.cuda.synchronize()

    def check(self, instance, verify, name):
        if verify is None:
            return "not checked", "the script has no " + name
        self.step("running " + name)
        expected = self.guard(lambda: self.run(verify), "failed")
        got = getattr(instance, "out", None)
        if got is None:
            raise Ended("failed", "`self.out` holds nothing to compare with what %s returns" % name)
        if expected is got:
            return "not checked", "%s returns `self.out` itself" % name
        self.step("comparing with " + name)
        outcome = self.guard(lambda: compare(self.torch, got, expected), "failed")
        self.numerics = outcome.numerics()
        if outcome.reason:
            raise Ended("wrong", outcome.reason)
        if not outcome.checked:
            return "not checked", "`self.out` is empty, and so is what %s returns" % name
        return "right", ""


def first_line(error):
    lines = str(error).strip().splitlines()
    return lines[0] if lines else "no text"


def find_torch():
    return sys.modules.get("torch")


# --- the package ---


def provide_package(runner):
    """`kernels.benchmark.Benchmark`: that of the installed package, else one of the same conventions."""
    try:
        return importlib.import_module("kernels.benchmark").Benchmark
    except (ImportError, AttributeError) as error:
        if getattr(error, "name", None) != "kernels":
            print("without the Python package `kernels`: %s" % error, file=sys.stderr)
    request = runner.request

    class Benchmark:
        seed = None
        device = "cpu"

        def __init__(self):
            self.kernel = None
            self.out = None

        def setup(self):
            """For subclasses."""

    def get_local_kernel(path, *_args, **_options):
        folder = os.path.abspath(str(path))
        if folder not in (os.path.abspath(request["repository"]), os.path.abspath(request["variant"])):
            raise ImportError("only the kernel that is measured can be loaded without the Python package `kernels`")
        return load_variant(request["variant"], request["needs"])

    def get_kernel(repo_id, *_args, **_options):
        if repo_id != request["kernel"]:
            raise ImportError("`%s` cannot be loaded without the Python package `kernels`" % repo_id)
        return load_variant(request["variant"], request["needs"])

    package = sys.modules.get("kernels")
    if package is None:
        package = types.ModuleType("kernels")
        package.__path__ = []
        package.get_kernel = get_kernel
        package.get_local_kernel = get_local_kernel
        package.get_kernel_dep = Needs.find
        sys.modules["kernels"] = package
    module = types.ModuleType("kernels.benchmark")
    module.Benchmark = Benchmark
    package.benchmark = module
    sys.modules["kernels.benchmark"] = module
    return Benchmark


class Needs:
    """The kernels that one which is being loaded may ask for, where the package is not there to keep them."""

    loading = []

    def __init__(self, modules):
        self.modules = modules

    def __enter__(self):
        Needs.loading.append(self.modules)

    def __exit__(self, *_error):
        Needs.loading.pop()

    @staticmethod
    def find(repo_id):
        if not Needs.loading or repo_id not in Needs.loading[-1]:
            raise ImportError("`%s` is no kernel that this one says it needs, or it is not in the cache" % repo_id)
        return Needs.loading[-1][repo_id]


def while_loading(modules):
    try:
        return importlib.import_module("kernels.deps").use_kernel_deps(modules)
    except (ImportError, AttributeError):
        return Needs(modules)


def load_variant(folder, needs):
    """The Python module of `build/<variant>`: its `__init__.py`, or that of the folder with the kernel's name in it."""
    with open(os.path.join(folder, "metadata.json"), encoding="utf-8") as file:
        metadata = json.load(file)
    name = str(metadata.get("name", "kernel")).replace("-", "_")
    identity = re.sub(r"[^A-Za-z0-9_]", "_", str(metadata.get("id") or "_" + name + "_bench"))
    if identity in sys.modules:
        return sys.modules[identity]
    wanted = [one.get("repo-id") for one in metadata.get("kernel-depends") or []]
    modules = {one: load_variant(needs[one], needs) for one in wanted if one in needs}
    for file in (os.path.join(folder, "__init__.py"), os.path.join(folder, name, "__init__.py")):
        if os.path.isfile(file):
            break
    else:
        raise Ended("failed", "the variant has no Python module: no `__init__.py`")
    spec = importlib.util.spec_from_file_location(identity, file)
    module = importlib.util.module_from_spec(spec)
    sys.modules[identity] = module
    try:
        with while_loading(modules):
            spec.loader.exec_module(module)
    except BaseException:
        sys.modules.pop(identity, None)
        raise
    return module


# --- correctness ---


class Outcome:
    def __init__(self):
        self.max_error, self.worst_share, self.checked, self.reason = 0.0, 0.0, 0, ""

    def numerics(self):
        def finite(value):
            return value if math.isfinite(value) else None
        return {"max_error": finite(self.max_error), "worst_share": finite(self.worst_share), "checked": self.checked}

    def take(self, index, got, expected):
        """One element, as numbers."""
        self.checked += 1
        error = 0.0 if got == expected else abs(got - expected)
        share = error / (ABSOLUTE + RELATIVE * abs(expected))
        if not share <= 1:  # also what is not a number
            share = math.inf if math.isnan(share) else share
            error = math.inf if math.isnan(error) else error
            if not self.reason:
                self.reason = "element %d of `self.out` is %r, the reference says %r" % (index, got, expected)
        self.max_error, self.worst_share = max(self.max_error, error), max(self.worst_share, share)


def compare(torch, got, expected):
    if torch is not None and torch.is_tensor(got) and torch.is_tensor(expected):
        return compare_tensors(torch, got, expected)
    outcome = Outcome()
    got, expected = list(flatten(got)), list(flatten(expected))
    if len(got) != len(expected):
        outcome.reason = "`self.out` has %d elements, the reference %d" % (len(got), len(expected))
        outcome.max_error = outcome.worst_share = math.inf
        return outcome
    for index, (a, b) in enumerate(zip(got, expected)):
        outcome.take(index, a, b)
    return outcome


def flatten(value):
    """The numbers of a number, of nested lists, of arrays."""
    if hasattr(value, "tolist"):
        value = value.tolist()
    if isinstance(value, (list, tuple, range, bytes, bytearray, memoryview)) or type(value).__name__ == "array":
        for one in value:
            yield from flatten(one)
    elif isinstance(value, (int, float, complex)):
        yield value
    else:
        raise TypeError("a %s cannot be compared" % type(value).__name__)


def compare_tensors(torch, got, expected):
    outcome = Outcome()
    wide = torch.complex128 if got.is_complex() or expected.is_complex() else torch.float64
    try:
        got, expected = torch.broadcast_tensors(got.detach(), expected.detach().to(got.device))
    except RuntimeError:
        outcome.reason = "`self.out` has the shape %s, the reference %s" % (list(got.shape), list(expected.shape))
        outcome.max_error = outcome.worst_share = math.inf
        return outcome
    got, expected = got.reshape(-1), expected.reshape(-1)
    chunk = 1 << 24  # a float64 copy of everything need not fit
    for begin in range(0, got.numel(), chunk):
        a, b = got[begin:begin + chunk].to(wide), expected[begin:begin + chunk].to(wide)
        error = torch.where(a == b, torch.zeros((), dtype=torch.float64, device=a.device), (a - b).abs())
        share = error / (ABSOLUTE + RELATIVE * b.abs())
        error = torch.nan_to_num(error, nan=math.inf, posinf=math.inf)
        share = torch.nan_to_num(share, nan=math.inf, posinf=math.inf)
        worst = int(share.argmax())
        if not float(share[worst]) <= 1 and not outcome.reason:
            bad = int((share > 1).sum())
            first = int((share > 1).to(torch.uint8).argmax())
            outcome.reason = "element %d of `self.out` is %s, the reference says %s; %d of %d are outside" % (
                begin + first, a[first].item(), b[first].item(), bad, a.numel())
        outcome.max_error = max(outcome.max_error, float(error.max()))
        outcome.worst_share = max(outcome.worst_share, float(share[worst]))
        outcome.checked += a.numel()
    return outcome


def dtype_name(out):
    """Of a result, as the program names data types."""
    if isinstance(out, float):
        return "float64"
    name = str(getattr(out, "dtype", "")).replace("torch.", "")
    return name if name in ("float32", "float16", "bfloat16", "float64") else None


# --- time ---


def make_meter(runner, instance, call, verify):
    # A reference that was not compared with anything is no reference.
    reference = verify if runner.numerics["checked"] else None
    if runner.request["device"] == "cpu":
        return CpuMeter(runner, call, reference)
    return CudaMeter(runner, instance, call, reference)


def clock_mhz():
    """Of this processor, where the system tells."""
    try:
        with open("/proc/self/stat", encoding="ascii") as file:
            cpu = file.read().rsplit(")", 1)[1].split()[36]
        with open("/sys/devices/system/cpu/cpu%s/cpufreq/scaling_cur_freq" % cpu, encoding="ascii") as file:
            return int(file.read()) / 1e3
    except (OSError, ValueError, IndexError):
        return None


def preempted():
    try:
        import resource
        return resource.getrusage(resource.RUSAGE_SELF).ru_nivcsw
    except ImportError:
        return 0


def conditions(before, after):
    known = before is not None and after is not None
    return {"clock_mhz": {"low": min(before, after), "high": max(before, after)} if known else None,
            "memory_mhz": None, "power_w": None, "temperature_c": None, "slowed_by": [], "other_processes": 0,
            "memory_errors": 0, "dropped": {}}


SLOWDOWNS = ((0x04, "power limit"), (0x08, "hardware slowdown"), (0x10, "clocks in step with other GPUs"),
             (0x20, "temperature"), (0x40, "hardware temperature"), (0x80, "power brake"), (0x100, "display clocks"))


class Health:
    """What NVML tells of a device: nothing where it is not there. The functions are those that the C++ worker asks."""

    def __init__(self, properties):
        self.library = self.device = None
        try:
            library = ctypes.CDLL("libnvidia-ml.so.1")
            device = ctypes.c_void_p()
            address = "%08x:%02x:%02x.0" % (properties.pci_domain_id, properties.pci_bus_id, properties.pci_device_id)
            if library.nvmlInit_v2() == 0 and \
                    library.nvmlDeviceGetHandleByPciBusId_v2(address.encode(), ctypes.byref(device)) == 0:
                self.library, self.device = library, device
        except (OSError, AttributeError, TypeError):
            pass

    def ask(self, name, kind, *arguments):
        """The value that a function writes, or None."""
        value = kind()
        try:
            failed = getattr(self.library, name)(self.device, *arguments, ctypes.byref(value))
        except AttributeError:
            return None
        return None if failed else value.value

    def processes(self):
        # Without room it says how many there are, and fails for that if there is any.
        count = ctypes.c_uint(0)
        for name in ("nvmlDeviceGetComputeRunningProcesses_v3", "nvmlDeviceGetComputeRunningProcesses_v2"):
            if hasattr(self.library, name):
                getattr(self.library, name)(self.device, ctypes.byref(count), None)
                return max(count.value - 1, 0)
        return 0

    def now(self):
        if self.library is None:
            return None
        reasons = self.ask("nvmlDeviceGetCurrentClocksEventReasons", ctypes.c_ulonglong)
        if reasons is None:
            reasons = self.ask("nvmlDeviceGetCurrentClocksThrottleReasons", ctypes.c_ulonglong)
        power = self.ask("nvmlDeviceGetPowerUsage", ctypes.c_uint)
        return {"clock_mhz": self.ask("nvmlDeviceGetClockInfo", ctypes.c_uint, 1),
                "memory_mhz": self.ask("nvmlDeviceGetClockInfo", ctypes.c_uint, 2),
                "power_w": None if power is None else power / 1e3,
                "temperature_c": self.ask("nvmlDeviceGetTemperature", ctypes.c_uint, 0),
                "slowed_by": [name for bit, name in SLOWDOWNS if (reasons or 0) & bit],
                "other_processes": self.processes(),
                "memory_errors": self.ask("nvmlDeviceGetTotalEccErrors", ctypes.c_ulonglong, 1, 0) or 0}

    def limits(self):
        """Of the device, for its record."""
        if self.library is None:
            return {}
        ecc, later = ctypes.c_uint(), ctypes.c_uint()
        known = self.library.nvmlDeviceGetEccMode(self.device, ctypes.byref(ecc), ctypes.byref(later)) == 0
        power = self.ask("nvmlDeviceGetEnforcedPowerLimit", ctypes.c_uint)
        return {"ecc": bool(ecc.value) if known else None,
                "max_clock_mhz": self.ask("nvmlDeviceGetMaxClockInfo", ctypes.c_uint, 1),
                "max_memory_mhz": self.ask("nvmlDeviceGetMaxClockInfo", ctypes.c_uint, 2),
                "power_limit_w": None if power is None else power / 1e3}


def seen(before, after):
    """Conditions over two moments."""
    out = conditions(None, None)
    if before is None or after is None:
        return out
    for name in ("clock_mhz", "memory_mhz", "power_w", "temperature_c"):
        if before[name] is not None and after[name] is not None:
            out[name] = {"low": min(before[name], after[name]), "high": max(before[name], after[name])}
    out["slowed_by"] = before["slowed_by"] + [name for name in after["slowed_by"] if name not in before["slowed_by"]]
    for name in ("other_processes", "memory_errors"):
        out[name] = max(before[name], after[name])
    return out


def disturbance(before, after):
    """The rule of the C++ worker."""
    if before is None or after is None:
        return ""

    def moved(name):
        return bool(before[name] and after[name]) and abs(after[name] / before[name] - 1) > 0.02
    if after["memory_errors"] > before["memory_errors"]:
        return "memory error"
    if before["slowed_by"] != after["slowed_by"]:
        return "clocks limited"
    if moved("clock_mhz"):
        return "clock moved"
    if moved("memory_mhz"):
        return "memory clock moved"
    return "other process" if before["other_processes"] != after["other_processes"] else ""


def calls_for(nanoseconds, most):
    return max(1, min(most, int(SAMPLE_NS // max(nanoseconds, 1))))


def nanoseconds_of(call, count):
    begin = time.perf_counter_ns()
    for _ in range(count):
        call()
    return (time.perf_counter_ns() - begin) / count


class CpuMeter:
    """Single calls after everything else went through the cache; and many calls in a row."""

    def __init__(self, runner, call, reference):
        self.call, self.reference = call, reference
        self.from_, self.to = (bytearray(runner.request["cache_bytes"]) for _ in range(2))
        gc.collect()
        gc.disable()
        call()
        self.calls = calls_for(nanoseconds_of(call, 1), 100_000)

    def plan(self):
        kinds = ["cold", "warm"] + (["reference"] if self.reference else [])
        return {"series": kinds, "limit_method": "",
                "method": "cold: one call after %d MiB went through the cache; warm: %d calls per sample; "
                          "time.perf_counter_ns, with the time that Python takes for a call" % (
                              2 * len(self.to) >> 20, self.calls)}

    def cold(self, call):
        self.to[:] = self.from_
        return nanoseconds_of(call, 1)

    def sample(self, count):
        samples = {kind: [] for kind in self.plan()["series"]}
        switched, clock = preempted(), clock_mhz()
        for _ in range(count):
            samples["cold"].append(self.cold(self.call))
            if self.reference:
                samples["reference"].append(self.cold(self.reference))
            samples["warm"].append(nanoseconds_of(self.call, self.calls))
        after = clock_mhz()
        moved = bool(clock and after) and abs(after / clock - 1) > 0.02
        disturbed = "clock moved" if moved else "preempted" if preempted() > switched else ""
        return {"samples": samples, "conditions": conditions(clock, after), "disturbed": disturbed}


class CudaMeter:
    """Calls inside of a graph, each after a flush of the cache and between two events that the graph holds too, so that
    no host is in the time; where a graph cannot hold a call, or torch no such events, single calls between events."""

    def __init__(self, runner, instance, call, reference):
        self.torch = torch = runner.torch
        self.call, self.reference = call, reference
        properties = torch.cuda.get_device_properties(torch.cuda.current_device())
        self.health = Health(properties)
        cache = getattr(properties, "L2_cache_size", 0) or 64 << 20
        # It is read, not written: what a flush leaves to be written would be paid by the call.
        self.memory = torch.zeros(2 * cache // 4, dtype=torch.float32, device="cuda")
        self.sink = torch.zeros((), dtype=torch.float32, device="cuda")
        self.begin, self.end = (torch.cuda.Event(enable_timing=True) for _ in range(2))
        self.why_not = ""
        self.home = torch.cuda.current_stream()
        gc.collect()
        gc.disable()
        for one in filter(None, (call, reference)):
            for _ in range(3):
                one()
        torch.cuda.synchronize()
        try:
            self.record(instance)
            runner.is_recordable = True
        except Exception as error:  # noqa: B902 whatever keeps a graph from holding a call
            self.graphs = {}
            self.why_not = "%s: %s" % (type(error).__name__, first_line(error))
            traceback.print_exc()
            self.settle()

    def settle(self):
        """A failed recording may leave its stream in place, and an error that the next call reports."""
        self.torch.cuda.set_stream(self.home)
        try:
            self.torch.cuda.synchronize()
            self.call()
        except RuntimeError:
            pass
        self.torch.cuda.synchronize()
        self.call()
        self.torch.cuda.synchronize()

    def flush(self):
        self.torch.sum(self.memory, 0, out=self.sink)

    def record(self, instance):
        alone = min(self.single(self.call) for _ in range(3))
        self.count = calls_for(alone + 60_000, 20)
        self.warm_count = calls_for(alone, 200)
        self.graphs = {}
        self.pairs = {}
        self.graphs["warm"] = self.capture(self.call, self.warm_count)
        self.refuse_empty(instance)
        for kind, call in (("cold", self.call), ("reference", self.reference)):
            if not call:
                continue
            self.pairs[kind] = [tuple(self.torch.cuda.Event(enable_timing=True, external=True) for _ in range(2))
                                for _ in range(self.count)]
            self.graphs[kind] = self.capture(call, self.count, self.pairs[kind])
        self.replay(self.graphs["warm"])
        for kind in self.pairs:
            self.between(kind)

    def capture(self, call, count, pairs=()):
        torch = self.torch
        side = torch.cuda.Stream()
        side.wait_stream(torch.cuda.current_stream())
        with torch.cuda.stream(side):
            for _ in range(2):
                if pairs:
                    self.flush()
                call()
        torch.cuda.current_stream().wait_stream(side)
        torch.cuda.synchronize()
        graph = torch.cuda.CUDAGraph()
        with warnings.catch_warnings(record=True) as told:
            warnings.simplefilter("always")
            with torch.cuda.graph(graph):
                for index in range(count):
                    if pairs:
                        self.flush()
                        pairs[index][0].record()
                    call()
                    if pairs:
                        pairs[index][1].record()
        if any("graph is empty" in str(one.message).lower() for one in told):
            raise RuntimeError("a recorded call launches nothing: it ignores the stream")
        torch.cuda.synchronize()
        return graph

    def refuse_empty(self, instance):
        """A kernel on another stream than the current one is not in the graph: replays must write the output."""
        torch, out = self.torch, getattr(instance, "out", None)
        if not (torch.is_tensor(out) and out.is_floating_point()):
            return
        with torch.no_grad():
            saved = out.clone()

            def repairs(run):
                out.fill_(math.nan)
                run()
                torch.cuda.synchronize()
                return not bool(torch.isnan(out).any())
            if bool(torch.isnan(saved).any()):
                return
            by_graph = repairs(self.graphs["warm"].replay)
            by_call = by_graph or repairs(self.call)
            if getattr(instance, "out", None) is out:
                out.copy_(saved)
            torch.cuda.synchronize()
        if by_call and not by_graph:
            raise RuntimeError("a replay of the recorded call does not write the output: it ignores the stream")

    def replay(self, graph):
        """Nanoseconds of one replay."""
        self.torch.cuda.synchronize()
        self.flush()
        self.begin.record()
        graph.replay()
        self.end.record()
        self.end.synchronize()
        return self.begin.elapsed_time(self.end) * 1e6

    def between(self, kind):
        """Nanoseconds of one call, the mean over those of a replay."""
        self.torch.cuda.synchronize()
        self.graphs[kind].replay()
        self.torch.cuda.synchronize()
        return sum(begin.elapsed_time(end) for begin, end in self.pairs[kind]) * 1e6 / self.count

    def single(self, call):
        """One call alone: the device waits for each launch."""
        self.flush()
        self.torch.cuda.synchronize()
        self.begin.record()
        call()
        self.end.record()
        self.end.synchronize()
        return self.begin.elapsed_time(self.end) * 1e6

    def behind(self, call):
        """One call whose launches were queued while the flush was still running."""
        self.torch.cuda.synchronize()
        self.flush()
        self.flush()
        self.begin.record()
        call()
        self.end.record()
        self.end.synchronize()
        return self.begin.elapsed_time(self.end) * 1e6

    def plan(self):
        kinds = ["cold", "single"] + (["warm"] if self.graphs else []) + (["reference"] if self.reference else [])
        size = self.memory.numel() * 4 >> 20
        method = ("cold: graphs of %d calls, each after a flush of %d MiB and between events; warm: graphs of %d "
                  "calls" % (self.count, size, self.warm_count) if self.graphs else
                  "cold: one call after a flush of %d MiB, between events; a CUDA graph cannot hold it: %s" % (
                      size, self.why_not))
        return {"series": kinds, "method": clean(method), "limit_method": ""}

    def sample(self, count):
        samples = {kind: [] for kind in self.plan()["series"]}
        before = self.health.now()
        for _ in range(count):
            if self.graphs:
                for kind in self.pairs:
                    samples[kind].append(self.between(kind))
                samples["warm"].append(self.replay(self.graphs["warm"]) / self.warm_count)
            else:
                samples["cold"].append(self.behind(self.call))
                if self.reference:
                    samples["reference"].append(self.behind(self.reference))
            samples["single"].append(self.single(self.call))
        after = self.health.now()
        return {"samples": samples, "conditions": seen(before, after), "disturbed": disturbance(before, after)}


# --- the conversation ---


def device_record(runner):
    """What torch tells of a CUDA device; the parent knows the processor."""
    torch = runner.torch
    if runner.request["device"] == "cpu" or torch is None or not torch.cuda.is_available():
        return None
    index = runner.request["index"]
    properties = torch.cuda.get_device_properties(index)
    driver = ""
    try:
        with open("/sys/module/nvidia/version", encoding="ascii") as file:
            driver = file.read().strip()
    except OSError:
        pass
    uuid = str(getattr(properties, "uuid", ""))
    record = {"kind": "cuda", "index": index, "name": clean(properties.name, 200),
            "uuid": "GPU-" + uuid if uuid and not uuid.startswith(("GPU-", "MIG-")) else uuid or None,
            "driver": driver or None, "capability": "%d.%d" % (properties.major, properties.minor),
            "multiprocessors": properties.multi_processor_count, "memory_bytes": properties.total_memory,
            "cache_bytes": getattr(properties, "L2_cache_size", 0), "ecc": None, "max_clock_mhz": None,
            "max_memory_mhz": None, "power_limit_w": None}
    record.update(Health(properties).limits())
    return record


def answer(runner, result, meter):
    plan = None
    if meter is not None:
        plan = dict(meter.plan(), bytes=0, flops=0)
        plan["method"] = clean(plan["method"] + "; " + runner.request["script_text"])
    send({"answer": {"result": result, "device": device_record(runner), "plan": plan, "dtype": runner.dtype}})


def serve(runner, meter, verdict):
    while True:
        request = receive(MORE)
        if request is None:
            return
        runner.doing = "measuring"
        try:
            batch = meter.sample(int(request["sample"]))
            batch["samples"] = {kind: {"samples_ns": times} for kind, times in batch["samples"].items()}
            send({"samples": batch})
        except BaseException as error:  # noqa: B902 sys.exit and all else that a script may raise
            traceback.print_exc()
            send({"result": runner.ended(error, "raised")})
            return


def main():
    # The first entry is the folder of this program, which is none.
    if not getattr(sys.flags, "safe_path", False):
        del sys.path[0]
    for descriptor in (REQUEST, ANSWER, MORE):
        os.set_inheritable(descriptor, False)
    runner = Runner(receive(REQUEST))
    if runner.request["action"] == "list":
        try:
            send({"listing": runner.guard(runner.listing, "failed")})
        except Ended as end:
            answer(runner, runner.result(end.verdict, end.reason), None)
        return
    try:
        meter, verdict, reason = runner.prepare()
    except Ended as end:
        answer(runner, runner.result(end.verdict, end.reason), None)
        return
    answer(runner, runner.result(verdict, reason), meter)
    if meter is not None:
        serve(runner, meter, verdict)


status = 1
try:
    main()
    status = 0
except BaseException:  # noqa: B902 the parent judges what is left
    traceback.print_exc()
finally:
    # Threads and handlers that a script has left behind are none of our business, and may hang.
    for stream in (sys.stdout, sys.stderr):
        try:
            stream.flush()
        except Exception:  # noqa: B902 a script may have closed or replaced it
            pass
    os._exit(status)
