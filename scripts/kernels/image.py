"""A disk image with the files that tests in a virtual machine read: Python, dependencies, compiler, checkout.

The files of the host are mounted through 9p, where each access is a round trip through two emulated queues: imports
take a minute. From a disk image they take seconds. The checkout in the image does not change while the tests run.
"""

from __future__ import annotations

import importlib.metadata
import os
import re
import shutil
import subprocess
import sys
import sysconfig
from pathlib import Path

from debian import KernelError
from packaging.requirements import Requirement

# Directories of the image; tests/vm/inside.sh says where each is mounted.
SITE, STDLIB, CHECKOUT, LIBRARIES, WORKLOADS = "site", "stdlib", "checkout", "libraries", "workloads"
_OF_CHECKOUT = ("netprobe", "flamegraph", "bpf", "tests", "scripts", "dashboards", "pyproject.toml", "README.md")
_NEEDED = ("netprobe", "pytest")
_WORKLOADS = ("counted", "waits", "pingpong")
_LARGE = 1 << 20


def build_image(root: Path, folder: Path) -> Path:
    """Make it anew: it takes some seconds, and what it was made of may have changed."""
    tree, image = folder / "image", folder / "image.ext4"
    shutil.rmtree(tree, ignore_errors=True)
    tree.mkdir(parents=True)
    try:
        _copy_checkout(root, tree / CHECKOUT)
        _copy_packages(tree / SITE)
        _copy_stdlib(tree / STDLIB)
        _copy_libraries(tree / LIBRARIES)
        _build_workloads(root / "tests" / "kernel" / "workloads", tree / WORKLOADS)
        _compile(tree)
        _make(tree, image)
    finally:
        shutil.rmtree(tree, ignore_errors=True)
    return image


def _copy_checkout(root: Path, to: Path) -> None:
    for name in _OF_CHECKOUT:
        here = root / name
        if here.is_dir():
            shutil.copytree(here, to / name, symlinks=True, ignore=shutil.ignore_patterns("__pycache__", "data"))
        elif here.exists():
            shutil.copy2(here, to / name)


def _distributions() -> dict[str, importlib.metadata.Distribution]:
    """netprobe, pytest and all that they require, by name."""
    found: dict[str, importlib.metadata.Distribution] = {}
    waiting = list(_NEEDED)
    while waiting:
        name = re.sub(r"[-_.]+", "-", waiting.pop()).lower()
        if name in found:
            continue
        found[name] = distribution = importlib.metadata.distribution(name)
        for text in distribution.requires or []:
            requirement = Requirement(text)
            if requirement.marker is None or requirement.marker.evaluate({"extra": ""}):
                waiting.append(requirement.name)
    return found


def _copy_packages(to: Path) -> None:
    site = Path(sysconfig.get_path("purelib"))
    for distribution in _distributions().values():
        for file in distribution.files or []:
            source = Path(os.path.normpath(site / file))
            if not source.is_file() or not source.is_relative_to(site) or "/tests/" in str(file):
                continue
            target = to / source.relative_to(site)
            target.parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(source, target)


def _copy_stdlib(to: Path) -> None:
    unused = ("site-packages", "test", "tests", "idlelib", "ensurepip", "tkinter", "turtledemo", "lib2to3", "config-*")
    shutil.copytree(
        sysconfig.get_path("stdlib"), to, symlinks=True, ignore=shutil.ignore_patterns(*unused, "dist-packages")
    )


def _copy_libraries(to: Path) -> None:
    """libbcc with the compiler that it is linked against."""
    to.mkdir()
    for library in ("libbcc.so.0",):
        listed = subprocess.run(["ldconfig", "-p"], capture_output=True, text=True, check=True).stdout
        paths = re.findall(rf"{re.escape(library)} .*=> (\S+)", listed)
        if not paths:
            raise KernelError(f"{library} is not here: run scripts/setup test")
        needed = subprocess.run(["ldd", paths[0]], capture_output=True, text=True, check=True).stdout
        for name, path in [(library, paths[0]), *re.findall(r"(\S+) => (/\S+)", needed)]:
            if Path(path).stat().st_size >= _LARGE and not name.startswith("libc."):
                shutil.copy2(path, to / name)


def _build_workloads(sources: Path, to: Path) -> None:
    to.mkdir()
    for name in _WORKLOADS:
        command = ["cc", "-O1", "-Wall", "-pthread", "-o", str(to / name), str(sources / f"{name}.c")]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        if done.returncode:
            raise KernelError(f"{name}.c does not compile: {done.stderr.strip()}")


def _compile(tree: Path) -> None:
    """Bytecode that is believed without a look at its source."""
    command = [sys.executable, "-m", "compileall", "-q", "-f", "-j0", "--invalidation-mode=unchecked-hash"]
    # Some packages bring files that are not Python of this version; they are not imported either.
    subprocess.run([*command, str(tree)], check=False, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)


def _make(tree: Path, image: Path) -> None:
    size = sum(path.lstat().st_size // 4096 * 4 + 4 for path in tree.rglob("*"))
    command = ["mkfs.ext4", "-q", "-F", "-O", "^has_journal", "-m", "0", "-d", str(tree), str(image)]
    image.unlink(missing_ok=True)
    done = subprocess.run([*command, f"{size * 5 // 4 + 65536}k"], capture_output=True, text=True, check=False)
    if done.returncode:
        raise KernelError(f"the disk image cannot be made: {done.stderr.strip()}")
