"""Locks for code that isn't async: threads hold them, the client's loop renews them."""
# ruff: noqa: PT012 - what is tested is what becomes of a block of code

from __future__ import annotations

import os
import signal
import threading
from datetime import timedelta

import pytest

from asyncjobs import SyncClient, SyncLock
from asyncjobs.errors import LockLost, LockNotAcquired
from tests.waiting import eventually_sync

TTL = 1


def test_a_block_has_the_lock_and_lets_go_of_it(redis_url: str) -> None:
    with SyncClient(redis_url) as client:
        with client.lock("ledger", ttl=timedelta(seconds=30)) as lock:
            assert isinstance(lock, SyncLock)
            assert lock.name == "ledger"
            (info,) = client.locks()
            assert info == client.get_lock("ledger")
            assert (info.name, info.token) == ("ledger", lock.token)
            assert not lock.lost
            assert lock.remaining > timedelta(seconds=5)
            lock.check()
            assert repr(lock).startswith("<SyncLock 'ledger': held, token ")
            with pytest.raises(LockNotAcquired, match="'ledger'"), client.lock("ledger", wait=0):
                raise AssertionError("two have it")
        assert client.locks() == []


def test_threads_have_it_one_after_the_other(redis_url: str) -> None:
    inside: list[int] = []
    tokens: list[int] = []
    with SyncClient(redis_url) as client:

        def work() -> None:
            for _ in range(5):
                with client.lock("ledger") as lock:
                    inside.append(lock.token)
                    tokens.extend(inside)
                    inside.remove(lock.token)

        threads = [threading.Thread(target=work) for _ in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert client.locks() == []
    assert len(tokens) == 20
    assert tokens == sorted(set(tokens))


def test_it_is_renewed_while_the_thread_works(redis_url: str) -> None:
    with SyncClient(redis_url) as client, client.lock("ledger", ttl=TTL) as lock:
        until = client.locks()[0].until
        eventually_sync(lambda: client.locks()[0].until > until + timedelta(seconds=TTL))
        lock.check()


def test_a_thread_is_told_of_the_loss_when_it_asks_and_at_the_end(redis_url: str) -> None:
    with SyncClient(redis_url) as client:
        with pytest.raises(LockLost, match="'ledger'"), client.lock("ledger", ttl=TTL) as lock:
            assert client.break_lock("ledger")
            eventually_sync(lambda: lock.lost)
            with pytest.raises(LockLost):
                lock.check()
            assert lock.remaining == timedelta(0)
        assert lock.lost
        # What the block raises itself counts more.
        with pytest.raises(ZeroDivisionError), client.lock("ledger", ttl=TTL) as lock:
            client.break_lock("ledger")
            eventually_sync(lambda: lock.lost)
            raise ZeroDivisionError


def test_by_hand(redis_url: str) -> None:
    with SyncClient(redis_url) as client:
        one, two = client.lock("ledger", wait=0), client.lock("ledger", wait=0)
        assert one.acquire()
        assert not two.acquire()
        one.release()
        assert two.acquire()
        assert two.token > one.token
        two.release()


class Interrupted(Exception):
    pass


def test_one_that_is_interrupted_as_it_waits_does_not_get_it_later(redis_url: str) -> None:
    def interrupt(number: int, frame: object) -> None:
        raise Interrupted

    with SyncClient(redis_url) as client, SyncClient(redis_url) as other:

        def interrupt_the_one_that_waits() -> None:
            eventually_sync(lambda: (lock := other.get_lock("ledger")) is not None and lock.waiting == 1)
            os.kill(os.getpid(), signal.SIGUSR1)

        before = signal.signal(signal.SIGUSR1, interrupt)
        try:
            with other.lock("ledger"):
                interrupter = threading.Thread(target=interrupt_the_one_that_waits)
                interrupter.start()
                with pytest.raises(Interrupted):
                    client.lock("ledger").acquire()
                interrupter.join()
                eventually_sync(lambda: other.locks()[0].waiting == 0)
            assert other.locks() == []
        finally:
            signal.signal(signal.SIGUSR1, before)
