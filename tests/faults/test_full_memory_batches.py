"""Redis at its `maxmemory`, and what batches and continuations do then."""

from __future__ import annotations

import pytest

from asyncjobs.errors import StorageFull
from asyncjobs.ids import new_id
from asyncjobs.storage.base import (
    FOLLOW_LIMIT,
    BatchState,
    Created,
    Deleted,
    ExchangeRequest,
    Finish,
    NewBatch,
    NewJob,
    On,
    Opened,
    Outcome,
    Parent,
    State,
)
from asyncjobs.storage.redis import RedisStorage
from tests.conftest import ServerFactory
from tests.servers import Server

MEMBERS = 2 * FOLLOW_LIMIT


@pytest.fixture
def server(own_server: ServerFactory) -> Server:
    """A server that isn't full yet."""
    return own_server(maxmemory_policy="noeviction")


def fill(server: Server) -> None:
    """Leave no room for anything."""
    server.command("CONFIG", "SET", "maxmemory", server.client().info("memory")["used_memory"] - 100_000)


async def test_what_is_new_is_refused_whole_and_what_is_there_goes_on(server: Server):
    storage = RedisStorage(server.url)
    await storage.open()
    staging, batch, parent = new_id(), new_id(), new_id()
    await storage.open_batches([NewBatch(staging), NewBatch(batch)])
    await storage.create([NewJob(parent, "job", "parents")])
    members = [
        NewJob(new_id(), "job", "members", parents=[Parent(parent, On.FINISHED)], batch=batch)
        for _ in range(MEMBERS)
    ]
    assert set(await storage.create(members)) == {Created.CREATED}
    after = NewJob(new_id(), "job", "after", parents=[Parent(batch, On.FINISHED, batch=True)])
    await storage.create([after, NewJob(new_id(), "job", "staging", batch=staging)])
    while await storage.carry_on(0):
        pass
    assert await storage.commit_batch(batch) is Opened.DONE
    await storage.register(0, "worker", {}, 10_000)
    (grant,) = (await storage.exchange(0, ExchangeRequest("worker", 1, 1, ["parents"]))).grants
    fill(server)
    keys = sorted(server.command("KEYS", "*"))

    # Refused before anything is written.
    new = NewJob(new_id(), "job", "new", batch=staging)
    child = NewJob(new_id(), "job", "new", parents=[Parent(parent)])
    for refused in (
        storage.open_batches([NewBatch(new_id())]),
        storage.create([new]),
        storage.create([child]),
        storage.commit_batch(staging),
    ):
        with pytest.raises(StorageFull):
            await refused
    assert sorted(server.command("KEYS", "*")) == keys
    record = await storage.get_batch(staging)
    assert record is not None
    assert (record.state, record.total) == (BatchState.STAGING, 1)

    # What was taken goes on: the commit, the end of the parent, and a cancel.
    while await storage.carry_on(0):
        pass
    end = Finish(grant.id, grant.exchange, Outcome.FAILED)
    await storage.exchange(0, ExchangeRequest("worker", 2, 0, ["parents"], finishes=[end]))
    while await storage.carry_on(0):
        pass
    assert (await storage.jobs(State.ENQUEUED, queue="members", limit=1)).total == MEMBERS
    assert await storage.cancel_batch(batch) is Opened.DONE
    while await storage.carry_on(0):
        pass
    record = await storage.get_batch(batch)
    assert record is not None
    assert (record.state, record.cancelled) == (BatchState.CANCELLED, MEMBERS)
    assert (await storage.jobs(State.ENQUEUED, queue="after")).total == 1
    assert await storage.delete(members[0].id) is Deleted.DELETED
    await storage.sweep_batches(0)
    await storage.close()
