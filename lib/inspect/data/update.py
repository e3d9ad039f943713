"""Writes the lists that `inspect` compares libraries with, from the packages that publish the facts.

    python3 lib/inspect/data/update.py [--downloads FOLDER]

Downloads with pip (about 1 GB: the headers of PyTorch come in its wheels) and rewrites the files beside this script.
Facts only: names and version numbers. Sources:

    manylinux.txt      the policies that the package `auditwheel` carries (MIT licence)
    python_abi.txt     CPython's stable ABI as the package `abi3info` carries it (MIT licence)
    torch_shim.txt     the C functions that the headers of each PyTorch release declare (BSD licence)
    tvm_ffi.txt        the functions that each release of `apache-tvm-ffi` exports (Apache licence)
"""

import argparse
import datetime
import json
import re
import subprocess
import sys
import tempfile
import zipfile
from pathlib import Path

HERE = Path(__file__).parent
TODAY = datetime.date.today().isoformat()
TORCH = ["2.6.0", "2.7.0", "2.8.0", "2.9.0", "2.10.0", "2.11.0", "2.12.0", "2.13.0", "2.14.0", "2.15.0"]
TVM_FFI = [f"0.1.{patch}" for patch in range(15)] + ["0.1.15.post2"]
SHIM_HEADERS = re.compile(r"include/torch/csrc/(inductor/aoti_torch/c/[a-z_]*\.h|inductor/aoti_torch/generated/c_shim_aten\.h"
                          r"|stable/c/[a-z_]*\.h)$")


def download(folder: Path, requirement: str, *options: str) -> Path:
    """The wheel of a requirement; one that is there already is not fetched again."""
    place = folder / re.sub(r"[^A-Za-z0-9.]", "_", requirement)
    if not list(place.glob("*.whl")):
        subprocess.run([sys.executable, "-m", "pip", "download", "--quiet", "--no-deps", "--only-binary=:all:", *options, "-d",
                        str(place), requirement], check=True)
    return next(place.glob("*.whl"))


def version_of(wheel: Path) -> str:
    return wheel.name.split("-")[1]


def write(name: str, source: str, meaning: str, lines: list[str]) -> None:
    head = [f"# {meaning}", f"# Source: {source}. Made by update.py on {TODAY}."]
    (HERE / name).write_text("\n".join(head + lines) + "\n")
    print(f"{name}: {len(lines)} lines")


def key(version: str) -> list[int]:
    return [int(part) for part in version.split(".")]


def manylinux(folder: Path) -> None:
    wheel = download(folder, "auditwheel")
    policies = json.loads(zipfile.ZipFile(wheel).read("auditwheel/policy/manylinux-policy.json"))
    lines = []
    for policy in sorted(policies, key=lambda item: -item["priority"]):
        if not re.fullmatch(r"manylinux_\d+_\d+", policy["name"]):
            continue
        for cpu in ("x86_64", "aarch64"):
            for family, versions in sorted(policy["symbol_versions"].get(cpu, {}).items()):
                numbered = [version for version in versions if re.fullmatch(r"[\d.]+", version)]
                named = [version for version in versions if version not in numbered]
                newest = [max(numbered, key=key)] if numbered else []
                lines += [f"{policy['name']} {cpu} {family} {version}" for version in newest + named]
    libraries = next(item for item in policies if item["name"] == "manylinux_2_28")["lib_whitelist"]
    lines += [f"manylinux_2_28 any library {name}" for name in sorted(libraries)]
    write("manylinux.txt", f"auditwheel {version_of(wheel)} (MIT licence)",
          "policy, CPU, family, newest version that a system of the policy has; and the libraries that it has", lines)


def python_abi(folder: Path) -> None:
    wheel = download(folder, "abi3info")
    with tempfile.TemporaryDirectory() as place:
        zipfile.ZipFile(wheel).extractall(place)
        sys.path.insert(0, place)
        import abi3info

        entries = {str(symbol.name): item.added for table in (abi3info.FUNCTIONS, abi3info.DATAS) for symbol, item in table.items()}
    write("python_abi.txt", f"abi3info {version_of(wheel)} (MIT licence)", "symbol of CPython's stable ABI, version of Python that added it",
          [f"{name} {added.major}.{added.minor}" for name, added in sorted(entries.items())])


def declared(wheel: Path) -> set[str]:
    names: set[str] = set()
    with zipfile.ZipFile(wheel) as archive:
        for member in archive.namelist():
            if SHIM_HEADERS.search(member):
                text = re.sub(r"//[^\n]*|/\*.*?\*/", "", archive.read(member).decode(), flags=re.S)
                names |= set(re.findall(r"\b((?:aoti_torch|torch|aoti)_[a-z0-9_]+)\s*\(", text))
    return names


def torch_shim(folder: Path) -> None:
    platforms = [word for name in ("macosx_11_0_arm64", "macosx_14_0_arm64", "macosx_15_0_arm64") for word in ("--platform", name)]
    releases = [(re.match(r"\d+\.\d+", version)[0], declared(download(folder, f"torch=={version}", "--python-version", "3.12",
                                                                      "--implementation", "cp", *platforms)))
                for version in TORCH]
    lines = []
    for name in sorted(set().union(*(names for _, names in releases))):
        has = [release for release, names in releases if name in names]
        gone = [release for release, names in releases if name not in names and key(release) > key(has[-1])]
        lines.append(" ".join([name, has[0], *gone[:1]]))
    write("torch_shim.txt", f"headers of torch {TORCH[0]} to {TORCH[-1]}, wheels for macOS, which have the same ones (BSD licence)",
          f"C function of torch, first release that declares it ({releases[0][0]} stands for older ones too), first release that no "
          "longer does", lines)


def exports(wheel: Path) -> set[str]:
    with tempfile.TemporaryDirectory() as place:
        archive = zipfile.ZipFile(wheel)
        member = next(name for name in archive.namelist() if name.endswith("libtvm_ffi.so"))
        archive.extract(member, place)
        text = subprocess.run(["nm", "-D", "--defined-only", str(Path(place) / member)], check=True, capture_output=True, text=True)
    return {word.split("@")[0] for word in text.stdout.split() if word.startswith("TVMFFI")}


def tvm_ffi(folder: Path) -> None:
    releases = [(version, exports(download(folder, f"apache-tvm-ffi=={version}", "--python-version", "3.12", "--platform",
                                           "manylinux_2_28_x86_64"))) for version in TVM_FFI]
    names = sorted(set().union(*(found for _, found in releases)))
    write("tvm_ffi.txt", f"libtvm_ffi.so of apache-tvm-ffi {TVM_FFI[0]} to {TVM_FFI[-1]} (Apache licence)",
          "function of tvm-ffi, first release that exports it",
          [f"{name} {next(version for version, found in releases if name in found)}" for name in names])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--downloads", type=Path, help="keep the wheels here, for the next time")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as place:
        folder = arguments.downloads or Path(place)
        for update in (manylinux, python_abi, torch_shim, tvm_ffi):
            update(folder)


if __name__ == "__main__":
    main()
