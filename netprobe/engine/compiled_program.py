"""A program ready to be loaded: from the cache, or from the compiler, which runs in a child process."""

from __future__ import annotations

import ctypes
import json
import os
import signal
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass
from typing import Any

from netprobe.engine.btf import Btf, KernelTypes, RememberedTypes, UnansweredError, require_btf
from netprobe.engine.program_cache import (
    ProgramCache,
    UnusableCacheError,
    answers_key,
    kernel_identity,
    program_key,
)
from netprobe.engine.program_source import ProgramText
from netprobe.engine.refusals import explain
from netprobe.engine.stored_program import StoredProgram
from netprobe.errors import NetprobeError, NotPossibleHereError

Describe = Callable[[KernelTypes], ProgramText]
Answers = dict[str, int | None]

# For developers of the C files: shows messages of the compiler while it runs.
SHOW_COMPILER = "NETPROBE_SHOW_COMPILER"
_PR_SET_PDEATHSIG = 1
_SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


@dataclass(frozen=True)
class _Product:
    """What the compiler hands over: the answers of the kernel's BTF, if it was read, and the program."""

    answers: Answers
    program: StoredProgram


class CompiledProgram:
    """The program that `describe` describes for the types of the running kernel.

    The constructor finds it in the cache or starts to compile it; `result` waits for it. `from_cache` tells which,
    `note` why.
    """

    def __init__(self, describe: Describe, use_cache: bool = True) -> None:
        require_btf()
        self.from_cache, self.note = False, "--no-cache"
        self._describe = describe
        self._text: ProgramText | None = None
        self._program: StoredProgram | None = None
        self._compilation: _Compilation | None = None
        self._answers: Answers = {}
        self._kernel = b""
        self._lock = ExitStack()
        self._cache = self._open_cache() if use_cache else None
        if not self._find():
            if self._cache:
                # Another netprobe may be compiling the same program: it is waited for.
                self._lock.enter_context(self._cache.compiling(self._key()))
                if self._find():
                    self._lock.close()
                    return
            self._compile()

    def _open_cache(self) -> ProgramCache | None:
        try:
            cache = ProgramCache()
        except UnusableCacheError as error:
            self.note = f"the cache is not used: {error}"
            return None
        self._kernel = kernel_identity()
        return cache

    def _key(self) -> str:
        if self._text is None:
            return answers_key(self._kernel)
        return program_key(self._kernel, self._text.source)

    def _find(self) -> bool:
        """Look for the program in the cache."""
        if self._cache is None:
            return False
        try:
            if self._text is None:
                answers, self.note = self._cache.get(answers_key(self._kernel))
                self._answers = dict(answers or {})
                self._text = self._describe(RememberedTypes(self._answers))
            document, self.note = self._cache.get(self._key())
            if document is None:
                return False
            program = StoredProgram.from_json(document)
        except UnansweredError:
            self.note = self.note or "the program is new for this kernel"
            return False
        except (ValueError, TypeError, KeyError, AttributeError):
            self.note = "the entry is corrupt"
            return False
        if any(_identity(path) != (size, changed) for path, size, changed in program.compiler):
            self.note = "the compiler has changed"
            return False
        self._program, self.from_cache, self.note = program, True, self._cache.path
        return True

    def compile_anew(self, reason: str) -> None:
        """Compile a program whose entry in the cache could not be loaded for this reason."""
        self._program, self.from_cache, self.note = None, False, f"the entry could not be loaded: {reason}"
        self._compile()

    def _compile(self) -> None:
        self._compilation = _Compilation(self._describe, self._text)

    def result(self) -> tuple[ProgramText, StoredProgram]:
        """Wait for the program; raises `NetprobeError` if it cannot be compiled."""
        if self._program is None:
            assert self._compilation is not None
            product = self._compilation.result()
            self._program = product.program
            if self._text is None:
                self._text = self._describe(RememberedTypes(product.answers))
            if self._cache:
                if product.answers:
                    self._cache.put(answers_key(self._kernel), self._answers | product.answers)
                self._cache.put(self._key(), product.program.as_json())
        self._lock.close()
        assert self._text is not None
        return self._text, self._program

    def close(self) -> None:
        """End the compiler if it still runs, and close the cache."""
        if self._compilation:
            self._compilation.end()
        self._lock.close()
        if self._cache:
            self._cache.close()
            self._cache = None


def _identity(path: str) -> tuple[int, int]:
    try:
        found = os.stat(path)
    except OSError:
        return -1, -1
    return found.st_size, found.st_mtime_ns


class _Compilation:
    """BCC in a child process: its memory (most of it of LLVM), its messages and its aborts stay there."""

    def __init__(self, describe: Describe, text: ProgramText | None) -> None:
        self._messages = os.memfd_create("netprobe-compiler")
        self._pipe, writing = os.pipe()
        self._pid = os.fork()
        if self._pid == 0:
            _run_child(describe, text, writing, self._messages)
        os.close(writing)

    def result(self) -> _Product:
        """Wait for the child; raises `NetprobeError` with the messages of the compiler if it failed."""
        with open(self._pipe, "rb") as file:
            data = file.read()
        status = self._wait()
        messages = os.pread(self._messages, 1 << 20, 0).decode(errors="replace")
        os.close(self._messages)
        if not data:
            ending = f"signal {-status}" if status < 0 else f"exit status {status}"
            raise explain(f"the compiler ended with {ending}", "compile its probes for this kernel", messages)
        document = json.loads(data)
        if "program" in document:
            return _Product(document["answers"], StoredProgram.from_json(document["program"]))
        if "failure" in document:
            raise explain(document["failure"], "compile its probes for this kernel", messages)
        kind = NotPossibleHereError if document["not_possible_here"] else NetprobeError
        raise kind(document["message"], hint=document["hint"])

    def _wait(self) -> int:
        _, status = os.waitpid(self._pid, 0)
        self._pid = 0
        return os.waitstatus_to_exitcode(status)

    def end(self) -> None:
        """Kill the child if it still runs."""
        if self._pid:
            os.kill(self._pid, signal.SIGKILL)
            self._wait()
            os.close(self._pipe)
            os.close(self._messages)


def _run_child(describe: Describe, text: ProgramText | None, writing: int, messages: int) -> None:
    """In the child: compile, write the result into the pipe, exit. Never returns."""
    try:
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
        for number in _SIGNALS:
            signal.signal(number, signal.SIG_IGN)
        if not os.environ.get(SHOW_COMPILER):
            os.dup2(messages, 2)
        with open(writing, "wb") as file:
            file.write(json.dumps(_compiled(describe, text)).encode())
    finally:
        os._exit(0)


def _compiled(describe: Describe, text: ProgramText | None) -> dict[str, Any]:
    from netprobe.engine.bcc_compiler import compile_source, mask_kallsyms

    answers: Answers = {}
    try:
        if text is None:
            btf = Btf()
            text, answers = describe(btf), btf.answers
            btf.close()
        mask_kallsyms()
        return {"answers": answers, "program": compile_source(text.source).as_json()}
    except NetprobeError as error:
        here = isinstance(error, NotPossibleHereError)
        return {"message": error.message, "hint": error.hint, "not_possible_here": here}
    except Exception as error:  # BCC raises nothing more specific
        return {"failure": str(error)}
