"""Every kind of address that a client and a worker may be given, with real servers behind it."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from asyncjobs import Client, Registry, Worker
from asyncjobs.errors import OptionError, StorageError, StorageUnavailable
from tests.conftest import ServerFactory
from tests.servers import Cluster, Server, binary
from tests.waiting import eventually, eventually_sync

registry = Registry()


@registry.job(name="addresses.add")
async def add(a: int, b: int) -> int:
    return a + b


async def runs_jobs(url: str, shards: int = 1) -> None:
    async with Client(url, registry=registry, shards=shards) as client, Worker(registry, client) as worker:
        jobs = await client.enqueue_many(add.call(number, 1) for number in range(60))
        assert sum([await job.result(timeout=20) for job in jobs]) == sum(range(1, 61))
        heard = await client.workers()
        # Its heartbeat thread has its own way to the server.
        await eventually(lambda: _renewed(client, heard[0].lease_ends_at), because="the lease is renewed")
        assert heard[0].id == worker.id


async def _renewed(client: Client, before: object) -> bool:
    return (await client.workers())[0].lease_ends_at != before


async def test_a_password_and_a_database(own_server: ServerFactory) -> None:
    server = own_server()
    server.command("CONFIG", "SET", "requirepass", "p:ss/w@rd")
    await runs_jobs(f"redis://:p%3Ass%2Fw%40rd@127.0.0.1:{server.port}/3")
    with pytest.raises(StorageError, match="refuses access"):
        await runs_jobs(f"redis://:wrong@127.0.0.1:{server.port}/3")


async def test_tls(tmp_path: Path) -> None:
    try:
        redis_server = binary("redis70")
    except Exception as missing:
        pytest.skip(str(missing))
    certificate, key = tmp_path / "cert.pem", tmp_path / "key.pem"
    subprocess.run(
        [
            *(
                "openssl",
                "req",
                "-x509",
                "-newkey",
                "rsa:2048",
                "-nodes",
                "-days",
                "2",
                "-subj",
                "/CN=localhost",
            ),
            *("-addext", "subjectAltName=DNS:localhost,IP:127.0.0.1", "-keyout", key, "-out", certificate),
        ],
        check=True,
        capture_output=True,
    )
    with Server("redis70") as port_source:
        port = port_source.port
    process = subprocess.Popen(
        [
            *(redis_server, "--port", "0", "--tls-port", str(port), "--save", "", "--dir", tmp_path),
            *("--tls-cert-file", certificate, "--tls-key-file", key, "--tls-auth-clients", "no"),
        ],
        stdout=subprocess.DEVNULL,
    )
    try:
        url = f"rediss://127.0.0.1:{port}/0?ssl_ca_certs={certificate}"
        async with Client(url, patience=10):
            pass
        await runs_jobs(url)
        with pytest.raises(StorageUnavailable):
            async with Client(f"rediss://127.0.0.1:{port}/0", patience=0.1):
                pass
    finally:
        process.kill()
        process.wait()


@pytest.fixture
def sentinel(own_server: ServerFactory, tmp_path: Path) -> Iterator[tuple[int, Server]]:
    master = own_server(repl_diskless_sync_delay="0")
    replica = own_server()
    replica.command("REPLICAOF", "127.0.0.1", str(master.port))
    eventually_sync(lambda: replica.client().info("replication")["master_link_status"] == "up")
    with Server() as port_source:
        port = port_source.port
    settings = tmp_path / "sentinel.conf"
    settings.write_text(
        f"port {port}\nsentinel monitor main 127.0.0.1 {master.port} 1\n"
        "sentinel down-after-milliseconds main 500\nsentinel failover-timeout main 2000\n"
    )
    process = subprocess.Popen([binary("valkey"), settings, "--sentinel"], stdout=subprocess.DEVNULL)
    try:
        yield port, master
    finally:
        process.kill()
        process.wait()


async def test_sentinels_lead_to_the_master_and_after_a_failover_to_the_next(
    sentinel: tuple[int, Server],
) -> None:
    port, master = sentinel
    url = f"redis+sentinel://127.0.0.1:{port}/main"
    async with Client(url, registry=registry, patience=30) as client, Worker(registry, client):
        assert await (await client.enqueue(add, 1, 2)).result(timeout=20) == 3
        master.kill()
        assert await (await client.enqueue(add, 3, 4)).result(timeout=30) == 7


async def test_a_cluster_with_the_namespace_spread_over_its_nodes(cluster: Cluster) -> None:
    url = cluster.url.replace("redis://", "redis+cluster://")
    # The slots of hash tags are as good as random: some more shards than nodes leave no node without one.
    await runs_jobs(url, shards=8)
    assert all(node.client().dbsize() for node in cluster.nodes), "each node has its share"


async def test_a_cluster_node_that_comes_back_is_used_again() -> None:
    with Cluster() as cluster:
        url = cluster.url.replace("redis://", "redis+cluster://")
        async with Client(url, registry=registry, shards=3, patience=30) as client, Worker(registry, client):
            for node in cluster.nodes:
                node.kill()
            for node in cluster.nodes:
                node.start()
            jobs = await client.enqueue_many(add.call(number, 1) for number in range(30))
            assert sum([await job.result(timeout=30) for job in jobs]) == sum(range(1, 31))


@pytest.mark.parametrize("url", ["http://localhost", "localhost:6379", "redis+sentinel://localhost:26379"])
def test_an_address_that_is_none_says_what_would_be(url: str) -> None:
    with pytest.raises(OptionError, match="redis://host:6379/0"):
        Client(url)


def test_a_password_is_never_shown() -> None:
    with pytest.raises(OptionError) as refused:
        Client("rediss+nonsense://user:hunter2@localhost")
    assert "hunter2" not in str(refused.value)
