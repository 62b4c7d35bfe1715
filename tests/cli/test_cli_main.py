"""What holds for all commands: help, version, exit codes, errors, where Redis is."""

from __future__ import annotations

import subprocess
import sys
import time
from importlib.metadata import version
from pathlib import Path

import pytest

from tests.cli.conftest import APP, APPS, COMMAND, Asyncjobs, Start, environment, run_process
from tests.conftest import ServerFactory
from tests.servers import Server

COMMANDS = [
    *("worker", "dashboard", "demo", "enqueue", "list", "show", "stats", "batches", "requeue", "cancel"),
    *("move", "delete", "pause", "resume", "purge", "recurring", "limits", "locks", "workers", "check"),
]


def test_help_lists_the_commands_and_exit_codes(asyncjobs: Asyncjobs) -> None:
    told = asyncjobs("--help")
    listed = told.out.partition("Commands:\n")[2]
    assert [line.split()[0] for line in listed.splitlines()] == COMMANDS
    assert "..." not in listed
    for code in ("0", "1", "2", "3", "4", "130"):
        assert any(line.split()[:1] == [code] for line in told.lines)
    assert asyncjobs().out == told.out


GROUPS = {
    "recurring": ("list", "show", "put", "reschedule", "reset", "trigger", "pause", "resume", "remove"),
    "limits": ("list", "numbers", "set", "reset"),
}
SINGLE = [command for command in COMMANDS if command not in GROUPS]
IN_GROUPS = [f"{group} {command}" for group, commands in GROUPS.items() for command in commands]


@pytest.mark.parametrize("group", GROUPS)
def test_the_commands_of_a_group_are_listed(asyncjobs: Asyncjobs, group: str) -> None:
    told = asyncjobs(group, "--help")
    listed = told.out.partition("Commands:\n")[2]
    assert {line.split()[0] for line in listed.splitlines()} == {*GROUPS[group]}


@pytest.mark.parametrize("command", [*SINGLE, *IN_GROUPS, "locks release"])
def test_every_command_has_examples_and_says_where_redis_is(asyncjobs: Asyncjobs, command: str) -> None:
    told = asyncjobs(*command.split(), "--help")
    assert "Examples:\n" in told.out
    assert f"    asyncjobs {command} " in told.out or f"    asyncjobs {command}\n" in told.out
    assert "--redis URL" in told.out
    if command != "demo":
        assert "--namespace NAME" in told.out
        assert "--shards N" in told.out
        assert "ASYNCJOBS_REDIS" in told.out
    assert max(map(len, told.lines)) <= 80


def test_version() -> None:
    told = run_process("--version")
    assert (told.code, told.out) == (0, f"asyncjobs {version('asyncjobs-redis')}\n")


def test_the_installed_command_is_the_same() -> None:
    command = Path(sys.executable).parent / "asyncjobs"
    done = subprocess.run([command, "--version"], capture_output=True, text=True, check=True)
    assert done.stdout == f"asyncjobs {version('asyncjobs-redis')}\n"


@pytest.mark.parametrize(
    ("args", "said"),
    [
        (("lsit",), "lsit"),
        (("list",), "Missing argument 'STATE'"),
        (("list", "running"), "'running' is not one of"),
        (("stats", "--colour"), "--colour"),
        (("stats", "--redis", "localhost:6379"), "use redis://host:6379/0"),
        (("stats", "--namespace", "a:b"), "namespace 'a:b'"),
        (("stats", "--shards", "0"), "--shards"),
        (("stats", "--shards", "100000"), "shards must be from 1 to"),
    ],
)
def test_wrong_usage(asyncjobs: Asyncjobs, args: tuple[str, ...], said: str) -> None:
    told = asyncjobs(*args, code=2)
    assert told.out == ""
    assert told.err.startswith("Error: ")
    assert said in told.err
    assert len(told.err.splitlines()) <= 2


@pytest.mark.parametrize(
    "args",
    [
        *(("stats",), ("list", "failed"), ("show", "x"), ("workers",), ("requeue", "x"), ("cancel", "x")),
        *(("move", "x", "x"), ("delete", "x"), ("pause", "x"), ("resume", "x"), ("purge", "x", "--yes")),
        *(("enqueue", APP, "add", "1", "2"), ("worker", APP), ("worker", APP, "--processes", "2")),
    ],
    ids=" ".join,
)
def test_redis_is_not_there(asyncjobs: Asyncjobs, args: tuple[str, ...]) -> None:
    began = time.monotonic()
    # Port 1 is the system's own, and nobody listens there.
    told = asyncjobs(*args, "--redis", "redis://user:sesame@127.0.0.1:1/0", code=3)
    assert time.monotonic() - began < 10
    assert told.out == ""
    first, second = told.err.splitlines()
    assert first.startswith("Error: Redis can't be reached at redis://***@127.0.0.1:1/0: ")
    assert "--redis" in second
    assert "sesame" not in told.err


@pytest.mark.parametrize(
    ("url", "code"),
    [
        ("redis://:sesame@127.0.0.1:1/0", 3),
        ("redis://127.0.0.1:1/0?password=sesame", 3),
        ("rediss://:sesame@127.0.0.1:1/0", 3),
        ("unix:///no/such.sock?password=sesame", 3),
        ("redis+sentinel://:sesame@127.0.0.1:1/main", 3),
        ("redis+cluster://:sesame@127.0.0.1:1", 3),
        (":sesame@localhost:6379", 2),
        ("redis://:sesame/@localhost:6379", 2),
        ("redis+sentinel://:sesame@localhost:6379", 2),
    ],
)
def test_no_kind_of_address_shows_its_password(asyncjobs: Asyncjobs, url: str, code: int) -> None:
    told = asyncjobs("stats", "--redis", url, code=code)
    assert "sesame" not in told.err
    assert len(told.err.splitlines()) <= 2
    assert len(told.err) < 400


def test_a_socket_in_the_file_system(
    asyncjobs: Asyncjobs, own_server: ServerFactory, start: Start, tmp_path: Path
) -> None:
    path = tmp_path / "redis.sock"
    own_server(unixsocket=str(path))
    url = f"unix://{path}"
    start("worker", APP, url=url).until_serving()
    assert asyncjobs("enqueue", APP, "add", 1, 2, "--wait=20", "--redis", url).out == "3\n"


def test_redis_does_not_answer(asyncjobs: Asyncjobs, own_server: ServerFactory) -> None:
    stalled = own_server()
    stalled.pause()
    began = time.monotonic()
    told = asyncjobs("stats", "--redis", stalled.url, code=3)
    assert time.monotonic() - began < 15
    assert "no answer" in told.err


def test_a_wrong_password_is_said_but_not_shown(asyncjobs: Asyncjobs, own_server: ServerFactory) -> None:
    guarded = own_server()
    guarded.command("CONFIG", "SET", "requirepass", "sesame")
    url = guarded.url.replace("//", "//:mellon@")
    right = guarded.url.replace("//", "//:sesame@")
    assert asyncjobs("stats", "--redis", right, "--json").json["workers"] == 0
    told = asyncjobs("stats", "--redis", url, code=1)
    assert "check the user and password" in told.err
    assert "mellon" not in told.err
    assert "sesame" not in told.err


def test_where_redis_is_comes_from_the_environment(server: Server) -> None:
    told = run_process("stats", "--json", url=server.url)
    assert told.code == 0
    assert told.json["workers"] == 0
    # An option counts more.
    told = run_process("stats", "--redis", "redis://127.0.0.1:1/0", url=server.url)
    assert told.code == 3


def test_a_reader_that_goes_away(redis_url: str) -> None:
    # The pipe holds less than is written: it is still writing when the reader leaves.
    command = [*COMMAND, "enqueue", APP, "echo", "x" * 100_000]
    changes = environment(ASYNCJOBS_REDIS=redis_url)
    job_id = subprocess.run(command, cwd=APPS, env=changes, capture_output=True, text=True, check=True).stdout
    show = subprocess.Popen(
        [*COMMAND, "show", job_id.strip(), "--json"],
        cwd=APPS,
        env=changes,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    assert show.stdout is not None
    assert show.stderr is not None
    with show.stdout, show.stderr:
        assert show.stdout.read(1) == "{"
        show.stdout.close()
        assert show.stderr.read() == ""
    assert show.wait(60) == 1


def test_an_encoding_that_lacks_the_letters(redis_url: str, asyncjobs: Asyncjobs) -> None:
    job_id = asyncjobs("enqueue", APP, "echo", "日本").out.strip()
    told = run_process("show", job_id, url=redis_url, PYTHONIOENCODING="ascii")
    assert (told.code, told.err) == (0, "")
    assert r"'\u65e5\u672c'" in told.out


def test_help_needs_nothing_slow() -> None:
    code = "import sys; from asyncjobs.cli import main; main(['--help']); print('rich' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.splitlines()[-1] == "False"
