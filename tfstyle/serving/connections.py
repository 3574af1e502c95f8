"""The HTTP server: how many connections it keeps, and for how long.

Clients that send nothing, or read nothing, must not keep others out. A connection has
a limited time for each request, and the one that has been idle for longest makes room
for a new one.
"""

import asyncio
import dataclasses
import functools
import logging
import resource
import socket
import time
from typing import Any

import uvicorn
from starlette.applications import Starlette
from uvicorn.protocols.http.h11_impl import H11Protocol

logger = logging.getLogger(__name__)

# A whole request or answer may take so many times as long as a pause in it.
_PAUSES_PER_TRANSFER = 10
# New connections that are accepted at once, at most.
_BACKLOG = 128
# Files that TensorFlow and Python may open beside connections.
_OTHER_FILES = 128
_LEAST_CONNECTIONS = 4
_SECONDS_BETWEEN_LINES = 10.0
_BUSY = (
    b"HTTP/1.1 503 Service Unavailable\r\ncontent-type: application/json\r\n"
    b"connection: close\r\ncontent-length: 53\r\n\r\n"
    b'{"error": "too many requests at a time: try again"}\r\n'
)


@dataclasses.dataclass(frozen=True)
class ConnectionLimits:
    """Limits of connections.

    Attributes:
        max_connections: connections at a time.
        idle_seconds: how long a client may take until its request has begun to arrive
            (its headers), and for each pause while a body or an answer is transferred.
            A whole body or answer may take ten times as long.
    """

    max_connections: int = 512
    idle_seconds: float = 30.0


class RareLine:
    """Logs a line, and the number of others like it instead of each of them."""

    def __init__(self) -> None:
        self._time = -_SECONDS_BETWEEN_LINES
        self._count = 0

    def log(self, text: str) -> None:
        """Log the text, unless there was a line in the last ten seconds."""
        self._count += 1
        now = time.monotonic()
        if now - self._time < _SECONDS_BETWEEN_LINES:
            return
        times = f" ({self._count} times)" if self._count > 1 else ""
        logger.info("%s%s", text, times)
        self._time, self._count = now, 0


def run_server(
    app: Starlette, listener: socket.socket, limits: ConnectionLimits
) -> None:
    """Answer requests until a signal; a lower limit of open files lowers `limits`."""
    backlog, allowed = fit_to_open_files(limits.max_connections)
    if allowed < limits.max_connections:
        logger.info(
            "note: at most %d connections at a time, because of the limit of open files"
            " (ulimit -n)",
            allowed,
        )
        limits = dataclasses.replace(limits, max_connections=allowed)
    config = uvicorn.Config(
        app,
        http=functools.partial(LimitedConnection, limits=limits),  # type: ignore
        log_level="warning",
        ws="none",
        backlog=backlog,
        timeout_keep_alive=limits.idle_seconds,  # type: ignore[arg-type]
        timeout_graceful_shutdown=10,
    )
    _Server(config).run(sockets=[listener])


def fit_to_open_files(max_connections: int) -> tuple[int, int]:
    """Raise the limit of open files of this process as far as connections need it.

    Returns:
        How many connections to accept at once, and how many to keep.
    """
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    needed = max_connections + _BACKLOG + _OTHER_FILES
    unlimited = resource.RLIM_INFINITY
    if soft != unlimited and soft < needed:
        soft = needed if hard == unlimited else min(needed, hard)
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
    if soft == unlimited or soft >= needed:
        return _BACKLOG, max_connections
    # Of a low limit, half is for connections, and a quarter for new ones.
    backlog = min(_BACKLOG, max(1, soft // 4))
    allowed = max(_LEAST_CONNECTIONS, min(soft - backlog - _OTHER_FILES, soft // 2))
    return backlog, min(max_connections, allowed)


class LimitedConnection(H11Protocol):
    """A connection whose client may not be idle for long."""

    def __init__(self, *args: Any, limits: ConnectionLimits, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._limits = limits
        now = self.loop.time()
        self._since = now  # when it began to wait for a request
        self._request_time = now  # when the request began to arrive
        self._heard_time = now  # when data arrived
        self._written_time = now  # when data left
        self._answer_time = now  # when the answer began to leave
        self._unwritten = 0  # bytes that the client has not read

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore
        """Take a new connection, in place of an idle one if there are too many."""
        super().connection_made(transport)
        others: list[Any] = [
            connection
            for connection in self.connections
            if connection is not self and not connection.transport.is_closing()
        ]
        if len(others) < self._limits.max_connections:
            return
        idle = [connection for connection in others if connection.is_idle]
        if idle:
            longest = min(idle, key=lambda connection: connection.idle_since)
            longest.transport.abort()
            _CROWDED.log("too many connections: the longest idle one was closed")
        else:
            _CROWDED.log("too many connections: a new one was refused")
            transport.write(_BUSY)
            transport.close()

    def data_received(self, data: bytes) -> None:
        """Parse what arrived."""
        before, now = self.cycle, self.loop.time()
        self._heard_time = now
        super().data_received(data)
        if self.cycle is not before:
            self._request_time = now

    def on_response_complete(self) -> None:
        """Wait for the next request."""
        self._since = self._answer_time = self._written_time = self.loop.time()
        before = self.cycle
        super().on_response_complete()
        if self.cycle is not before:  # it was there already
            self._request_time = self._heard_time = self._since

    @property
    def is_idle(self) -> bool:
        """Whether no request is in progress."""
        in_progress = self.cycle is not None and not self.cycle.response_complete
        return not in_progress and not self._unwritten

    @property
    def idle_since(self) -> float:
        """When it began to wait for a request."""
        return self._since

    def close_if_late(self, now: float) -> None:
        """Close the connection if its client exceeds a limit."""
        transport, pause = self.transport, self._limits.idle_seconds
        whole = _PAUSES_PER_TRANSFER * pause
        unwritten = transport.get_write_buffer_size()
        if unwritten != self._unwritten:
            if not self._unwritten:
                self._answer_time = now
            self._unwritten, self._written_time = unwritten, now
        if unwritten:
            late = now - self._written_time > pause or now - self._answer_time > whole
        elif transport.is_closing():
            return
        elif self.is_idle:
            late = now - self._since > pause
        elif self.cycle.more_body:
            late = now - self._heard_time > pause or now - self._request_time > whole
        else:  # the answer is being computed
            return
        if late:
            # Not close(), which waits until the client has read everything.
            transport.abort()


class _Server(uvicorn.Server):
    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        asyncio.get_running_loop().set_exception_handler(_handle_loop_error)
        await super().startup(sockets)

    async def on_tick(self, counter: int) -> bool:
        now = asyncio.get_running_loop().time()
        for connection in list(self.server_state.connections):
            assert isinstance(connection, LimitedConnection)
            connection.close_if_late(now)
        return await super().on_tick(counter)


def _handle_loop_error(
    loop: asyncio.AbstractEventLoop, context: dict[str, Any]
) -> None:
    error = context.get("exception")
    if isinstance(error, OSError):
        # No more files or memory for a new connection, or a client that left.
        _REFUSED.log(f"a connection failed: {error.strerror or error}")
    else:
        loop.default_exception_handler(context)


_CROWDED, _REFUSED = RareLine(), RareLine()
