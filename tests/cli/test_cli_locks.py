"""`locks`: what is held by whom, and taking one away."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from asyncjobs import SyncClient
from tests.cli.conftest import Asyncjobs, OpenTerminal


@pytest.fixture
def client(redis_url: str) -> Iterator[SyncClient]:
    with SyncClient(redis_url) as client:
        yield client


def test_nothing_is_held(asyncjobs: Asyncjobs) -> None:
    assert asyncjobs("locks").out == "No lock is held.\n"
    assert asyncjobs("locks", "--json").json["locks"] == []
    told = asyncjobs("locks", "release", "ledger", "--yes", code=1)
    assert told.err == "Error: nobody holds a lock ledger\n"


def test_they_are_listed_with_their_holders(asyncjobs: Asyncjobs, client: SyncClient) -> None:
    with client.lock("ledger", ttl=3600) as ledger, client.lock("mail merge", ttl=30) as mail:
        told = asyncjobs("locks")
        assert told.lines[0].split() == ["LOCK", "HOLDER", "TOKEN", "RUNS", "OUT", "WAITING"]
        assert [line.split()[0] for line in told.lines[1:]] == ["mail", "ledger"]
        assert str(mail.token) in told.lines[1]
        document = asyncjobs("locks", "--json").json
        assert [lock["name"] for lock in document["locks"]] == ["mail merge", "ledger"]
        (info,) = [lock for lock in client.locks() if lock.name == "ledger"]
        assert document["locks"][1] == {
            "name": "ledger",
            "holder": info.holder,
            "token": ledger.token,
            "until": document["locks"][1]["until"],
            "waiting": 0,
        }
        assert document["now"] < document["locks"][0]["until"] < document["locks"][1]["until"]
        assert "--offset 1 for more" in asyncjobs("locks", "--limit", 1).out
        assert asyncjobs("locks", "--offset", 1, "--json").json["locks"] == document["locks"][1:]
        assert asyncjobs("locks", "--offset", 2).out == "No lock is held after the first 2.\n"


def test_one_is_released_by_force(asyncjobs: Asyncjobs, client: SyncClient) -> None:
    held = client.lock("ledger", ttl=3600)
    assert held.acquire()
    told = asyncjobs("locks", "release", "ledger", code=2)
    assert "add --yes" in told.err
    (info,) = client.locks()

    told = asyncjobs("locks", "release", "ledger", "--yes")

    assert told.out == f"ledger is released; {info.holder} had it\n"
    with client.lock("ledger", wait=0) as lock:
        assert lock.token > held.token
    held.release()


def test_on_a_terminal_it_asks_first(client: SyncClient, terminal: OpenTerminal) -> None:
    held = client.lock("ledger", ttl=3600)
    assert held.acquire()
    (info,) = client.locks()
    screen = terminal("locks", "release", "ledger")
    screen.until("Take it away?")
    assert f"{info.holder} holds ledger" in " ".join(screen.seen.split())
    screen.type("n")
    assert screen.ended() == 1
    assert "Nothing was done." in screen.seen
    assert client.get_lock("ledger") == info

    screen = terminal("locks", "release", "ledger")
    screen.until("Take it away?")
    held.release()
    with client.lock("ledger"):
        screen.type("y")
        assert screen.ended() == 1
        assert "any more" in screen.seen, "it is taken from the holder that was shown, and from no other"

    assert held.acquire()
    screen = terminal("locks", "release", "ledger")
    screen.until("Take it away?")
    screen.type("y")
    assert screen.ended() == 0
    assert client.get_lock("ledger") is None
    held.release()


def test_options_stand_behind_the_command_that_they_are_for(asyncjobs: Asyncjobs) -> None:
    told = asyncjobs("locks", "--namespace", "other", "release", "ledger", "--yes", code=2)
    assert "Put the options behind release" in told.err
