"""Mistakes of users with limits and unique jobs: both type checkers must find one in each line marked so, and
in no other."""

from __future__ import annotations

from asyncjobs import Client, Limit, Registry, SyncClient, Unique

registry = Registry()


@registry.job
async def send(to: str, *, subject: str = "") -> str:
    return to + subject


SMTP = Limit("smtp", rate=100)
Limit(5, 1)  # error
Limit("smtp", concurrency="5")  # error
Limit("smtp", rate=1, per="1m")  # error
Limit("smtp", 1, key=5)  # error
Limit("smtp", most=1)  # error
Unique()  # error
Unique(5)  # error
Unique("a", until="ended")  # error
Unique("a", until=None)  # error
Unique("a", on_conflict="ignore")  # error
Unique("a", ttl=5)  # error
registry.job(unique=5)  # error
registry.job(unique=True)  # error
registry.job(limits=SMTP)  # error
registry.job(limits=["smtp"])  # error
registry.job(limits=None)  # error
registry.job(mutex=True)  # error
registry.job(mutex=Unique("a"))  # error
registry.job(expires="1h")  # error
registry.job(job_id="a")  # error
registry.recurring("@daily", job_id="a")  # error
registry.external("a", limits=SMTP)  # error
Registry(unique=5)  # error
Registry(job_id="a")  # error


async def limits(client: Client, sync: SyncClient) -> None:
    send.options(job_id=5)  # error
    send.options(limits=5)  # error
    send.options(expires="5")  # error
    await client.enqueue(send, "a", job_id="x")  # error
    await client.enqueue(send.call("a"), unique="x")  # error
    await client.limits.set(SMTP, rate=5)  # error
    await client.limits.set("smtp", "5")  # error
    await client.limits.set("smtp", rate="5")  # error
    await client.limits.set("smtp", rate=5, per="1m")  # error
    await client.limits.reset()  # error
    await client.limits.list(5)  # error
    (await client.limits.list())[0].running = 5  # error
    sync.limits.set("smtp", rate="5")  # error
    (await client.enqueue(send, "a")).limits = ()  # error
