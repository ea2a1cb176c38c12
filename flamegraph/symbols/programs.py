"""The programs and libraries of a profile: found, checked, and read once."""

from __future__ import annotations

import os
from collections import OrderedDict
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, ExitStack, contextmanager, nullcontext, suppress
from pathlib import Path

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
from flamegraph.symbols.mapped import MappedFile
from flamegraph.symbols.notes import Notes
from flamegraph.symbols.plt import plt_functions
from flamegraph.symbols.process import DELETED, open_mapping, root_of, vdso_image
from flamegraph.symbols.rooted import open_below
from flamegraph.symbols.table import SymbolTable

_KEPT_BYTES = 256 << 20
_NOT_FILES = ("//anon", "/dev/zero", "/anon_hugepage", "/SYSV", "anon_inode:")
VDSO = "[vdso]"


class Program:
    """One file's segments and functions."""

    def __init__(self, path: str, build_id: bytes | None, segments: Segments, parts: list[Functions]) -> None:
        self.path, self.build_id, self.segments = path, build_id, segments
        self.parts = parts
        self.stripped = False
        """Whether neither the file nor a debug file has a full symbol table."""
        self.asked = False
        """Whether a server was asked for its debug file."""
        self.table = SymbolTable(parts)

    def add(self, parts: list[Functions]) -> None:
        """Take in the tables of a debug file."""
        self.parts += parts
        self.table = SymbolTable(self.parts)
        self.stripped = False


class Programs:
    """Programs by what was mapped; those used last stay in memory."""

    def __init__(self, root: Path, downloads: bool, notes: Notes) -> None:
        self._root, self._notes = root, notes
        self._server = Debuginfod() if downloads else None
        self._key_of: dict[MappedFile, tuple[object, ...] | None] = {}
        self._programs: OrderedDict[tuple[object, ...], Program | None] = OrderedDict()

    def program(self, file: MappedFile) -> Program | None:
        """None where there is no such file, or none that can be used."""
        known = self._key_of.get(file)
        if known is not None and known in self._programs:
            self._programs.move_to_end(known)
            return self._programs[known]
        if file in self._key_of and known is None:
            return None
        with ExitStack() as stack:
            found = self._open(file, stack)
            if found is None:
                self._key_of[file] = None
                return None
            elf, key, home = found
            self._key_of[file] = key
            if key not in self._programs:
                self._programs[key] = self._load(file, elf, home)
                self._forget()
            return self._programs[key]

    def complete(self, program: Program) -> bool:
        """Ask a server for the debug file of a stripped program, once; whether that helped."""
        if not program.stripped or program.asked or self._server is None or program.build_id is None:
            return False
        program.asked = True
        path = self._fetch(program.build_id, "debuginfo", program.path)
        if path is None:
            return False
        try:
            with open_by_build_id(Path("/"), str(path.absolute()), program.build_id) as elf:
                parts = _full(elf)
        except (OSError, ElfError) as error:
            self._notes.add(f"A downloaded debug file was not used ({_why(error)})", program.path)
            return False
        if parts:
            program.add(parts)
        return bool(parts)

    def _open(self, file: MappedFile, stack: ExitStack) -> tuple[Elf, tuple[object, ...], Path] | None:
        """The ELF file, a key that is the same for the same file, and the root below which it was found."""
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
                    refused = refused or "Not the file that was recorded (its build-id is another one), so not used"
                    continue
                return elf, (status.st_dev, status.st_ino, status.st_size, status.st_mtime_ns), root
            except OSError as error:
                if error.errno not in (2, 20):
                    refused = refused or f"A file could not be read ({error.strerror})"
            except ElfError as error:
                refused = refused or f"A file was not used, as {error}"
        self._notes.add(refused or "A file is not there any more", file.path)
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
        # Without a build-id nothing tells whether what has the name now, or has it outside of the container, is what
        # was mapped.
        contained = file.pid is not None and os.access(root_of(file.pid), os.X_OK)
        if file.build_id or not (deleted or contained):
            yield self._root, lambda: open_below(self._root, path)
        build_id = file.build_id
        if build_id:
            copies = Path.home() / ".debug"
            yield self._root, lambda: open_below(copies, cached_program_path(build_id))
            yield self._root, lambda: self._downloaded(build_id, path)
            # As good as the program where it was made by eu-strip, which keeps the program headers as they were.
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
                self._notes.add("The vdso is that of another kernel, so it was not used")
                return None
        except ElfError as error:
            self._notes.add(f"The vdso was not used, as {error}")
            return None
        return elf, (VDSO, elf.build_id, len(image)), self._root

    def _load(self, file: MappedFile, elf: Elf, home: Path) -> Program | None:
        """Segments and functions of the file itself and of debug files that are on this machine."""
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
        program = Program(file.path, build_id, segments, parts)
        program.stripped = not full and file.path != VDSO
        return program

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

    def _forget(self) -> None:
        """Drop what was used longest ago, beyond a bound of memory; it is read again when it is needed."""
        total = sum(one.table.size for one in self._programs.values() if one)
        while total > _KEPT_BYTES and len(self._programs) > 1:
            _, dropped = self._programs.popitem(last=False)
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
