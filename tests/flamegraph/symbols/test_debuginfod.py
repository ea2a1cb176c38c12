"""A debuginfod client with a local server that answers, refuses, sends wrong files, or never completes."""

import os
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import numpy as np
import pytest

from flamegraph.frames import Kind
from flamegraph.symbols.debuginfod import Debuginfod, DownloadError
from flamegraph.symbols.symbolizer import MappedFile, Symbolizer


class Server:
    def __init__(self):
        self.answers, self.requested, self.closing = {}, [], threading.Event()
        outer = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self):
                outer.requested.append(self.path)
                answer = outer.answers.get(self.path)
                if callable(answer):
                    answer(self)
                elif answer is None:
                    self.send_error(404)
                else:
                    self.send_response(200)
                    self.send_header("Content-Length", str(len(answer)))
                    self.end_headers()
                    self.wfile.write(answer)

            def log_message(self, *_):
                pass

        self.http = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.http.daemon_threads = True
        self.url = f"http://127.0.0.1:{self.http.server_port}"
        threading.Thread(target=self.http.serve_forever, args=(0.02,), daemon=True).start()


@pytest.fixture
def server():
    one = Server()
    yield one
    one.closing.set()
    one.http.shutdown()
    one.http.server_close()


@pytest.fixture
def environment(server, tmp_path, monkeypatch):
    monkeypatch.setenv("no_proxy", "*")
    return {"DEBUGINFOD_URLS": server.url, "DEBUGINFOD_CACHE_PATH": str(tmp_path / "cache")}


@pytest.fixture
def program(build, build_id_of):
    path = build("plain.c", "-fPIE", "-pie")
    return path, build_id_of(path)


def test_a_file_is_fetched_once_into_the_shared_cache(server, environment, program, tmp_path):
    path, build_id = program
    server.answers[f"/buildid/{build_id.hex()}/debuginfo"] = path.read_bytes()
    found = Debuginfod(environment).fetch(build_id, "debuginfo")
    assert found == tmp_path / "cache" / build_id.hex() / "debuginfo"
    assert found.read_bytes() == path.read_bytes()
    assert Debuginfod(environment).fetch(build_id, "debuginfo") == found
    assert len(server.requested) == 1
    assert os.listdir(found.parent) == ["debuginfo"]


def test_a_file_that_no_server_has_is_not_requested_again_soon(server, environment, program):
    build_id = program[1]
    client = Debuginfod(environment)
    assert client.fetch(build_id, "debuginfo") is None
    assert client.fetch(build_id, "debuginfo") is None
    assert Debuginfod(environment).fetch(build_id, "debuginfo") is None
    assert len(server.requested) == 1
    mark = next((client._cache / build_id.hex()).iterdir())
    os.utime(mark, (time.time() - 1000,) * 2)
    assert client.fetch(build_id, "debuginfo") is None
    assert len(server.requested) == 2


def silent(server):
    return lambda _: server.closing.wait(10)


def dripping(server):
    def answer(handler):
        handler.send_response(200)
        handler.end_headers()
        while not server.closing.wait(0.05):
            try:
                handler.wfile.write(b"x")
            except OSError:
                return

    return answer


@pytest.mark.parametrize("behaviour", [silent, dripping])
def test_a_server_that_never_completes_times_out_and_is_not_queried_again(behaviour, server, environment, program):
    build_id = program[1]
    server.answers[f"/buildid/{build_id.hex()}/debuginfo"] = behaviour(server)
    client = Debuginfod({**environment, "DEBUGINFOD_MAXTIME": "0.4"})
    begun = time.monotonic()
    with pytest.raises(DownloadError, match="did not answer within"):
        client.fetch(build_id, "debuginfo")
    assert time.monotonic() - begun < 2
    assert client.fetch(build_id, "debuginfo") is None
    assert len(server.requested) == 1


def test_all_files_share_one_time_limit(server, environment):
    for i in range(9):
        server.answers[f"/buildid/{bytes([i + 1]).hex()}/debuginfo"] = lambda handler: (
            time.sleep(0.2),
            handler.send_error(404),
        )
    client = Debuginfod(environment, total_s=0.5)
    begun = time.monotonic()
    fetched = [client.fetch(bytes([i + 1]), "debuginfo") for i in range(2)]
    assert fetched == [None, None]
    with pytest.raises(DownloadError, match=r"did not answer|used up"):
        client.fetch(bytes([3]), "debuginfo")
    assert time.monotonic() - begun < 1.5


def test_other_files_than_the_requested_one_do_not_get_into_the_cache(server, environment, program, build):
    build_id = program[1]
    for wrong in (b"<html>", b"", build("plain.c", "-O2").read_bytes()):
        server.answers[f"/buildid/{build_id.hex()}/debuginfo"] = wrong
        client = Debuginfod(environment)
        with pytest.raises(DownloadError):
            client.fetch(build_id, "debuginfo")
        assert client.cached(build_id, "debuginfo") is None
        assert os.listdir(client._cache / build_id.hex()) == []


def test_a_file_that_is_too_large_is_refused(server, environment, program):
    path, build_id = program
    server.answers[f"/buildid/{build_id.hex()}/debuginfo"] = path.read_bytes()
    with pytest.raises(DownloadError, match="bytes"):
        Debuginfod({**environment, "DEBUGINFOD_MAXSIZE": "1000"}).fetch(build_id, "debuginfo")


def test_a_failing_server_is_named_and_the_next_is_queried(server, environment, program):
    path, build_id = program
    server.answers[f"/a/buildid/{build_id.hex()}/debuginfo"] = lambda handler: handler.send_error(500)
    with pytest.raises(DownloadError, match=r"127\.0\.0\.1:[0-9]+ answered 500"):
        Debuginfod({**environment, "DEBUGINFOD_URLS": server.url + "/a"}).fetch(build_id, "debuginfo")
    server.answers[f"/b/buildid/{build_id.hex()}/debuginfo"] = path.read_bytes()
    urls = f"file:///etc {server.url}/a http://127.0.0.1:1 {server.url}/b/"
    assert Debuginfod({**environment, "DEBUGINFOD_URLS": urls}).fetch(build_id, "debuginfo")


def test_the_cache_is_that_of_elfutils(tmp_path):
    home = {"HOME": str(tmp_path)}
    assert Debuginfod(home)._cache == tmp_path / ".cache/debuginfod_client"
    assert Debuginfod({**home, "XDG_CACHE_HOME": "/x"})._cache.as_posix() == "/x/debuginfod_client"
    assert not Debuginfod(home).configured


@pytest.fixture
def stripped(program, tmp_path, symbols_of, offset_of):
    import subprocess

    target = tmp_path / "root/opt/server"
    target.parent.mkdir(parents=True)
    subprocess.run(["strip", "-o", target, program[0]], check=True)
    inner = next(address for address, _, _, name in symbols_of(program[0]) if name == "inner")
    return np.array([offset_of(program[0], inner)])


def test_the_symbolizer_queries_servers(server, environment, program, stripped, tmp_path, monkeypatch):
    path, build_id = program
    for key, value in environment.items():
        monkeypatch.setenv(key, value)
    quiet = Symbolizer(tmp_path / "root", downloads=False)
    assert quiet.file_frames(MappedFile("/opt/server"), stripped)[0].kind is Kind.UNKNOWN
    assert server.requested == []
    server.answers[f"/buildid/{build_id.hex()}/debuginfo"] = path.read_bytes()
    symbolizer = Symbolizer(tmp_path / "root")
    assert symbolizer.file_frames(MappedFile("/opt/server"), stripped)[0].name == "inner"
    assert symbolizer.notes() == []


def test_the_symbolizer_fetches_a_missing_program(server, environment, program, stripped, tmp_path, monkeypatch):
    path, build_id = program
    for key, value in environment.items():
        monkeypatch.setenv(key, value)
    server.answers[f"/buildid/{build_id.hex()}/executable"] = path.read_bytes()
    frames = Symbolizer(tmp_path / "root").file_frames(MappedFile("/gone", build_id), stripped)
    assert frames == [("inner", "/gone", Kind.USER)]


def test_a_timeout_is_noted(server, environment, program, stripped, tmp_path, monkeypatch):
    for key, value in environment.items():
        monkeypatch.setenv(key, value)
    monkeypatch.setenv("DEBUGINFOD_MAXTIME", "0.3")
    server.answers[f"/buildid/{program[1].hex()}/debuginfo"] = silent(server)
    symbolizer = Symbolizer(tmp_path / "root")
    assert symbolizer.file_frames(MappedFile("/opt/server"), stripped)[0].kind is Kind.UNKNOWN
    assert any("debuginfod" in note and "did not answer" in note for note in symbolizer.notes())
