"""Clients that send or read nothing neither stop the server nor fill its log."""

import contextlib
import errno
import http.client
import json
import os
import pathlib
import re
import resource
import signal
import socket
import subprocess
import time
from collections.abc import Iterator

import pytest

from helpers.commands import module
from tfstyle.serving import connections

IDLE_SECONDS = 1.0
MAX_CONNECTIONS = 20
HEAD = b"POST /v1/models/line:predict HTTP/1.1\r\nHost: x\r\nContent-Length: 30\r\n\r\n"


class Server:
    """A real server process with small limits."""

    def __init__(self, process: subprocess.Popen, port: int, log: pathlib.Path) -> None:
        self.process, self.port, self._log = process, port, log

    def connect(self) -> socket.socket:
        return socket.create_connection(("127.0.0.1", self.port), timeout=30)

    def predict(self) -> list[float]:
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=20)
        connection.request("POST", "/v1/models/line:predict", '{"instances": [1]}')
        answer = connection.getresponse()
        assert answer.status == 200, answer.read()
        with contextlib.closing(connection):
            return json.loads(answer.read())["predictions"]

    def log(self) -> str:
        return self._log.read_text()

    def count_sockets(self) -> int:
        count = 0
        for link in pathlib.Path(f"/proc/{self.process.pid}/fd").iterdir():
            with contextlib.suppress(FileNotFoundError):  # closed meanwhile
                count += "socket:" in str(link.readlink())
        return count


@contextlib.contextmanager
def run_server(
    export_dir: pathlib.Path, log: pathlib.Path, max_files: int | None = None
) -> Iterator[Server]:
    def limit_files() -> None:
        if max_files:
            resource.setrlimit(resource.RLIMIT_NOFILE, (max_files, max_files))

    flags = [f"--export_dir={export_dir}", "--rest_api_port=0"]
    flags += [f"--idle_timeout={IDLE_SECONDS}", f"--max_connections={MAX_CONNECTIONS}"]
    with log.open("w") as file:
        process = subprocess.Popen(
            [*module("serve"), *flags],
            stdout=file,
            stderr=subprocess.STDOUT,
            preexec_fn=limit_files,
        )
    try:
        deadline = time.monotonic() + 100
        while "ready\n" not in log.read_text():
            assert process.poll() is None, log.read_text()
            assert time.monotonic() < deadline
            time.sleep(0.05)
        port = int(re.search(r"http://127\.0\.0\.1:(\d+)", log.read_text()).group(1))
        yield Server(process, port, log)
    finally:
        process.send_signal(signal.SIGINT)
        assert process.wait(timeout=60) == 0
    assert "Traceback" not in log.read_text()
    assert len(log.read_text()) < 5000


@pytest.fixture(scope="module")
def server(tiny_models, tmp_path_factory):
    with run_server(tiny_models, tmp_path_factory.mktemp("log") / "log") as server:
        yield server


def seconds_until_closed(connection: socket.socket) -> float:
    start = time.monotonic()
    with contextlib.suppress(ConnectionError):
        while connection.recv(4096):
            pass
    return time.monotonic() - start


def test_idle_connections_do_not_keep_others_out(server):
    idle = [server.connect() for _ in range(5 * MAX_CONNECTIONS)]

    start = time.monotonic()
    for _ in range(3):
        assert server.predict() == [2.5]
    assert time.monotonic() - start < IDLE_SECONDS * 5

    for connection in idle:
        connection.close()
    assert server.log().count("too many connections: the longest idle one was") <= 2


def test_an_idle_connection_is_closed(server):
    with server.connect() as connection:
        assert IDLE_SECONDS / 2 < seconds_until_closed(connection) < 10


def test_a_connection_is_closed_when_it_is_idle_after_an_answer(server):
    with server.connect() as connection:
        connection.sendall(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n")
        assert IDLE_SECONDS / 2 < seconds_until_closed(connection) < 10


def test_a_body_that_pauses_is_given_up(server):
    with server.connect() as connection:
        connection.sendall(HEAD + b'{"inst')
        assert IDLE_SECONDS / 2 < seconds_until_closed(connection) < 10


@pytest.mark.parametrize(
    ("sent_at_once", "least", "most"),
    [
        (b"", 0.5, 6),  # headers must be complete in time
        (b"GET / HTTP/1.1\r\nHost: x\r\n\r\n", 0.5, 6),  # and those of a second request
        # a whole body in ten times that
        pytest.param(HEAD.replace(b"30", b"9999"), 8, 25, marks=pytest.mark.slow),
    ],
)
def test_one_byte_at_a_time_does_not_prolong_a_request(
    server, sent_at_once, least, most
):
    with server.connect() as connection:
        connection.sendall(sent_at_once)
        start = time.monotonic()
        with pytest.raises(ConnectionError):
            while time.monotonic() - start < 40:
                connection.sendall(b"G")
                time.sleep(0.2)
        assert least < time.monotonic() - start < most


def test_a_slow_but_steady_request_is_answered(server):
    body = b'{"instances": [1], "ignored": 1}'
    with server.connect() as connection:
        connection.sendall(HEAD.replace(b"30", b"%d" % len(body)))
        for byte in body:  # 2.4 times the limit of a pause in all
            connection.sendall(bytes([byte]))
            time.sleep(IDLE_SECONDS * 2.4 / len(body))
        answer = connection.recv(4096)
    assert answer.startswith(b"HTTP/1.1 200 OK\r\n")
    assert answer.endswith(b'{"predictions": [2.5]}')


def test_a_client_that_does_not_read_is_given_up(server):
    before = server.count_sockets()
    with socket.socket() as connection:
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        connection.connect(("127.0.0.1", server.port))
        connection.settimeout(0.5)
        request = b"GET /v1/models/pair/metadata HTTP/1.1\r\nHost: x\r\n\r\n"
        with contextlib.suppress(TimeoutError, ConnectionError):
            connection.sendall(request * 20_000)
        deadline = time.monotonic() + 15
        while server.count_sockets() > before:
            assert time.monotonic() < deadline
            time.sleep(0.1)
    assert server.predict() == [2.5]


@pytest.mark.parametrize(
    "sent",
    [HEAD, HEAD + b'{"inst', HEAD[:20], HEAD + b'{"instances": [1, 2, 3, 4, 5]}'],
    ids=["no body", "half a body", "half a head", "all"],
)
def test_a_client_that_leaves_costs_a_line_at_most(server, sent):
    before = len(server.log().splitlines())
    for _ in range(5):
        with server.connect() as connection:
            connection.sendall(sent)
    assert server.predict() == [2.5]
    lines = server.log().splitlines()[before:]
    assert all(line.startswith("a client left before") for line in lines)
    assert len(lines) <= 1


@pytest.mark.slow
def test_a_low_limit_of_open_files_is_enough(tiny_models, tmp_path):
    with run_server(tiny_models, tmp_path / "log", max_files=60) as server:
        idle = []
        for _ in range(150):
            with contextlib.suppress(OSError):
                idle.append(server.connect())
        assert server.predict() == [2.5]
        for connection in idle:
            connection.close()
        assert "note: at most 4 connections at a time" in server.log()


@pytest.mark.parametrize(
    ("soft", "hard", "wanted", "expected"),
    [
        (1024, 1024, 512, (128, 512)),
        (256, 4096, 512, (128, 512)),  # the soft limit is raised
        (1024, 1024, 2000, (128, 512)),
        (300, 300, 512, (75, 97)),
        (60, 60, 512, (15, 4)),
        (10**6, 10**6, 5000, (128, 5000)),
    ],
)
def test_connections_fit_to_the_limit_of_open_files(
    monkeypatch, soft, hard, wanted, expected
):
    limits = [soft, hard]

    def set_limit(_, values):
        limits[:] = values

    monkeypatch.setattr(resource, "getrlimit", lambda _: tuple(limits))
    monkeypatch.setattr(resource, "setrlimit", set_limit)

    backlog, allowed = connections.fit_to_open_files(wanted)

    assert (backlog, allowed) == expected
    assert backlog + allowed <= limits[0] <= limits[1] == hard


def test_a_repeated_line_is_counted_instead(monkeypatch, caplog):
    now = 100.0
    monkeypatch.setattr(time, "monotonic", lambda: now)
    line = connections.RareLine()
    for number in range(50):
        now = 100.0 + number
        line.log("something")

    assert caplog.messages == ["something"] + ["something (10 times)"] * 4


def test_a_connection_that_cannot_be_accepted_is_a_line(caplog, monkeypatch):
    """asyncio reports it to the handler of its loop, with a traceback by default."""
    monkeypatch.setattr(connections, "_REFUSED", connections.RareLine())
    handled = []

    class Loop:
        default_exception_handler = staticmethod(handled.append)

    error = OSError(errno.EMFILE, os.strerror(errno.EMFILE))
    context = {"message": "socket.accept() out of system resource", "exception": error}
    other = {"message": "a mistake", "exception": ValueError()}
    for each in (context, context, other):
        connections._handle_loop_error(Loop(), each)

    assert caplog.messages == ["a connection failed: Too many open files"]
    assert handled == [other]
