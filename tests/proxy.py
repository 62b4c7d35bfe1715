"""A TCP proxy between clients and a Redis server that counts what passes, with faults switched at run time.

Faults that concern single commands (`drop_reply`, `drop_request`) take a `match`: a command's name, the SHA-1
of a script (it matches EVALSHA, and EVAL of the same text), a predicate over the request's arguments, or None
for any command at all.
"""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import socket
import threading
from collections import Counter, deque
from collections.abc import Callable, Coroutine
from dataclasses import dataclass, field, replace
from types import TracebackType
from typing import Any, Self, TypeVar

from asyncjobs.embedded import HOST, free_port

T = TypeVar("T")
Request = list[bytes]
Match = str | Callable[[Request], bool] | None

READ_BYTES = 256 * 1024
CALL_SECONDS = 10.0
# Any number of pushed messages answers them, not one reply.
UNANSWERED = {f"{kind}{verb}" for kind in ("", "P", "S") for verb in ("SUBSCRIBE", "UNSUBSCRIBE")}
NOT_EXECUTED = (b"-NOSCRIPT", b"-MOVED", b"-ASK", b"-LOADING")


@dataclass
class Counts:
    """What passed through one connection or all of them since the last reset.

    A round trip is a sending of commands, however many in a pipeline, while no reply is outstanding.
    `bytes_sent` went to the server, `bytes_received` to the client. `scripts` counts by SHA-1. Commands
    that a script runs inside the server aren't seen.
    """

    commands: Counter[str] = field(default_factory=lambda: Counter[str]())
    scripts: Counter[str] = field(default_factory=lambda: Counter[str]())
    round_trips: int = 0
    bytes_sent: int = 0
    bytes_received: int = 0

    def __add__(self, other: Counts) -> Counts:
        return Counts(
            self.commands + other.commands,
            self.scripts + other.scripts,
            self.round_trips + other.round_trips,
            self.bytes_sent + other.bytes_sent,
            self.bytes_received + other.bytes_received,
        )


@dataclass
class Connection:
    """A client's connection: its number in order of arrival, from 1, and the name from CLIENT SETNAME."""

    number: int
    name: str = ""
    open: bool = True
    counts: Counts = field(default_factory=Counts)


class Fault:
    """A fault that lies in wait for commands: `hits` it has struck, `remaining` it will."""

    def __init__(self, match: Match, times: int) -> None:
        self._match = match
        self._cleared = False
        self.remaining = times
        self.hits = 0

    def clear(self) -> None:
        """Strike no more."""
        self._cleared = True
        self.remaining = 0

    def claims(self, request: Request) -> bool:
        """Whether it will strike this request, which then is one fewer remaining."""
        if self.remaining <= 0 or not _matches(self._match, request):
            return False
        self.remaining -= 1
        return True

    def give_back(self) -> None:
        """Take back the claim: there was nothing to strike after all."""
        if not self._cleared:
            self.remaining += 1


def _matches(match: Match, request: Request) -> bool:
    if match is None:
        return True
    if callable(match):
        return match(request)
    return match.upper() == _command(request) or match.lower() == script_sha(request)


def _command(request: Request) -> str:
    return request[0].decode(errors="replace").upper() if request else ""


def script_sha(request: Request) -> str | None:
    """The SHA-1 of the script that the request runs, if it runs one."""
    match request:
        case [name, sha, *_] if name.upper() in (b"EVALSHA", b"EVALSHA_RO"):
            return sha.decode().lower()
        case [name, text, *_] if name.upper() in (b"EVAL", b"EVAL_RO"):
            return hashlib.sha1(text).hexdigest()
        case _:
            return None


class Messages:
    """Cuts a stream of RESP 2 or 3 into whole messages."""

    def __init__(self) -> None:
        self._buffer = bytearray()

    def feed(self, data: bytes) -> list[bytes]:
        """Take in what was read and return the messages that are complete now."""
        self._buffer += data
        messages: list[bytes] = []
        start = 0
        while start < len(self._buffer) and (end := self._end(start)) is not None:
            messages.append(bytes(self._buffer[start:end]))
            start = end
        del self._buffer[:start]
        return messages

    def _end(self, start: int) -> int | None:
        """Where the message ends that starts here; None if it isn't complete."""
        position = start
        missing = 1
        while missing:
            newline = self._buffer.find(b"\r\n", position)
            if newline < 0:
                return None
            kind = chr(self._buffer[position])
            line = self._buffer[position + 1 : newline]
            position = newline + 2
            missing -= 1
            if kind in "$=!" and (length := int(line)) >= 0:
                position += length + 2
            elif kind in "*~>":
                missing += max(int(line), 0)
            elif kind in "%|":
                # An attribute stands before the message it belongs to.
                missing += 2 * int(line) + (kind == "|")
        return position if position <= len(self._buffer) else None


def parse_request(message: bytes) -> Request:
    """Split a request (an array of bulk strings, or an inline command) into its arguments."""
    if not message.startswith(b"*"):
        return message.split()
    arguments: Request = []
    position = message.index(b"\r\n") + 2
    while position < len(message):
        newline = message.index(b"\r\n", position)
        end = newline + 2 + int(message[position + 1 : newline])
        arguments.append(message[newline + 2 : end])
        position = end + 2
    return arguments


class Proxy:
    """The proxy, as an async context manager; all but `start` and `stop` are plain calls within its loop.

    Clients connect to `url`. Existing connections keep what a switched fault means for them: see each.
    """

    def __init__(self, target_port: int) -> None:
        self.target_port = target_port
        self.port = 0
        self.reply_delay = 0.0
        self.flowing = asyncio.Event()
        self.flowing.set()
        self._links: dict[int, _Link] = {}
        self._past: list[Connection] = []
        self._arrived = 0
        self._reply_faults: list[Fault] = []
        self._request_faults: list[Fault] = []
        self._tasks: set[asyncio.Task[None]] = set()
        self._failures: list[BaseException] = []
        self._listener: socket.socket | None = None
        self._accepting: asyncio.Task[None] | None = None

    @property
    def url(self) -> str:
        return f"redis://{HOST}:{self.port}/0"

    async def start(self) -> Self:
        self.port = free_port()
        self._listen(accepting=True)
        return self

    async def stop(self) -> None:
        """Cut everything. Raises what went wrong in the proxy itself, such as a request it couldn't parse."""
        assert self._listener is not None
        if self._accepting is not None:
            self._accepting.cancel()
        self._listener.close()
        self.cut()
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        if self._failures:
            raise self._failures[0]

    async def __aenter__(self) -> Self:
        return await self.start()

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        await self.stop()

    def drop_reply(self, match: Match = None, *, times: int = 1) -> Fault:
        """Let the server carry out the next commands that match, and cut the connection instead of replying.

        Replies to earlier commands of the same pipeline still arrive, later commands have reached the
        server too. A reply that says the command wasn't carried out (NOSCRIPT, MOVED, …) passes and
        doesn't count.
        """
        self._reply_faults.append(fault := Fault(match, times))
        return fault

    def drop_request(self, match: Match = None, *, times: int = 1) -> Fault:
        """Cut the connection when a matching command arrives, so that the server never sees it."""
        self._request_faults.append(fault := Fault(match, times))
        return fault

    def cut(self, which: Callable[[Connection], bool] | None = None) -> int:
        """Cut all connections, or those that `which` picks; returns how many. New ones are still accepted."""
        links = self._picked(which)
        for link in links:
            link.cut()
        return len(links)

    def half_open(self, which: Callable[[Connection], bool] | None = None) -> int:
        """Close the server's side of the connections without a word to the client; returns how many.

        What the client sends on them vanishes and is never answered. New connections work.
        """
        links = self._picked(which)
        for link in links:
            link.half_open()
        return len(links)

    def refuse(self, on: bool = True) -> None:
        """Refuse new connections, as a port does that nobody listens on; existing ones go on."""
        if on == (self._accepting is not None):
            self._listen(accepting=not on)

    def black_hole(self, on: bool = True) -> None:
        """Accept connections and bytes, and let nothing through in either direction, not even a close.

        Switched off, what was held goes on its way, as after a network's outage.
        """
        if on:
            self.flowing.clear()
        else:
            self.flowing.set()

    def delay(self, seconds: float) -> None:
        """Hold back each reply by so much; 0 ends it."""
        self.reply_delay = seconds

    def heal(self) -> None:
        """End all faults. What was cut or half-open stays so."""
        for fault in [*self._reply_faults, *self._request_faults]:
            fault.clear()
        self.refuse(False)
        self.black_hole(False)
        self.delay(0)

    @property
    def connections(self) -> list[Connection]:
        """Copies of all connections since the last reset, in order of arrival."""
        connections = [*self._past, *(link.connection for link in self._links.values())]
        return [
            replace(connection, counts=connection.counts + Counts())
            for connection in sorted(connections, key=lambda connection: connection.number)
        ]

    @property
    def counts(self) -> Counts:
        """The sum over all connections since the last reset."""
        return sum((connection.counts for connection in self.connections), Counts())

    def reset_counts(self) -> None:
        """Count from zero, and forget connections that are closed."""
        self._past.clear()
        for link in self._links.values():
            link.connection.counts = Counts()

    def claim_reply(self, request: Request) -> Fault | None:
        return next((fault for fault in self._reply_faults if fault.claims(request)), None)

    def claim_request(self, request: Request) -> Fault | None:
        return next((fault for fault in self._request_faults if fault.claims(request)), None)

    def _picked(self, which: Callable[[Connection], bool] | None) -> list[_Link]:
        return [link for link in self._links.values() if which is None or which(link.connection)]

    def _listen(self, *, accepting: bool) -> None:
        if self._accepting is not None:
            self._accepting.cancel()
            self._accepting = None
        if self._listener is not None:
            self._listener.close()
        # Bound but not listening it refuses connections, and nobody else can take the port meanwhile.
        self._listener = socket.socket()
        self._listener.setblocking(False)
        self._listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        self._listener.bind((HOST, self.port))
        if accepting:
            self._listener.listen(512)
            self._accepting = asyncio.create_task(self._accept(self._listener))

    async def _accept(self, listener: socket.socket) -> None:
        while True:
            accepted, _ = await asyncio.get_running_loop().sock_accept(listener)
            self._arrived += 1
            task = asyncio.create_task(self._serve(accepted, Connection(self._arrived)))
            self._tasks.add(task)
            task.add_done_callback(self._served)

    async def _serve(self, accepted: socket.socket, connection: Connection) -> None:
        client_reader, client = await asyncio.open_connection(sock=accepted)
        try:
            server_reader, server = await asyncio.open_connection(HOST, self.target_port)
        except OSError:
            client.transport.abort()
            return
        link = self._links[connection.number] = _Link(self, connection, client, server)
        try:
            await link.run(client_reader, server_reader)
        finally:
            connection.open = False
            del self._links[connection.number]
            self._past.append(connection)

    def _served(self, task: asyncio.Task[None]) -> None:
        self._tasks.discard(task)
        if not task.cancelled() and (error := task.exception()) is not None:
            self._failures.append(error)


class _Link:
    """One connection through the proxy: what waits for its reply, and the two directions."""

    def __init__(
        self, proxy: Proxy, connection: Connection, client: asyncio.StreamWriter, server: asyncio.StreamWriter
    ) -> None:
        self.connection = connection
        self._proxy = proxy
        self._client = client
        self._server = server
        self._half_open = False
        self._awaiting: deque[Fault | None] = deque()

    async def run(self, client_reader: asyncio.StreamReader, server_reader: asyncio.StreamReader) -> None:
        """Carry both directions until either ends."""
        directions = [
            asyncio.create_task(self._requests(client_reader)),
            asyncio.create_task(self._replies(server_reader)),
        ]
        try:
            done, _ = await asyncio.wait(directions, return_when=asyncio.FIRST_COMPLETED)
            for task in done:
                with contextlib.suppress(ConnectionError):
                    task.result()
        finally:
            for task in directions:
                task.cancel()
            await asyncio.gather(*directions, return_exceptions=True)
            for fault in self._awaiting:
                if fault is not None:
                    fault.give_back()
            self._client.close()
            self._server.close()

    def cut(self) -> None:
        self._client.transport.abort()
        self._server.transport.abort()

    def half_open(self) -> None:
        self._half_open = True
        self._server.transport.abort()

    async def _requests(self, reader: asyncio.StreamReader) -> None:
        messages = Messages()
        while data := await reader.read(READ_BYTES):
            await self._proxy.flowing.wait()
            if self._half_open:
                continue
            passing = bytearray()
            struck: Fault | None = None
            for message in messages.feed(data):
                request = parse_request(message)
                struck = self._proxy.claim_request(request)
                if struck is not None:
                    break
                self._note(request, len(message))
                passing += message
            self._server.write(passing)
            await self._server.drain()
            if struck is not None:
                struck.hits += 1
                self._client.transport.abort()
                return
        await self._proxy.flowing.wait()

    def _note(self, request: Request, length: int) -> None:
        command = _command(request)
        counts = self.connection.counts
        counts.bytes_sent += length
        counts.commands[command] += 1
        if (sha := script_sha(request)) is not None:
            counts.scripts[sha] += 1
        match [argument.upper() for argument in request], request:
            case ([b"CLIENT", b"SETNAME", _], [*_, name]) | ([b"HELLO", *_, b"SETNAME", _], [*_, name]):
                self.connection.name = name.decode(errors="replace")
            case _:
                pass
        if not self._awaiting:
            counts.round_trips += 1
        if command not in UNANSWERED:
            self._awaiting.append(self._proxy.claim_reply(request))

    async def _replies(self, reader: asyncio.StreamReader) -> None:
        messages = Messages()
        while data := await reader.read(READ_BYTES):
            if self._proxy.reply_delay:
                await asyncio.sleep(self._proxy.reply_delay)
            await self._proxy.flowing.wait()
            passing = bytearray()
            struck: Fault | None = None
            for message in messages.feed(data):
                struck = self._strikes(message)
                if struck is not None:
                    break
                passing += message
            self.connection.counts.bytes_received += len(passing)
            self._client.write(passing)
            await self._client.drain()
            if struck is not None:
                # Closed before the hit shows, so that whoever waits for it finds the connection cut.
                self._client.close()
                struck.hits += 1
                return
        await self._proxy.flowing.wait()
        if self._half_open:
            await asyncio.Future()

    def _strikes(self, reply: bytes) -> Fault | None:
        # A message that nobody waits for belongs to a subscription.
        if reply.startswith(b">") or not self._awaiting:
            return None
        fault = self._awaiting.popleft()
        if fault is not None and reply.startswith(NOT_EXECUTED):
            fault.give_back()
            return None
        return fault


class ThreadedProxy:
    """The same proxy in a thread and loop of its own, so that a test that blocks its loop doesn't stop it.

    A context manager; its calls may come from any thread. Predicates run in the proxy's thread.
    """

    def __init__(self, target_port: int) -> None:
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name="proxy", daemon=True)
        self._target_port = target_port
        self._proxy: Proxy | None = None

    def start(self) -> Self:
        self._thread.start()

        async def start() -> Proxy:
            return await Proxy(self._target_port).start()

        self._proxy = self._run(start())
        return self

    def stop(self) -> None:
        try:
            if self._proxy is not None:
                self._run(self._proxy.stop())
        finally:
            self._loop.call_soon_threadsafe(self._loop.stop)
            self._thread.join()
            self._loop.close()

    def __enter__(self) -> Self:
        return self.start()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.stop()

    @property
    def port(self) -> int:
        return self._started.port

    @property
    def url(self) -> str:
        return self._started.url

    @property
    def connections(self) -> list[Connection]:
        return self._call(lambda proxy: proxy.connections)

    @property
    def counts(self) -> Counts:
        return self._call(lambda proxy: proxy.counts)

    def reset_counts(self) -> None:
        self._call(lambda proxy: proxy.reset_counts())

    def drop_reply(self, match: Match = None, *, times: int = 1) -> Fault:
        return self._call(lambda proxy: proxy.drop_reply(match, times=times))

    def drop_request(self, match: Match = None, *, times: int = 1) -> Fault:
        return self._call(lambda proxy: proxy.drop_request(match, times=times))

    def cut(self, which: Callable[[Connection], bool] | None = None) -> int:
        return self._call(lambda proxy: proxy.cut(which))

    def half_open(self, which: Callable[[Connection], bool] | None = None) -> int:
        return self._call(lambda proxy: proxy.half_open(which))

    def refuse(self, on: bool = True) -> None:
        self._call(lambda proxy: proxy.refuse(on))

    def black_hole(self, on: bool = True) -> None:
        self._call(lambda proxy: proxy.black_hole(on))

    def delay(self, seconds: float) -> None:
        self._call(lambda proxy: proxy.delay(seconds))

    def heal(self) -> None:
        self._call(lambda proxy: proxy.heal())

    @property
    def _started(self) -> Proxy:
        assert self._proxy is not None, "the proxy isn't started"
        return self._proxy

    def _call(self, call: Callable[[Proxy], T]) -> T:
        async def run() -> T:
            return call(self._started)

        return self._run(run())

    def _run(self, work: Coroutine[Any, Any, T]) -> T:
        return asyncio.run_coroutine_threadsafe(work, self._loop).result(CALL_SECONDS)
