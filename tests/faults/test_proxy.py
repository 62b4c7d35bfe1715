"""The tools that inject faults do what they say: the proxy, killed servers, waiting, leftovers."""

from __future__ import annotations

import asyncio
import random
import re
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
import redis
import redis.asyncio
from redis.backoff import NoBackoff
from redis.retry import Retry

from asyncjobs.embedded import free_port
from tests.conftest import ServerFactory
from tests.proxy import Messages, Proxy, ThreadedProxy, parse_request
from tests.servers import Cluster, Server
from tests.waiting import eventually, eventually_sync

HOST = "127.0.0.1"
SCRIPT = "return redis.call('INCR', KEYS[1])"
OTHER_SCRIPT = "return redis.call('DECR', KEYS[1])"
NAMED = b"CLIENT SETNAME pump\r\n"
NO_RETRIES = Retry(NoBackoff(), 0)


def client_of(port: int, **options: Any) -> redis.Redis:
    """A client that never sends a command twice."""
    return redis.Redis(port=port, retry=NO_RETRIES, **{"socket_timeout": 5, **options})


@pytest.fixture
def direct(server: Server) -> Iterator[redis.Redis]:
    """The server itself, past the proxy."""
    with client_of(server.port) as client:
        yield client


@pytest.fixture
def client(proxy: ThreadedProxy) -> Iterator[redis.Redis]:
    with client_of(proxy.port) as client:
        yield client


@contextmanager
def raw(port: int) -> Iterator[socket.socket]:
    with socket.create_connection((HOST, port), timeout=5) as connection:
        yield connection


def seen_by(server: redis.Redis) -> bool:
    """Whether the server has a connection of the name that `NAMED` gives."""
    return any(connection["name"] == "pump" for connection in server.client_list())


def read_all(connection: socket.socket) -> bytes:
    """Everything until the other side closes."""
    received = b""
    while data := connection.recv(65536):
        received += data
    return received


class TestTraffic:
    def test_passes_any_kind_and_size(self, client: redis.Redis):
        big = random.Random(1).randbytes(3_000_000)
        client.set("big", big)
        assert client.get("big") == big
        client.hset("hash", mapping={"field": "value"})
        assert client.hgetall("hash") == {b"field": b"value"}
        assert client.get("none") is None
        with pytest.raises(redis.ResponseError):
            client.incr("hash")

    @pytest.mark.parametrize("protocol", [2, 3])
    def test_passes_what_is_pushed(self, protocol: int, proxy: ThreadedProxy, direct: redis.Redis):
        with client_of(proxy.port, protocol=protocol) as client, client.pubsub() as subscription:
            subscription.subscribe("news")
            eventually_sync(lambda: direct.publish("news", "hello"))
            messages = iter(lambda: subscription.get_message(timeout=5), None)
            assert next(m["data"] for m in messages if m["type"] == "message") == b"hello"
            subscription.unsubscribe("news")
            assert client.ping()

    def test_counts_bytes_commands_and_round_trips(self, proxy: ThreadedProxy):
        with raw(proxy.port) as connection:
            connection.sendall(b"*1\r\n$4\r\nPING\r\n")
            assert connection.recv(100) == b"+PONG\r\n"
            counts = proxy.counts
            assert (counts.commands, counts.round_trips) == ({"PING": 1}, 1)
            assert (counts.bytes_sent, counts.bytes_received) == (14, 7)
            # A pipeline is one round trip.
            connection.sendall(b"*1\r\n$4\r\nping\r\n" * 10)
            eventually_sync(lambda: proxy.counts.bytes_received == 77)
            assert (proxy.counts.commands, proxy.counts.round_trips) == ({"PING": 11}, 2)
            proxy.reset_counts()
            assert proxy.counts.bytes_sent == 0

    def test_counts_for_each_connection_by_its_name(self, proxy: ThreadedProxy):
        with client_of(proxy.port, client_name="one") as one, client_of(proxy.port, client_name="two") as two:
            one.ping()
            for _ in range(3):
                two.set("key", "value")
            by_name = {connection.name: connection for connection in proxy.connections}
            assert by_name["one"].counts.commands["SET"] == 0
            assert by_name["two"].counts.commands["SET"] == 3
        eventually_sync(lambda: not any(connection.open for connection in proxy.connections))

    def test_counts_scripts_by_their_sha(self, client: redis.Redis, proxy: ThreadedProxy):
        sha = client.script_load(SCRIPT)
        client.eval(SCRIPT, 1, "key")
        client.evalsha(sha, 1, "key")
        assert proxy.counts.scripts == {sha: 2}

    def test_cuts_a_stream_into_messages_wherever_it_is_torn(self):
        whole = [
            b"+OK\r\n",
            b"-ERR no\r\n",
            b":1\r\n",
            b"$-1\r\n",
            b"$0\r\n\r\n",
            b"$4\r\n\r\n$1\r\n",
            b"*-1\r\n",
            b"*0\r\n",
            b"*2\r\n*1\r\n:1\r\n$1\r\nx\r\n",
            b"%1\r\n+key\r\n*1\r\n,1.5\r\n",
            b"~2\r\n#t\r\n_\r\n",
            b">2\r\n+message\r\n$2\r\nhi\r\n",
            b"|1\r\n+a\r\n:1\r\n:2\r\n",
            b"=5\r\ntxt:x\r\n",
            b"PING inline\r\n",
        ]
        stream = b"".join(whole)
        for size in (1, 2, 3, 7, len(stream)):
            messages = Messages()
            pieces = [stream[start : start + size] for start in range(0, len(stream), size)]
            assert [message for piece in pieces for message in messages.feed(piece)] == whole
        assert parse_request(b"*2\r\n$3\r\nGET\r\n$3\r\na\r\n\r\n") == [b"GET", b"a\r\n"]
        assert parse_request(b"PING inline\r\n") == [b"PING", b"inline"]


class TestLostReplies:
    def test_the_server_executes_and_the_client_never_hears(
        self, client: redis.Redis, direct: redis.Redis, proxy: ThreadedProxy
    ):
        client.ping()
        fault = proxy.drop_reply("incrby")
        with pytest.raises(redis.ConnectionError):
            client.incr("key")
        assert direct.get("key") == b"1"
        assert (fault.hits, fault.remaining) == (1, 0)
        assert client.incr("key") == 2

    def test_a_client_that_retries_executes_twice(self, proxy: ThreadedProxy):
        with redis.Redis(port=proxy.port, retry=Retry(NoBackoff(), 1)) as retrying:
            proxy.drop_reply("INCRBY")
            assert retrying.incr("key") == 2

    def test_as_often_as_told(self, client: redis.Redis, direct: redis.Redis, proxy: ThreadedProxy):
        fault = proxy.drop_reply("INCRBY", times=2)
        for _ in range(2):
            with pytest.raises(redis.ConnectionError):
                client.incr("key")
        assert client.incr("key") == 3
        assert fault.hits == 2

    def test_by_predicate(self, client: redis.Redis, proxy: ThreadedProxy):
        proxy.drop_reply(lambda request: b"unlucky" in request)
        assert client.incr("lucky") == 1
        with pytest.raises(redis.ConnectionError):
            client.incr("unlucky")

    @pytest.mark.parametrize("command", ["EVAL", "EVALSHA"])
    def test_of_one_script(
        self, command: str, client: redis.Redis, direct: redis.Redis, proxy: ThreadedProxy
    ):
        sha, other = client.script_load(SCRIPT), client.script_load(OTHER_SCRIPT)
        proxy.drop_reply(sha)
        assert client.evalsha(other, 1, "key") == -1
        with pytest.raises(redis.ConnectionError):
            client.execute_command(command, SCRIPT if command == "EVAL" else sha, 1, "key")
        assert direct.get("key") == b"0"

    def test_waits_for_a_reply_of_a_script_that_ran(
        self, client: redis.Redis, direct: redis.Redis, proxy: ThreadedProxy
    ):
        sha = client.script_load(SCRIPT)
        client.script_flush()
        fault = proxy.drop_reply(sha)
        with pytest.raises(redis.exceptions.NoScriptError):
            client.evalsha(sha, 1, "key")
        assert fault.hits == 0
        with pytest.raises(redis.ConnectionError):
            client.eval(SCRIPT, 1, "key")
        assert direct.get("key") == b"1"

    def test_in_the_middle_of_a_pipeline(self, proxy: ThreadedProxy, direct: redis.Redis):
        fault = proxy.drop_reply(lambda request: request[1] == b"second")
        with raw(proxy.port) as connection:
            connection.sendall(b"INCR first\r\nINCR second\r\nINCR third\r\n")
            assert read_all(connection) == b":1\r\n"
        assert fault.hits == 1
        eventually_sync(lambda: direct.mget("first", "second", "third") == [b"1"] * 3)

    def test_of_a_blocked_pop_loses_the_item(
        self, client: redis.Redis, direct: redis.Redis, proxy: ThreadedProxy
    ):
        fault = proxy.drop_reply("BLPOP")
        caught: list[Exception] = []

        def pop() -> None:
            try:
                client.blpop(["list"], timeout=5)
            except redis.ConnectionError as error:
                caught.append(error)

        popper = threading.Thread(target=pop)
        popper.start()
        eventually_sync(lambda: direct.info("clients")["blocked_clients"] == 1)
        assert fault.hits == 0
        direct.rpush("list", "item")
        popper.join()
        assert caught
        assert direct.llen("list") == 0

    def test_a_cleared_fault_strikes_no_more(self, client: redis.Redis, proxy: ThreadedProxy):
        proxy.drop_reply("INCRBY").clear()
        assert client.incr("key") == 1
        proxy.drop_reply("INCRBY")
        proxy.drop_request("INCRBY")
        proxy.heal()
        assert client.incr("key") == 2

    def test_a_fault_that_found_no_reply_is_still_to_come(self, client: redis.Redis, proxy: ThreadedProxy):
        fault = proxy.drop_reply("BLPOP")
        with raw(proxy.port) as connection:
            connection.sendall(b"BLPOP list 0\r\n")
            eventually_sync(lambda: fault.remaining == 0)
        eventually_sync(lambda: fault.remaining == 1)
        with pytest.raises(redis.ConnectionError):
            client.blpop(["list"], timeout=0.01)

    def test_a_lost_request_never_reaches_the_server(
        self, client: redis.Redis, direct: redis.Redis, proxy: ThreadedProxy
    ):
        fault = proxy.drop_request("INCRBY")
        with pytest.raises(redis.ConnectionError):
            client.incr("key")
        assert direct.get("key") is None
        assert fault.hits == 1
        assert client.incr("key") == 1


class TestConnections:
    def test_cut(self, client: redis.Redis, direct: redis.Redis, proxy: ThreadedProxy):
        with raw(proxy.port) as idle, raw(proxy.port) as waiting:
            idle.sendall(NAMED)
            assert idle.recv(100) == b"+OK\r\n"
            waiting.sendall(b"BLPOP list 0\r\n")
            eventually_sync(lambda: direct.info("clients")["blocked_clients"] == 1)
            assert proxy.cut() == 2
            assert read_all(idle) == read_all(waiting) == b""
        eventually_sync(lambda: direct.info("clients")["blocked_clients"] == 0)
        eventually_sync(lambda: not seen_by(direct), because="the server sees it closed")
        assert client.ping()

    def test_cut_by_name(self, proxy: ThreadedProxy):
        with raw(proxy.port) as pump, raw(proxy.port) as other:
            pump.sendall(NAMED)
            other.sendall(b"PING\r\n")
            assert (pump.recv(100), other.recv(100)) == (b"+OK\r\n", b"+PONG\r\n")
            assert proxy.cut(lambda connection: connection.name == "pump") == 1
            assert read_all(pump) == b""
            other.sendall(b"PING\r\n")
            assert other.recv(100) == b"+PONG\r\n"

    def test_refuse(self, client: redis.Redis, proxy: ThreadedProxy):
        client.ping()
        proxy.refuse()
        assert client.ping(), "an existing connection goes on"
        with pytest.raises(ConnectionRefusedError):
            socket.create_connection((HOST, proxy.port))
        proxy.refuse(False)
        with client_of(proxy.port) as other:
            assert other.ping()

    def test_black_hole(self, proxy: ThreadedProxy, direct: redis.Redis):
        with raw(proxy.port) as existing, raw(proxy.port) as other:
            existing.sendall(b"INCR key\r\n")
            assert existing.recv(100) == b":1\r\n"
            other.sendall(b"BLPOP list 0\r\n")
            eventually_sync(lambda: direct.info("clients")["blocked_clients"] == 1)
            proxy.black_hole()
            direct.rpush("list", "item")
            with raw(proxy.port) as new:
                new.sendall(b"INCR key\r\n")
                existing.sendall(b"INCR key\r\n")
                for connection in (existing, other, new):
                    connection.settimeout(0.2)
                    with pytest.raises(TimeoutError):
                        connection.recv(100)
                    connection.settimeout(5)
                assert direct.get("key") == b"1"
                proxy.black_hole(False)
                # What was under way arrives late.
                assert {existing.recv(100), new.recv(100)} == {b":2\r\n", b":3\r\n"}
                assert b"item" in other.recv(100)

    def test_half_open(self, proxy: ThreadedProxy, direct: redis.Redis):
        with client_of(proxy.port, socket_timeout=0.3, client_name="pump") as client:
            client.ping()
            assert seen_by(direct)
            assert proxy.half_open() == 1
            eventually_sync(lambda: not seen_by(direct), because="the server sees it closed")
            with pytest.raises(redis.TimeoutError):
                client.incr("key")
            assert direct.get("key") is None
            assert client.incr("key") == 1, "a new connection works"

    def test_delay(self, client: redis.Redis, proxy: ThreadedProxy):
        client.ping()
        proxy.delay(0.15)
        began = time.monotonic()
        client.ping()
        assert time.monotonic() - began >= 0.15
        proxy.delay(0)
        assert client.ping()

    def test_a_dead_server_behind_it(self, own_server: ServerFactory):
        server = own_server()
        with ThreadedProxy(server.port) as proxy, client_of(proxy.port) as client:
            client.ping()
            server.kill()
            for _ in range(2):
                with pytest.raises(redis.ConnectionError):
                    client.ping()
            server.start()
            assert client.ping()


class TestInProcess:
    async def test_serves_clients_of_its_own_loop(self, server: Server):
        async with Proxy(server.port) as proxy:
            client = redis.asyncio.from_url(proxy.url, retry=redis.asyncio.retry.Retry(NoBackoff(), 0))
            async with client:
                await client.set("key", "value")
                fault = proxy.drop_reply("GET")
                with pytest.raises(redis.ConnectionError):
                    await client.get("key")
                await eventually(lambda: fault.hits == 1)
                assert await client.get("key") == b"value"
                assert proxy.counts.commands["GET"] == 2
                proxy.refuse()
                proxy.cut()
                with pytest.raises(redis.ConnectionError):
                    await client.ping()
                proxy.heal()
                assert await client.ping()

    async def test_the_threaded_one_serves_while_the_loop_is_blocked(self, proxy: ThreadedProxy):
        with client_of(proxy.port) as client:
            assert client.ping()


class TestServers:
    def test_killed_and_started_again_with_its_data(self, own_server: ServerFactory):
        server = own_server(appendonly="yes", appendfsync="always")
        client = server.client()
        client.set("key", "value")
        url = server.url
        server.kill()
        assert not server.running
        with pytest.raises(ConnectionRefusedError):
            socket.create_connection((HOST, server.port))
        server.start()
        assert (server.url, client.get("key")) == (url, b"value")
        server.restart()
        assert client.get("key") == b"value"

    def test_nobody_takes_the_port_of_a_dead_server(
        self, own_server: ServerFactory, monkeypatch: pytest.MonkeyPatch
    ):
        server = own_server()
        server.kill()
        monkeypatch.setattr("asyncjobs.embedded.PORTS", range(server.port, server.port + 2))
        assert free_port() == server.port + 1

    def test_paused_it_accepts_and_does_not_answer(self, own_server: ServerFactory):
        server = own_server()
        server.pause()
        with client_of(server.port, socket_timeout=0.2) as client, pytest.raises(redis.TimeoutError):
            client.ping()
        server.resume()
        assert server.client().ping()

    def test_configured(self, own_server: ServerFactory):
        server = own_server(maxmemory="5mb", maxmemory_policy="noeviction")
        client = server.client()
        pushes = (client.rpush("key", b"x" * 200_000) for _ in range(100))
        with pytest.raises(redis.exceptions.OutOfMemoryError):
            sum(pushes)
        server.stop()
        server.config["maxmemory"] = "50mb"
        server.start()
        assert client.config_get("maxmemory") == {"maxmemory": "52428800"}

    def test_each_test_finds_the_shared_one_empty(self, server: Server, redis_url: str):
        with redis.from_url(redis_url) as client:
            assert client.dbsize() == 0
            client.set("left", "behind")
        server.flush()
        assert server.command("DBSIZE") == 0

    def test_a_cluster_spreads_its_keys(self, cluster: Cluster):
        client = cluster.client()
        keys = [f"key{number}" for number in range(100)]
        for key in keys:
            client.set(key, key)
        assert [client.get(key) for key in keys] == [key.encode() for key in keys]
        client.close()
        sizes = [node.command("DBSIZE") for node in cluster.nodes]
        assert sum(sizes) == 100
        assert min(sizes) > 10
        for key in keys:
            assert cluster.owner(key).command("GET", key) == key.encode()
        cluster.flush()
        assert [node.command("DBSIZE") for node in cluster.nodes] == [0, 0, 0]


class TestWaiting:
    async def test_returns_the_first_true_value(self):
        values = iter([0, "", None, "there"])
        assert await eventually(lambda: next(values)) == "there"

        async def answer() -> int:
            return 42

        assert await eventually(answer) == 42
        assert eventually_sync(lambda: [1]) == [1]

    async def test_gives_up_with_the_last_value(self):
        with pytest.raises(AssertionError, match=r"(?s)not within 0.05 s: a full house.*last: 0"):
            await eventually(lambda: 0, 0.05, because="a full house")
        with pytest.raises(AssertionError, match="last: ''"):
            eventually_sync(lambda: "", 0.05)

    async def test_gives_up_on_a_predicate_that_hangs(self):
        with pytest.raises(AssertionError, match="still being awaited"):
            await eventually(asyncio.Event().wait, 0.05)

    async def test_takes_an_assertion_for_not_yet_and_other_errors_as_they_are(self):
        tries = iter(range(10))

        def holds() -> bool:
            assert next(tries) == 3
            return True

        assert await eventually(holds)
        with pytest.raises(ZeroDivisionError):
            eventually_sync(lambda: 1 / 0)
        with pytest.raises(AssertionError, match="division by zero"):
            eventually_sync(lambda: 1 / 0, 0.05, ignoring=(ZeroDivisionError,))


INNER_TESTS = """
import asyncio, os, subprocess, sys
import pytest

SLEEP = [sys.executable, "-c", "import signal; signal.pause()"]

def test_child():
    subprocess.Popen(SLEEP)

def test_orphan():
    code = "import subprocess, sys; print(subprocess.Popen(sys.argv[1:], stdout=subprocess.DEVNULL).pid)"
    subprocess.run([sys.executable, "-c", code, *SLEEP], check=True)

def test_tidy(server):
    process = subprocess.Popen(SLEEP)
    process.kill()

async def test_async_runs(server):
    await asyncio.sleep(0)
    version = server.client().info("server")["redis_version"]
    assert version.startswith("6.2"), version
    pytest.fail("reached the end")

def test_own(own_server):
    own_server("valkey").kill()
"""


def test_leftover_processes_fail_the_test_that_left_them(tmp_path: Path):
    (tmp_path / "test_inner.py").write_text(INNER_TESTS)
    code = "import pytest, tests.conftest; tests.conftest.LEFTOVER_SECONDS = 0.5; pytest.main()"
    options = ["-p", "tests.conftest", "-p", "no:cacheprovider", "--rootdir", tmp_path, "--server", "redis62"]
    run = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", code, *options, "-rA", tmp_path],
        capture_output=True,
        text=True,
        cwd=Path(__file__).parents[2],
    )
    outcomes = re.findall(r"^([A-Z]+) .*::(\w+)", run.stdout, re.MULTILINE)
    assert {" ".join(outcome) for outcome in outcomes} == {
        "PASSED test_child",
        "ERROR test_child",
        "PASSED test_orphan",
        "ERROR test_orphan",
        "PASSED test_tidy",
        "FAILED test_async_runs",
        "PASSED test_own",
    }, run.stdout
    assert "reached the end" in run.stdout
    assert "the test left processes behind" in run.stdout
