"""Virtual environments with the Python packages, made once below the build folder."""

import hashlib
import subprocess
import sys
from pathlib import Path

HERE = Path(__file__).resolve().parent

# What pip says when it cannot reach its index, as opposed to not liking a requirement.
UNREACHABLE = (
    "Failed to establish a new connection",
    "Temporary failure in name resolution",
    "Name or service not known",
    "Network is unreachable",
    "Connection refused",
    "ConnectTimeoutError",
    "ReadTimeoutError",
    "ProxyError",
    "SSLError",
    "(from versions: none)",
)


class IndexUnreachable(Exception):
    """The package index does not answer; there is nothing to test with."""


def environment(work: Path, name: str, requirements: str) -> Path:
    """The interpreter of an environment that holds exactly the pinned requirements."""
    pinned = HERE / requirements
    digest = hashlib.sha256(pinned.read_bytes() + sys.version.encode()).hexdigest()
    place = work / name
    stamp = place / "requirements.sha256"
    python = place / "bin" / "python"
    if stamp.exists() and stamp.read_text() == digest and python.exists():
        return python
    print(f"installing {requirements} into {place.name}", flush=True)
    subprocess.run([sys.executable, "-m", "venv", "--clear", str(place)], check=True)
    command = [python, "-m", "pip", "install", "--quiet", "--disable-pip-version-check", "--no-input"]
    command += ["--retries", "1", "--timeout", "20", "--requirement", pinned]
    result = subprocess.run([str(part) for part in command], capture_output=True, text=True)
    if result.returncode != 0:
        said = result.stdout + result.stderr
        if any(sign in said for sign in UNREACHABLE):
            raise IndexUnreachable(f"the package index cannot be reached, so {requirements} is not installed")
        raise RuntimeError(f"pip could not install {requirements}:\n{said}")
    stamp.write_text(digest)
    return python
