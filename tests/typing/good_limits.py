"""Limits and unique jobs as users write them: both type checkers must find nothing in it."""

from __future__ import annotations

from datetime import timedelta
from typing import assert_type

from asyncjobs import (
    Client,
    Job,
    Limit,
    LimitInfo,
    LimitNumbers,
    Registry,
    SyncClient,
    SyncJob,
    Unique,
)
from asyncjobs.errors import UniqueConflict

registry = Registry()
SMTP = Limit("smtp", rate=100, per=timedelta(minutes=1))


def account_of(account: str, cents: int = 0) -> str:
    return account.lower()


@registry.job(
    limits=[SMTP, Limit("account", 5, key="{account}"), Limit("slow", concurrency=2, key=account_of)],
    unique="charge:{account}",
    mutex="account:{account}",
    expires=timedelta(hours=1),
)
async def charge_once(account: str, cents: int = 0) -> int:
    return cents


@registry.job(unique=Unique(account_of, until="started", on_conflict="raise"), mutex=account_of, expires=60)
def pay(account: str, cents: int) -> bool:
    return True


@registry.job(limits=(SMTP,), unique=str.lower, mutex=None, expires=None)
def look_up(account: str) -> str:
    return account


@registry.recurring("@daily", unique=Unique("daily", until=timedelta(days=1)), mutex="daily", limits=[SMTP])
async def tidy_up() -> None: ...


@registry.external("billing.refund", unique="{account}", limits=[SMTP], expires=5)
async def refund(account: str) -> str:
    raise NotImplementedError


async def limits_and_unique_jobs(client: Client, sync: SyncClient) -> None:
    limited = Registry(limits=[SMTP], expires=60)
    assert_type(limited.limits(), list[Limit])
    assert_type(await charge_once("acme", cents=5), int)
    assert_type(await client.enqueue(charge_once, "acme"), Job[int])
    debounced = charge_once.options(unique=Unique("{account}", until=2.5, on_conflict="replace"))
    assert_type(await client.enqueue_in(60, debounced, "acme", 5), Job[int])
    assert_type(await client.enqueue(pay.options(job_id="payment-17", unique=None), "acme", 5), Job[bool])
    assert_type(await client.enqueue(look_up.options(limits=[], mutex="{account}"), "acme"), Job[str])
    assert_type(await client.enqueue_many([refund.options(job_id="r1").call("acme")]), list[Job[str]])
    try:
        job = await client.enqueue(pay, "acme", 5)
        print(job.unique, job.limits, job.throttled_by, job.expires_at)
    except UniqueConflict as conflict:
        assert_type(conflict.job_id, str)
        assert_type(conflict.key, str)
    assert_type(await client.limits.list(offset=0, limit=10), list[LimitInfo])
    assert_type(await client.limits.count(), int)
    assert_type(await client.limits.numbers(), list[LimitNumbers])
    await client.limits.set("smtp", rate=5, per=timedelta(seconds=1))
    await client.limits.set("account", concurrency=5)
    await client.limits.reset("smtp")
    (info, *_) = await client.limits.list()
    assert_type(info.per, timedelta | None)
    assert_type(info.throttled, int)
    assert_type(sync.limits.list(), list[LimitInfo])
    assert_type(sync.limits.numbers(), list[LimitNumbers])
    sync.limits.set("smtp", rate=5)
    sync.limits.reset("smtp")
    assert_type(sync.enqueue(debounced, "acme"), SyncJob[int])
