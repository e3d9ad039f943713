"""Compares what `kernels inspect` says of libraries with the Python package `kernel-abi-check`: needed versions against
manylinux_2_28, and Python's symbols against the stable ABI of 3.9.

    python tests/interop/abi_differential.py --program build/release/kernels [--libraries FOLDER]…

Must be run with an interpreter that has the package; its own compiled packages are the libraries, and those below the
folders. Libraries that the package cannot judge are counted apart. It reads the full table of symbols, which stripped
libraries do not have and in which linkers may leave out versions; we read what the loader reads, so that ours may find more,
never less.
"""

import argparse
import json
import subprocess
import sys
import sysconfig
from pathlib import Path

import kernel_abi_check as package


def theirs(file: Path) -> tuple[bool, bool] | None:
    library = package.ObjectFile(file)
    try:
        return bool(library.check_manylinux("manylinux_2_28")), bool(library.check_python_abi("3.9"))
    except ValueError:
        return None


def ours(program: str, file: Path) -> tuple[bool, bool]:
    said = subprocess.run([program, "inspect", str(file), "--json"], capture_output=True, text=True, check=True)
    rules = [finding["rule"] for finding in json.loads(said.stdout)["files"][0]["findings"]]
    return "manylinux" in rules, "python-abi" in rules


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--program", required=True)
    parser.add_argument("--libraries", type=Path, action="append", default=[])
    arguments = parser.parse_args()
    folders = [Path(sysconfig.get_path("platlib")), *arguments.libraries]
    files = sorted({file.resolve() for folder in folders for file in folder.rglob("*.so*") if file.is_file()})
    files = [file for file in files if file.read_bytes()[:4] == b"\x7fELF"]
    compared, violations, unjudged, more, wrong = 0, 0, 0, 0, []
    for file in files:
        expected = theirs(file)
        if expected is None:
            unjudged += 1
            continue
        compared += 1
        violations += any(expected)
        found = ours(arguments.program, file)
        if found == expected:
            continue
        if all(mine or not their for mine, their in zip(found, expected)):
            more += 1
            print(f"{file.name}: only ours: {found}")
        else:
            wrong.append(f"{file.name}: (manylinux, Python) ours {found}, theirs {expected}")
    print("\n".join(wrong))
    print(f"{compared} libraries, {violations} with violations, {unjudged} that the package cannot judge, "
          f"{more} of which only ours says something, {len(wrong)} differences")
    # Without libraries of both kinds nothing would be shown.
    sys.exit(1 if wrong or compared < 20 or more > compared // 4 or not 0 < violations < compared else 0)


if __name__ == "__main__":
    main()
