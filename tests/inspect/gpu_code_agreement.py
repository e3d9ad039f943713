"""Builds small libraries with every compression mode and kind of architecture, and compares what our program says is in them
with what was asked of the compiler, and with cuobjdump where there is one. Libraries of others can be compared too.

    python tests/inspect/gpu_code_agreement.py --program build/release/kernels --nvcc nvcc [--all] [--cuobjdump PATH] [FILE…]

Without --all a part of the builds is made, for every test run. Known difference: cuobjdump 13.0 drops the `f` of family
code; names are compared without it where it says so.
"""

import argparse
import collections
import json
import os
import re
import subprocess
import sys
import tempfile
from pathlib import Path

ONE = """
template <class T> __global__ void scale(T* x, T a) { x[threadIdx.x] *= a; }
extern "C" void launch_%(name)s(float* x) { scale<float><<<1, 32>>>(x, 2.0f); }
"""
DEVICE_A = "__device__ float helper(float); __global__ void uses(float* x) { *x = helper(*x); }\n"
DEVICE_B = "__device__ float helper(float x) { return x + 1; }\n"


def arch(*codes: str) -> list[str]:
    """Options for code=…; `compute_90` means PTX, `lto_90` the linker's form."""
    out = []
    for code in codes:
        kind, number = code.split("_")
        out.append(f"-gencode=arch=compute_{number},code={code}")
    return out


# name, files with their architectures, further options, in every test run
BUILDS = [
    ("plain", [["sm_80", "sm_90"]], [], True),
    ("ptx-and-suffixes", [["sm_90a", "compute_90", "sm_100f", "compute_120f"]], [], True),
    ("two-files-that-differ", [["sm_80", "sm_90a"], ["sm_100a"]], [], True),
    ("compress-size", [["sm_80", "compute_80"], ["sm_90"]], ["--compress-mode=size"], True),
    ("compress-speed", [["sm_80", "compute_80"]], ["--compress-mode=speed"], True),
    ("compress-balance", [["sm_80", "compute_80"]], ["--compress-mode=balance"], False),
    ("compress-none", [["sm_80", "compute_80"]], ["--compress-mode=none"], False),
    ("compress-all", [["sm_80", "compute_80", "sm_90a"]], ["-Xfatbin", "-compress-all"], False),
    ("no-compress", [["sm_80", "compute_80"]], ["-no-compress"], False),
    ("ptx-only", [["compute_75"]], [], False),
    ("ptx-suffixes", [["compute_90a", "compute_100f", "compute_100a"]], [], False),
    ("many", [["sm_75", "sm_80", "sm_86", "sm_89", "sm_90", "sm_100", "sm_103", "sm_110", "sm_120", "sm_121"]], [], False),
    ("line-info", [["sm_80", "compute_80"]], ["-lineinfo"], False),
    ("debug", [["sm_80", "compute_80"]], ["-G", "-g"], False),
]


def run(*words: str, cwd: str | None = None) -> str:
    done = subprocess.run(words, capture_output=True, text=True, cwd=cwd)
    if done.returncode != 0:
        raise SystemExit(f"{' '.join(map(str, words))}\n{done.stdout}{done.stderr}")
    return done.stdout


def ours(program: str, file: str) -> list[dict]:
    """All images that a loader could take, empty ones too."""
    report = json.loads(run(program, "inspect", file, "--json"))
    (entry,) = report["files"]
    assert entry["error"] is None and entry["gpu_code_complete"], entry
    return [image for image in entry["gpu_code"] if not image["relocatable"]]


def theirs(cuobjdump: str, file: str) -> tuple[collections.Counter, collections.Counter]:
    counters = []
    for option, ending in (("--list-elf", "cubin"), ("--list-ptx", "ptx")):
        done = subprocess.run([cuobjdump, option, file], capture_output=True, text=True)
        if done.returncode != 0 and "does not contain device code" not in done.stdout + done.stderr:
            raise SystemExit(f"{cuobjdump} {option} {file}: {done.stdout}{done.stderr}")
        names = re.findall(rf"\.(sm_\d+[af]?)\.{ending}$", done.stdout, re.M)
        counters.append(collections.Counter(names))
    return counters[0], counters[1]


def without_family(counter: collections.Counter) -> collections.Counter:
    out: collections.Counter = collections.Counter()
    for name, count in counter.items():
        out[name.removesuffix("f")] += count
    return out


def compare(program: str, cuobjdump: str, file: str) -> list[str]:
    images = ours(program, file)
    sass = collections.Counter(image["arch"] for image in images if image["kind"] == "sass")
    ptx = collections.Counter(image["arch"].replace("compute_", "sm_") for image in images if image["kind"] == "ptx")
    their_sass, their_ptx = theirs(cuobjdump, file)
    wrong = []
    for what, one, other in (("machine code", sass, their_sass), ("PTX", ptx, their_ptx)):
        if one != other and not (without_family(one) == without_family(other) and not any(name.endswith("f") for name in other)):
            wrong.append(f"{file}: {what}: ours {dict(one)}, cuobjdump {dict(other)}")
    print(f"  {os.path.basename(file)}: {sum(sass.values())} machine code, {sum(ptx.values())} PTX")
    return wrong


def build(nvcc: str, folder: Path, name: str, files: list[list[str]], options: list[str]) -> Path:
    objects = []
    for index, codes in enumerate(files):
        source = folder / f"{name}-{index}.cu"
        source.write_text(ONE % {"name": f"{re.sub('[^a-z]', '_', name)}_{index}"})
        objects.append(str(source.with_suffix(".o")))
        run(nvcc, "-c", "-Xcompiler", "-fPIC", *arch(*codes), *options, str(source), "-o", objects[-1])
    library = folder / f"{name}.so"
    # The host's linker, as CMake does; linking by nvcc adds a container without functions.
    run("g++", "-shared", *objects, "-o", str(library))
    return library


def expected(codes: list[str]) -> list[str]:
    return sorted(codes)


def check_containers(program: str, library: Path, files: list[list[str]]) -> list[str]:
    containers: dict[int, list[str]] = collections.defaultdict(list)
    for image in ours(program, str(library)):
        containers[image["container"]].append(image["arch"])
    found = [sorted(names) for _, names in sorted(containers.items())]
    asked = [expected(codes) for codes in files]
    return [] if found == asked else [f"{library.name}: asked for {asked}, found {found}"]


def strip_sections(library: Path) -> Path:
    """A copy without its table of sections, as sstrip leaves it."""
    content = bytearray(library.read_bytes())
    content[0x28:0x30] = bytes(8)
    content[0x3C:0x40] = bytes(4)
    copy = library.with_name(library.stem + "-sstrip.so")
    copy.write_bytes(content)
    return copy


def check_nvcc_link(nvcc: str, program: str, folder: Path) -> list[str]:
    """nvcc's own link adds an empty container; relocatable code is told apart from what was linked of it."""
    sources = {"a.cu": DEVICE_A, "b.cu": DEVICE_B}
    for name, text in sources.items():
        (folder / name).write_text(text)
    library = folder / "rdc.so"
    run(nvcc, "-rdc=true", "-shared", "-Xcompiler", "-fPIC", *arch("sm_80", "sm_90"), "-o", str(library),
        *(str(folder / name) for name in sources))
    report = json.loads(run(program, "inspect", str(library), "--json", "--functions"))["files"][0]
    kinds = collections.Counter((image["relocatable"], image["empty"]) for image in report["gpu_code"])
    wrong = []
    if kinds[(True, False)] + kinds[(True, True)] == 0:
        wrong.append(f"rdc.so: no relocatable code was told apart: {kinds}")
    if kinds[(False, False)] != 2:
        wrong.append(f"rdc.so: two linked images were expected: {kinds}")
    if not any("uses" in name for names in report["gpu_functions"] for name in names):
        wrong.append("rdc.so: the kernel's name was not found")
    (folder / "c.cu").write_text(ONE % {"name": "c"})
    plain = folder / "linked-by-nvcc.so"
    run(nvcc, "-shared", "-Xcompiler", "-fPIC", *arch("sm_80", "sm_90"), "-o", str(plain), str(folder / "c.cu"))
    images = ours(program, str(plain))
    if [image["empty"] for image in images].count(True) != 2 or len(images) != 4:
        wrong.append(f"linked-by-nvcc.so: two empty and two full images were expected: {images}")
    return wrong


def check_builds(arguments: argparse.Namespace, folder: Path) -> tuple[list[str], list[str]]:
    wrong: list[str] = []
    made: list[str] = []
    for name, files, options, always in BUILDS:
        if not (always or arguments.all):
            continue
        library = build(arguments.nvcc, folder, name, files, options)
        stripped = library.with_name(library.stem + "-strip.so")
        run("strip", "-o", str(stripped), str(library))
        for file in (library, stripped, strip_sections(library)):
            wrong += check_containers(arguments.program, file, files)
        made += [str(library), str(stripped)]
        print(f"  {name}: {files}")
    return wrong + check_nvcc_link(arguments.nvcc, arguments.program, folder), made


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--program", required=True)
    parser.add_argument("--nvcc")
    parser.add_argument("--cuobjdump")
    parser.add_argument("--all", action="store_true")
    parser.add_argument("files", nargs="*")
    arguments = parser.parse_args()
    wrong: list[str] = []
    with tempfile.TemporaryDirectory() as place:
        files = list(arguments.files)
        if arguments.nvcc:
            found, made = check_builds(arguments, Path(place))
            wrong += found
            files += made
        if arguments.cuobjdump:
            for file in files:
                wrong += compare(arguments.program, arguments.cuobjdump, file)
    print("\n".join(wrong) if wrong else f"agreement ({len(files)} files)")
    sys.exit(1 if wrong else 0)


if __name__ == "__main__":
    main()
