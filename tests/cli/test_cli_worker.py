"""`asyncjobs worker`: signals, burst, processes, the embedded server, what can't be imported."""

from __future__ import annotations

import os
import re
import signal
import socket
from pathlib import Path

import psutil
import pytest

from tests.cli.conftest import APP, Asyncjobs, OpenTerminal, Running, Start, run_process, until_state
from tests.waiting import eventually_sync

LINE = re.compile(r"\d{4}-\d\d-\d\d \d\d:\d\d:\d\d,\d{3} \d+ (DEBUG|INFO|WARNING|ERROR) +\S.*")


def _enqueue(asyncjobs: Asyncjobs, *args: object) -> str:
    return asyncjobs("enqueue", APP, *args).out.strip()


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_ends_it_in_order(asyncjobs: Asyncjobs, worker: Running, number: signal.Signals) -> None:
    assert asyncjobs("enqueue", APP, "add", 1, 2, "--wait").out == "3\n"
    worker.signal(number)
    told = worker.ended()
    assert (told.code, told.out) == (0, "")
    assert all(LINE.fullmatch(line) for line in told.err.splitlines()), told.err
    assert f"{number.name}: stopping" in told.err
    assert asyncjobs("workers", "--json").json["workers"] == []


def test_running_jobs_have_their_grace(asyncjobs: Asyncjobs, start: Start, redis_url: str) -> None:
    worker = start("worker", APP, "--grace", "1h", url=redis_url)
    worker.until_serving()
    job_id = _enqueue(asyncjobs, "report", 1.5)
    until_state(asyncjobs, job_id, "processing")
    assert worker.stop().code == 0
    assert asyncjobs("show", job_id, "--json").json["state"] == "succeeded"


def test_a_second_signal_ends_it_at_once(asyncjobs: Asyncjobs, start: Start, redis_url: str) -> None:
    worker = start("worker", APP, "--grace", "1h", url=redis_url)
    worker.until_serving()
    job_id = _enqueue(asyncjobs, "report", 3600)
    until_state(asyncjobs, job_id, "processing")
    worker.signal(signal.SIGTERM)
    worker.until("SIGTERM: stopping")
    assert worker.stop().code == 0
    job = asyncjobs("show", job_id, "--json").json
    assert (job["state"], job["failures"]) == ("enqueued", 0)


def test_a_signal_while_the_application_is_imported(start: Start, redis_url: str, tmp_path: Path) -> None:
    (tmp_path / "slow_app.py").write_text("print('importing', flush=True)\nimport time\ntime.sleep(60)\n")
    worker = start("worker", "slow_app:registry", url=redis_url, cwd=tmp_path)
    worker.until("importing")
    told = worker.stop()
    assert (told.code, told.err) == (0, "")


def test_burst_runs_what_is_there_and_tells_what_is_left(asyncjobs: Asyncjobs, redis_url: str) -> None:
    ran = [_enqueue(asyncjobs, "add", number, 0) for number in range(5)]
    _enqueue(asyncjobs, "add", 1, 2, "--in", "1h")
    _enqueue(asyncjobs, "fail_slowly", "x")
    told = run_process("worker", APP, "--burst", "-q", url=redis_url)
    assert (told.code, told.err) == (0, "")
    assert told.out == "2 jobs are left for later: 1 scheduled, 1 retrying\n"
    assert {asyncjobs("show", job_id, "--json").json["state"] for job_id in ran} == {"succeeded"}


def test_burst_of_nothing(redis_url: str) -> None:
    told = run_process("worker", APP, "--burst", "--processes", 2, url=redis_url)
    assert (told.code, told.out) == (0, "No job is left for later\n")


def test_several_processes(asyncjobs: Asyncjobs, start: Start, redis_url: str) -> None:
    supervisor = start("worker", APP, "--processes", 2, "--concurrency", 7, url=redis_url)
    supervisor.until(r"worker \S+ serves", times=2)
    infos = asyncjobs("workers", "--json").json["workers"]
    assert [info["concurrency"] for info in infos] == [7, 7]
    pids = {info["pid"] for info in infos}
    assert {child.pid for child in psutil.Process(supervisor.process.pid).children()} == pids
    os.kill(min(pids), signal.SIGKILL)
    supervisor.until(r"worker \S+ serves", times=3)
    assert asyncjobs("enqueue", APP, "add", 1, 2, "--wait").out == "3\n"
    told = supervisor.stop()
    assert told.code == 0
    assert all(LINE.fullmatch(line) for line in told.err.splitlines()), told.err
    assert asyncjobs("workers", "--json").json["workers"] == []


@pytest.mark.parametrize(
    ("written", "queues"), [("bulk,default", ["bulk", "default"]), ("bulk:3,mail", ["bulk", "mail"])]
)
def test_queues(asyncjobs: Asyncjobs, start: Start, redis_url: str, written: str, queues: list[str]) -> None:
    worker = start("worker", APP, "--queues", written, url=redis_url)
    worker.until_serving()
    (info,) = asyncjobs("workers", "--json").json["workers"]
    assert info["queues"] == queues
    assert asyncjobs("enqueue", APP, "add", 1, 2, "--queue", "bulk", "--wait").out == "3\n"


def test_reload(asyncjobs: Asyncjobs, start: Start, redis_url: str, tmp_path: Path) -> None:
    source = "from asyncjobs import Registry\nregistry = Registry()\n"
    source += "@registry.job\ndef edition() -> int: return {}\n"
    module = tmp_path / "reloaded_app.py"
    module.write_text(source.format(1))
    worker = start("worker", "reloaded_app:registry", "--reload", url=redis_url, cwd=tmp_path)
    worker.until_serving()

    def edition() -> str:
        return run_process(
            "enqueue", "reloaded_app:registry", "edition", "--wait=20", url=redis_url, cwd=tmp_path
        ).out

    assert edition() == "1\n"
    module.write_text(source.format(2))
    worker.until(r"worker \S+ serves", times=2)
    assert edition() == "2\n"
    assert worker.stop().code == 0


def test_the_embedded_server(start: Start, tmp_path: Path) -> None:
    worker = start("worker", "--embedded", APP)
    worker.until_serving()
    url, port = worker.until(r"Valkey is at (redis://127\.0\.0\.1:(\d+)/0)").groups()
    assert f"export ASYNCJOBS_REDIS={url}\n" in worker.out
    assert run_process("enqueue", APP, "add", 1, 2, "--wait", url=url).out == "3\n"
    assert worker.stop().code == 0
    with pytest.raises(ConnectionRefusedError):
        socket.create_connection(("127.0.0.1", int(port)), timeout=5)


def test_the_embedded_server_keeps_its_data(start: Start, tmp_path: Path) -> None:
    directory = tmp_path / "data"
    worker = start(
        "worker", APP, "--embedded", directory, "--queues", "mail", ASYNCJOBS_REDIS="redis://127.0.0.1:1/0"
    )
    worker.until_serving()
    url = worker.until(r"Valkey is at (\S+)")[1]
    job_id = run_process("enqueue", APP, "add", 1, 2, url=url).out.strip()
    told = run_process("worker", APP, "--embedded", directory)
    assert told.code == 1
    assert "is in use by another embedded server" in told.err
    assert worker.stop().code == 0
    told = run_process("worker", APP, f"--embedded={directory}", "--burst")
    assert (told.code, told.lines[-1]) == (0, "No job is left for later")
    worker = start("worker", APP, "--embedded", directory)
    worker.until_serving()
    url = worker.until(r"Valkey is at (\S+)")[1]
    job = run_process("show", job_id, "--json", url=url).json
    assert (job["state"], job["result"]) == ("succeeded", 3)
    assert worker.stop().code == 0


def test_killing_it_ends_the_embedded_server(start: Start) -> None:
    worker = start("worker", APP, "--embedded")
    worker.until_serving()
    port = int(worker.until(r"Valkey is at redis://127\.0\.0\.1:(\d+)")[1])
    worker.process.kill()
    worker.process.wait()

    def refused() -> bool:
        with socket.socket() as probe:
            return probe.connect_ex(("127.0.0.1", port)) != 0

    eventually_sync(refused, 20)


@pytest.mark.parametrize("processes", [1, 2])
@pytest.mark.parametrize(
    ("target", "said"),
    [
        ("no_such_app:registry", "there is no module 'no_such_app'"),
        ("cli_shop:regisrty", "cli_shop has no 'regisrty'; did you mean registry?"),
        (
            "cli_shop:add",
            "cli_shop:add is a SyncDefinition, not an asyncjobs Registry; did you mean registry?",
        ),
        ("cli_shop.py", "is no module:object"),
        ("cli_needs_more:registry", "it imports 'no_such_library', which isn't installed"),
        ("cli_broken:registry", "RuntimeError: the configuration is wrong"),
    ],
)
def test_what_cannot_be_imported(redis_url: str, target: str, said: str, processes: int) -> None:
    told = run_process("worker", target, "--processes", processes, url=redis_url)
    assert (told.code, told.out) == (4, "")
    assert said in told.err
    if target == "cli_broken:registry":
        assert 'cli_broken.py", line ' in told.err
        assert "importlib" not in told.err
    elif processes == 1:
        assert len(told.err.splitlines()) == 1


def test_other_commands_say_it_too(asyncjobs: Asyncjobs) -> None:
    assert (
        "there is no module 'no_such_app'" in asyncjobs("enqueue", "no_such_app:registry", "add", code=4).err
    )
    assert (
        "there is no module 'no_such_app'" in asyncjobs("list", "failed", "--app", "no_such_app", code=4).err
    )


@pytest.mark.parametrize(
    ("args", "said"),
    [
        ((), "Say which registry"),
        ((APP, "--queues", "a,,b"), "write a,b for a strict order, or a:3,b:1 for weights"),
        ((APP, "--queues", "a,a"), "write a,b"),
        ((APP, "--queues", "a:x"), "write a,b"),
        ((APP, "--queues", "a b", "--processes", "2"), "queue name 'a b' can't be used"),
        ((APP, "--queues", "a:0"), "must be 1 or more"),
        ((APP, "--concurrency", "0"), "--concurrency"),
        ((APP, "--processes", "0"), "--processes"),
        ((APP, "--lease", "1s", "--processes", "2"), "lease must be 3 s or more"),
        ((APP, "--grace", "long"), "is no duration"),
        ((APP, "-v", "-q"), "give one of them"),
        ((APP, "--embedded", "--redis", "redis://localhost:1/0"), "leave out --redis"),
    ],
)
def test_wrong_usage(asyncjobs: Asyncjobs, args: tuple[str, ...], said: str) -> None:
    told = asyncjobs("worker", *args, code=2)
    assert told.out == ""
    assert said in told.err
    assert len(told.err.splitlines()) <= 2


def test_how_much_it_logs(start: Start, redis_url: str) -> None:
    loud = start("worker", APP, "-v", url=redis_url)
    loud.until_serving()
    quiet = start("worker", APP, "-q", url=redis_url)
    eventually_sync(lambda: run_process("stats", "--json", url=redis_url).json["workers"] == 2, 30)
    assert (quiet.stop().err, quiet.out) == ("", "")
    assert loud.stop().code == 0


def test_on_a_terminal_it_logs_in_colours(terminal: OpenTerminal) -> None:
    screen = terminal("worker", APP)
    screen.until("serves")
    assert re.search("\x1b\\[\\d+mINFO", screen.seen)
    screen.type("\x03")
    assert screen.ended() == 0
    assert "stopping" in screen.seen
