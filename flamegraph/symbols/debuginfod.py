"""Debug files by build-id from the servers of DEBUGINFOD_URLS, in the cache of the elfutils client.

Environment, see debuginfod-client-config(7): DEBUGINFOD_URLS, DEBUGINFOD_CACHE_PATH, DEBUGINFOD_MAXTIME (seconds
for a file), DEBUGINFOD_MAXSIZE (bytes).
"""

from __future__ import annotations

import os
import tempfile
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Mapping
from pathlib import Path
from typing import IO
from urllib.parse import urlsplit

from flamegraph.symbols.elf import Elf, ElfError, FileBytes, same_build_id

_FILE_SECONDS, _TOTAL_SECONDS, _STALL_SECONDS = 30.0, 60.0, 10.0
_MAX_SIZE = 1 << 30
_MISSING_SECONDS = 600
_PIECE = 1 << 18


class DownloadError(Exception):
    """A request to a server failed or did not complete; the message gives the reason."""


class Debuginfod:
    """A client with one time limit for all files."""

    def __init__(self, environment: Mapping[str, str] = os.environ, total_s: float = _TOTAL_SECONDS) -> None:
        urls = environment.get("DEBUGINFOD_URLS", "").split()
        self._urls = [url.rstrip("/") for url in urls if urlsplit(url).scheme in ("http", "https")]
        self._cache = _cache(environment)
        self._file_s = _number(environment.get("DEBUGINFOD_MAXTIME"), _FILE_SECONDS)
        self._max_size = int(_number(environment.get("DEBUGINFOD_MAXSIZE"), _MAX_SIZE))
        self._left_s = total_s

    @property
    def configured(self) -> bool:
        """Whether any server is configured."""
        return bool(self._urls)

    def cached(self, build_id: bytes, kind: str) -> Path | None:
        """The file in the cache, if any; `kind`: "debuginfo" or "executable"."""
        path = self._cache / build_id.hex() / kind
        try:
            return path if path.stat().st_size else None
        except OSError:
            return None

    def fetch(self, build_id: bytes, kind: str) -> Path | None:
        """The file, from the cache or a server; None where no server has it.

        Raises `DownloadError` where no server answered in time.
        """
        found = self.cached(build_id, kind)
        if found or not self._urls or self._is_known_missing(build_id, kind):
            return found
        failures = []
        for url in list(self._urls):
            try:
                found = self._ask(f"{url}/buildid/{build_id.hex()}/{kind}", build_id, kind)
            except DownloadError as error:
                failures.append(str(error))
                # A server that failed once is not queried again: hundreds of files may follow.
                self._urls.remove(url)
                continue
            if found:
                return found
        if failures:
            raise DownloadError("; ".join(failures))
        self._mark_missing(build_id, kind)
        return None

    def _ask(self, url: str, build_id: bytes, kind: str) -> Path | None:
        seconds = min(self._file_s, self._left_s)
        if seconds <= 0:
            raise DownloadError("the time limit for all downloads is exceeded")
        begun = time.monotonic()
        try:
            return _Download(url, self._cache, build_id, kind, self._max_size).wait(seconds)
        finally:
            self._left_s -= time.monotonic() - begun

    def _path(self, build_id: bytes, kind: str) -> Path:
        return self._cache / build_id.hex() / kind

    def _is_known_missing(self, build_id: bytes, kind: str) -> bool:
        """Whether the cache has the empty file by which elfutils marks a file that no server has."""
        try:
            status = self._path(build_id, kind).stat()
        except OSError:
            return False
        return status.st_size == 0 and abs(time.time() - status.st_mtime) < _MISSING_SECONDS

    def _mark_missing(self, build_id: bytes, kind: str) -> None:
        path = self._path(build_id, kind)
        try:
            path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            path.unlink(missing_ok=True)
            os.close(os.open(path, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0))
        except OSError:
            return


class _Download:
    """One request in a separate thread, since neither name resolution nor slow headers obey a time limit."""

    def __init__(self, url: str, cache: Path, build_id: bytes, kind: str, max_size: int) -> None:
        self._url, self._folder, self._kind, self._max_size = url, cache / build_id.hex(), kind, max_size
        self._build_id = build_id
        self._timed_out = threading.Event()
        self._path: Path | None = None
        self._error: str | None = None
        self._lock = threading.Lock()
        self._thread = threading.Thread(target=self._run, name="debuginfod", daemon=True)

    def wait(self, seconds: float) -> Path | None:
        """The file, or None where the server does not have it. Raises `DownloadError`."""
        host = urlsplit(self._url).netloc
        self._thread.start()
        self._thread.join(seconds)
        with self._lock:
            self._timed_out.set()
            if self._error is not None:
                raise DownloadError(f"{host} {self._error}")
            if self._path is None and self._thread.is_alive():
                raise DownloadError(f"{host} did not answer within {seconds:.0f} s")
            return self._path

    def _run(self) -> None:
        try:
            self._fetch()
        except urllib.error.HTTPError as error:
            error.close()
            if error.code != 404:
                self._error = f"answered {error.code}"
        except (OSError, ValueError, EOFError) as error:
            self._error = f"could not be reached ({getattr(error, 'reason', None) or error})"
        except Exception as error:
            self._error = f"sent an invalid response ({type(error).__name__})"

    def _fetch(self) -> None:
        request = urllib.request.Request(self._url, headers={"User-Agent": "netprobe-flamegraph"})
        with urllib.request.urlopen(request, timeout=_STALL_SECONDS) as answer:
            length = answer.headers.get("Content-Length", "")
            expected = int(length) if length.isdecimal() else None
            if expected is not None and expected > self._max_size:
                self._error = f"offered a file of {expected} bytes, above the limit"
                return
            self._folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            with tempfile.NamedTemporaryFile(dir=self._folder, prefix=f"{self._kind}.", delete=False) as file:
                temporary = Path(file.name)
                try:
                    self._copy(answer, file, expected)
                    self._finish(temporary)
                finally:
                    temporary.unlink(missing_ok=True)

    def _copy(self, answer: IO[bytes], file: IO[bytes], expected: int | None) -> None:
        size = 0
        read = getattr(answer, "read1", answer.read)
        while piece := read(_PIECE):
            size += len(piece)
            if self._timed_out.is_set():
                raise TimeoutError("too late")
            if size > self._max_size:
                raise ValueError(f"more than {self._max_size} bytes")
            file.write(piece)
        if expected is not None and size != expected:
            raise EOFError(f"{size} of {expected} bytes")
        file.flush()

    def _finish(self, temporary: Path) -> None:
        with self._lock:
            if not self._timed_out.is_set():
                _check(temporary, self._build_id)
                os.replace(temporary, self._folder / self._kind)
                self._path = self._folder / self._kind


def _check(path: Path, build_id: bytes) -> None:
    """Raises ValueError for any file but the requested one, which must not get into the shared cache."""
    with path.open("rb") as file:
        try:
            found = Elf(FileBytes(file.fileno())).build_id
        except ElfError as error:
            raise ValueError(f"sent an unusable file: {error}") from error
    if found is None or not same_build_id(found, build_id):
        raise ValueError("sent a file with another build-id")


def _cache(environment: Mapping[str, str]) -> Path:
    if environment.get("DEBUGINFOD_CACHE_PATH"):
        return Path(environment["DEBUGINFOD_CACHE_PATH"])
    home = Path(environment.get("HOME") or "/nonexistent")
    old = home / ".debuginfod_client_cache"
    if old.is_dir():
        return old
    base = environment.get("XDG_CACHE_HOME")
    return (Path(base) if base else home / ".cache") / "debuginfod_client"


def _number(text: str | None, default: float) -> float:
    try:
        number = float(text or "")
    except ValueError:
        return default
    return number if 0 < number < float("inf") else default
