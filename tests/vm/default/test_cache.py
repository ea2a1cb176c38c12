"""Programs from the cache attach by each mechanism, and an entry of one kernel is not used on another."""

import ctypes

import pytest

CLONE_NEWNS, MS_BIND, MS_REC, MS_PRIVATE = 0x20000, 0x1000, 0x4000, 0x40000


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Stands for /var/cache in the mount namespace of each netprobe."""
    return tmp_path_factory.mktemp("var-cache")


@pytest.fixture
def groups(recording, serve, folder):
    """Read the groups of a server by a mechanism; returns the document, and where the program came from."""
    server = serve(threads=2)

    def prepare() -> None:
        libc = ctypes.CDLL(None, use_errno=True)
        assert libc.unshare(CLONE_NEWNS) == 0
        assert libc.mount(b"none", b"/", None, MS_REC | MS_PRIVATE, None) == 0
        assert libc.mount(str(folder).encode(), b"/var/cache", None, MS_BIND, None) == 0

    def run(mechanism: str):
        arguments = ("locality", "-p", server.pid, "--groups-only", "--json", "-v")
        done = recording(*arguments, attached=False, mechanism=mechanism, prepare=prepare).finish()
        return done.json(), done.err.splitlines()[0]

    return run


def test_each_attach_mechanism_from_the_cache(groups, folder, holds):
    _, origin = groups("tracepoint")
    assert origin == "Program compiled: there is no entry."
    for mechanism in ("tracepoint", "fentry", "kprobe"):
        document, origin = groups(mechanism)
        assert origin == "Program from the cache: /var/cache/netprobe."
        assert document["attach_mechanisms"]["order in which listeners join"] == mechanism
        # The groups are read by BPF iterators.
        assert [group["size"] for group in document["groups"]] == [2]
        holds("compiled programs from the cache", mechanism, "a group of two members, without the compiler")


def test_an_entry_of_another_kernel_is_not_used(groups, folder, monkeypatch, holds):
    """As if this kernel had another build-id: of the same source, nothing in the cache is used."""
    from netprobe.engine import compiled_program

    groups("tracepoint")
    before = {path.name for path in (folder / "netprobe").iterdir()}
    monkeypatch.setattr(compiled_program, "kernel_identity", lambda: b"another kernel")
    _, origin = groups("tracepoint")
    assert origin == "Program compiled: there is no entry."
    added = {path.name for path in (folder / "netprobe").iterdir()} - before
    assert sorted(name.split("-")[0] for name in added) == ["program", "types"]
    holds("compiled programs from the cache", "another kernel", "compiled again, although the source is the same")
