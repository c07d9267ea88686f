"""Which versions of programs and packages were measured, and on which machine."""

import platform
import re
import subprocess
from importlib.metadata import version
from pathlib import Path

from benchmarks.processes import Cores

_NUMBER = re.compile(r"\d+(?:\.\d+)+")
_BUILD_INFO = re.compile(rb"\nmod\t\S+\t(\S+)\t")
_LIMIT_S = 60.0


def asked(program: str, option: str) -> str:
    """Return the first version number that a program names."""
    said = subprocess.run([program, option], capture_output=True, text=True, check=False, timeout=_LIMIT_S)
    number = _NUMBER.search(said.stdout + said.stderr)
    return number[0] if number else "unknown"


def built_in(program: str) -> str:
    """Return the version that Go's linker wrote into a program."""
    found = _BUILD_INFO.search(Path(program).read_bytes())
    return found[1].decode("ascii").removeprefix("v") if found else "unknown"


def packages() -> dict[str, str]:
    """Return the packages under proxyreload that decide its speed."""
    return {name: version(name) for name in ("twisted", "treq", "httptools", "jh2", "attrs", "hdrhistogram")}


def machine(cores: Cores) -> str:
    """Return the machine's model, cores, kernel and Python: nothing that tells one machine from its like."""
    used = "cores " + " and ".join(map(str, cores.both))
    kernel = f"{platform.system()} {platform.release().split('-')[0]}"
    python = f"{platform.python_implementation()} {platform.python_version()}"
    return f"{_model()}, {used}, {kernel}, {python}"


def _model() -> str:
    for line in Path("/proc/cpuinfo").read_text("utf-8").splitlines():
        name, _, value = line.partition(":")
        if name.strip() == "model name":
            return value.strip()
    return platform.machine()
