"""Stock Debian kernels: found in the package lists, fetched and unpacked beside the checkout.

They are not installed: a kernel package would become what the machine itself boots next time.
"""

from __future__ import annotations

import re
import shutil
import subprocess
from dataclasses import dataclass
from pathlib import Path

# Series -> names of its packages: a signed image with all modules, neither the cloud's nor the real-time one.
SERIES = {
    "6.1": re.compile(r"linux-image-(6\.1\.0-\d+-amd64)"),
    "6.12": re.compile(r"linux-image-(6\.12\.\d+\+deb\d+(?:\+\d+)?-amd64)"),
}
_UPDATED: list[bool] = []


class KernelError(Exception):
    """Why the matrix cannot begin, and what to do."""


@dataclass(frozen=True)
class Kernel:
    """An unpacked kernel package."""

    series: str
    release: str
    folder: Path

    @property
    def image(self) -> Path:
        """What is booted."""
        return self.folder / "boot" / f"vmlinuz-{self.release}"


def provide(series: str, folder: Path) -> Kernel:
    """The newest kernel of a series, fetched unless it is there; without a network the newest that is there."""
    here = [path.name for path in folder.glob("6.*") if _complete(path) and _matches(series, path.name)]
    try:
        release = _newest(_available(series))
        if release not in here:
            _fetch(release, folder)
    except (KernelError, subprocess.CalledProcessError) as error:
        if not here:
            raise KernelError(
                f"no stock kernel {series} can be fetched: {error}. Add Debian 12's repositories (bookworm and "
                "bookworm-security have 6.1 and 6.12), and see that the machine reaches them."
            ) from error
        release = _newest(here)
    return Kernel(series, release, folder / release)


def _matches(series: str, release: str) -> bool:
    return SERIES[series].fullmatch(f"linux-image-{release}") is not None


def _complete(path: Path) -> bool:
    """The last step of unpacking makes this file."""
    return (path / "lib" / "modules" / path.name / "modules.dep.bin").exists()


def _available(series: str) -> list[str]:
    """Releases that the package lists name; the lists are fetched where they name none."""
    for attempt in range(2):
        names = _output("apt-cache", "search", "--names-only", f"^linux-image-{re.escape(series)}").splitlines()
        found = [match[1] for name in names if (match := SERIES[series].fullmatch(name.split(" ")[0]))]
        if found:
            return found
        if not attempt:
            _update()
    raise KernelError("the package lists name none")


def _newest(releases: list[str]) -> str:
    return max(releases, key=lambda release: [int(number) for number in re.findall(r"\d+", release)])


def _fetch(release: str, folder: Path) -> None:
    print(f"test-kernels: fetching linux-image-{release}", flush=True)
    packages = folder / "packages"
    packages.mkdir(parents=True, exist_ok=True)
    try:
        _download(release, packages)
    except subprocess.CalledProcessError:
        # A version that the lists name may have been replaced since they were fetched.
        _update()
        _download(release, packages)
    aside = folder / f"aside-{release}"
    shutil.rmtree(aside, ignore_errors=True)
    for package in packages.glob(f"linux-image-{release}_*.deb"):
        _output("dpkg-deb", "-x", str(package), str(aside))
        package.unlink()
    # Module lists need the path as it will be only where modules are loaded.
    _output("depmod", "-b", str(aside), release)
    shutil.rmtree(folder / release, ignore_errors=True)
    aside.rename(folder / release)


def _download(release: str, packages: Path) -> None:
    # apt's own user may not write here, which it says at length; as root it needs no such user.
    command = ["apt-get", "-qq", "-o", "APT::Sandbox::User=root", "download", f"linux-image-{release}"]
    subprocess.run(command, cwd=packages, check=True, capture_output=True, text=True)


def _update() -> None:
    if not _UPDATED:
        _UPDATED.append(True)
        subprocess.run(["apt-get", "-qq", "update"], check=True, capture_output=True, text=True)


def _output(*command: str) -> str:
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout
