"""Programs and libraries of a profile: found, checked against their build-id, and read once."""

from __future__ import annotations

import os
from collections import OrderedDict
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, ExitStack, contextmanager, nullcontext, suppress
from pathlib import Path
from typing import NamedTuple

from flamegraph.symbols.debug_files import (
    build_id_path,
    cached_program_path,
    debug_link_paths,
    open_by_build_id,
    open_by_crc,
)
from flamegraph.symbols.debuginfod import Debuginfod, DownloadError
from flamegraph.symbols.elf import (
    SHT_DYNSYM,
    SHT_SYMTAB,
    Elf,
    ElfError,
    FileBytes,
    Functions,
    MemoryBytes,
    Segments,
    same_build_id,
)
from flamegraph.symbols.plt import plt_functions
from flamegraph.symbols.process import DELETED, open_mapping, root_of, vdso_image
from flamegraph.symbols.rooted import open_below
from flamegraph.symbols.symbol_table import SymbolTable


class MappedFile(NamedTuple):
    """A mapped file, by its name in the memory map."""

    path: str
    """`/usr/sbin/nginx`, `[vdso]`, `//anon`, `/memfd:x (deleted)`; "" where it is unknown."""
    build_id: bytes | None = None
    """The required build-id of the file; None where the recording has none."""
    pid: int | None = None
    """A live process whose root directory is searched first."""
    held: int | None = None
    """A descriptor of the file, open while the symbolizer is used, as the file may be deleted under every name."""


_NAMED = 3
_REMEMBERED = 4096


class Notes:
    """Reasons why symbols are missing, with the files concerned; bounded in number. Each reason is reported once."""

    def __init__(self) -> None:
        self._subjects: dict[str, dict[str, None]] = {}

    def add(self, reason: str, subject: str = "") -> None:
        """Add a reason (a sentence without its full stop) and the subject that it concerns."""
        subjects = self._subjects.setdefault(reason, {})
        if subject and len(subjects) < _REMEMBERED:
            subjects[subject] = None

    def sentences(self) -> list[str]:
        """One sentence per reason, in the order of their first appearance."""
        return [_sentence(reason, list(subjects)) for reason, subjects in self._subjects.items()]


def _sentence(reason: str, subjects: list[str]) -> str:
    if not subjects:
        return f"{reason}."
    more = f" and {len(subjects) - _NAMED} more" if len(subjects) > _NAMED else ""
    return f"{reason}: {', '.join(subjects[:_NAMED])}{more}."


_KEPT_BYTES = 256 << 20
_NOT_FILES = ("//anon", "/dev/zero", "/anon_hugepage", "/SYSV", "anon_inode:")
VDSO = "[vdso]"


class ObjectFile:
    """Segments and functions of one file."""

    def __init__(self, path: str, build_id: bytes | None, segments: Segments, parts: list[Functions]) -> None:
        self.path, self.build_id, self.segments = path, build_id, segments
        self.parts = parts
        self.stripped = False
        """Whether neither the file nor a debug file has a full symbol table."""
        self.asked = False
        """Whether its debug file was requested from a server."""
        self.table = SymbolTable(parts)

    def add(self, parts: list[Functions]) -> None:
        """Add the symbol tables of a debug file."""
        self.parts += parts
        self.table = SymbolTable(self.parts)
        self.stripped = False


class ObjectFiles:
    """Object files by mapping; the most recently used stay in memory."""

    def __init__(self, root: Path, downloads: bool, notes: Notes) -> None:
        self._root, self._notes = root, notes
        self._server = Debuginfod() if downloads else None
        self._key_of: dict[MappedFile, tuple[object, ...] | None] = {}
        self._files: OrderedDict[tuple[object, ...], ObjectFile | None] = OrderedDict()

    def find(self, file: MappedFile) -> ObjectFile | None:
        """The object file of a mapping; None where it is missing or unusable."""
        known = self._key_of.get(file)
        if known is not None and known in self._files:
            self._files.move_to_end(known)
            return self._files[known]
        if file in self._key_of and known is None:
            return None
        with ExitStack() as stack:
            found = self._open(file, stack)
            if found is None:
                self._key_of[file] = None
                return None
            elf, key, home = found
            self._key_of[file] = key
            if key not in self._files:
                self._files[key] = self._load(file, elf, home)
                self._evict()
            return self._files[key]

    def complete(self, object_file: ObjectFile) -> bool:
        """Request the debug file of a stripped program from a server, once; returns whether symbols were added."""
        if not object_file.stripped or object_file.asked or self._server is None or object_file.build_id is None:
            return False
        object_file.asked = True
        path = self._fetch(object_file.build_id, "debuginfo", object_file.path)
        if path is None:
            return False
        try:
            with open_by_build_id(Path("/"), str(path.absolute()), object_file.build_id) as elf:
                parts = _full(elf)
        except (OSError, ElfError) as error:
            self._notes.add(f"A downloaded debug file was not used ({_why(error)})", object_file.path)
            return False
        if parts:
            object_file.add(parts)
        return bool(parts)

    def _open(self, file: MappedFile, stack: ExitStack) -> tuple[Elf, tuple[object, ...], Path] | None:
        """The ELF file, a key that identifies the file, and the root directory below which it was found."""
        if file.path == VDSO:
            return self._open_vdso(file)
        if not file.path.startswith("/") or file.path.startswith(_NOT_FILES):
            return None
        refused = ""
        for root, attempt in self._places(file):
            try:
                descriptor = stack.enter_context(attempt())
                status = os.fstat(descriptor)
                elf = Elf(FileBytes(descriptor))
                if file.build_id and not (elf.build_id and same_build_id(elf.build_id, file.build_id)):
                    refused = refused or "Not the recorded file (its build-id differs), so not used"
                    continue
                return elf, (status.st_dev, status.st_ino, status.st_size, status.st_mtime_ns), root
            except OSError as error:
                if error.errno not in (2, 20):
                    refused = refused or f"A file could not be read ({error.strerror})"
            except ElfError as error:
                refused = refused or f"A file was not used, as {error}"
        self._notes.add(refused or "A file is missing", file.path)
        return None

    def _places(self, file: MappedFile) -> Iterator[tuple[Path, Callable[[], AbstractContextManager[int]]]]:
        path, deleted = file.path.removesuffix(DELETED), file.path.endswith(DELETED)
        held = file.held
        if held is not None:
            home = root_of(file.pid) if file.pid is not None else self._root
            yield home, lambda: nullcontext(held)
        if file.pid is not None:
            inside, pid = root_of(file.pid), file.pid
            if not deleted:
                yield inside, lambda: open_below(inside, path)
            yield inside, lambda: open_mapping(pid, file.path)
        # Without a build-id, a file that has the name now, or has it outside of the container, may differ from the
        # mapped file.
        contained = file.pid is not None and os.access(root_of(file.pid), os.X_OK)
        if file.build_id or not (deleted or contained):
            yield self._root, lambda: open_below(self._root, path)
        build_id = file.build_id
        if build_id:
            copies = Path.home() / ".debug"
            yield self._root, lambda: open_below(copies, cached_program_path(build_id))
            yield self._root, lambda: self._downloaded(build_id, path)
            # Debug files of eu-strip keep the original program headers, and can replace the object_file.
            yield self._root, lambda: open_below(self._root, build_id_path(build_id))

    @contextmanager
    def _downloaded(self, build_id: bytes, path: str) -> Iterator[int]:
        fetched = self._fetch(build_id, "executable", path) if self._server else None
        if fetched is None:
            raise FileNotFoundError(2, "no server has it", path)
        with open_below(Path("/"), str(fetched.absolute())) as descriptor:
            yield descriptor

    def _open_vdso(self, file: MappedFile) -> tuple[Elf, tuple[object, ...], Path] | None:
        image = vdso_image(file.pid)
        if image is None:
            self._notes.add("The vdso could not be read", str(file.pid or "this process"))
            return None
        try:
            elf = Elf(MemoryBytes(image))
            if file.build_id and not (elf.build_id and same_build_id(elf.build_id, file.build_id)):
                self._notes.add("The vdso belongs to another kernel, so it was not used")
                return None
        except ElfError as error:
            self._notes.add(f"The vdso was not used, as {error}")
            return None
        return elf, (VDSO, elf.build_id, len(image)), self._root

    def _load(self, file: MappedFile, elf: Elf, home: Path) -> ObjectFile | None:
        """Segments and functions of the file and of its local debug files."""
        try:
            segments, build_id = Segments(elf), elf.build_id
            parts = self._parts(file.path, (lambda: elf.functions(SHT_SYMTAB)))
            full = bool(parts)
        except ElfError as error:
            self._notes.add(f"A file was not used, as {error}", file.path)
            return None
        if not full and file.path != VDSO:
            extra = self._local_debug_file(file, elf, home) or self._mini(file, elf)
            parts += extra
            full = bool(extra)
        parts += self._parts(file.path, (lambda: elf.functions(SHT_DYNSYM)))
        parts += self._parts(file.path, (lambda: plt_functions(elf)))
        object_file = ObjectFile(file.path, build_id, segments, parts)
        object_file.stripped = not full and file.path != VDSO
        return object_file

    def _parts(self, path: str, read: Callable[[], Functions | None]) -> list[Functions]:
        try:
            found = read()
        except ElfError as error:
            self._notes.add(f"A symbol table was not used, as {error}", path)
            return []
        return [found] if found is not None and len(found.start) else []

    def _local_debug_file(self, file: MappedFile, elf: Elf, home: Path) -> list[Functions]:
        path = file.path.removesuffix(DELETED)
        roots = list(dict.fromkeys((home, self._root)))
        attempts: list[tuple[str, Callable[[], AbstractContextManager[Elf]]]] = []
        if elf.build_id:
            name, build_id = build_id_path(elf.build_id), elf.build_id
            attempts += [(name, _later(open_by_build_id, root, name, build_id)) for root in roots]
        with suppress(ElfError):
            if elf.debug_link:
                link, crc = elf.debug_link
                places = [(root, name) for root in roots for name in debug_link_paths(path, link)]
                attempts += [(name, _later(open_by_crc, root, name, crc, elf.build_id)) for root, name in places]
        for name, attempt in attempts:
            try:
                with attempt() as debug:
                    parts = _full(debug)
            except FileNotFoundError:
                continue
            except (OSError, ElfError) as error:
                self._notes.add(f"A debug file was not used ({_why(error)})", name)
                continue
            if parts:
                return parts
        return []

    def _mini(self, file: MappedFile, elf: Elf) -> list[Functions]:
        def read() -> Functions | None:
            mini = elf.minidebug()
            return mini.functions(SHT_SYMTAB) if mini else None

        return self._parts(file.path, read)

    def _fetch(self, build_id: bytes, kind: str, path: str) -> Path | None:
        try:
            return self._server.fetch(build_id, kind) if self._server else None
        except DownloadError as error:
            self._notes.add(f"debuginfod: {error}, so debug files are missing", path)
            return None

    def _evict(self) -> None:
        """Drop the least recently used files beyond the memory limit; they are read again when needed."""
        total = sum(one.table.size for one in self._files.values() if one)
        while total > _KEPT_BYTES and len(self._files) > 1:
            _, dropped = self._files.popitem(last=False)
            total -= dropped.table.size if dropped else 0


def _later(
    function: Callable[..., AbstractContextManager[Elf]], *arguments: object
) -> Callable[[], AbstractContextManager[Elf]]:
    return lambda: function(*arguments)


def _full(elf: Elf) -> list[Functions]:
    found = elf.functions(SHT_SYMTAB)
    return [found] if found is not None and len(found.start) else []


def _why(error: OSError | ElfError) -> str:
    return (error.strerror or "") if isinstance(error, OSError) else str(error)
