"""The application that the tests of the command line enqueue to and run."""

import asyncio
import time
from dataclasses import dataclass

from asyncjobs import JobContext, Limit, Registry, Retry, Unique

registry = Registry()


@dataclass
class Order:
    number: int
    tags: set[str]


@registry.job(queue="mail")
async def send_email(to: str, *, subject: str = "Hi") -> str:
    return f"{to}: {subject}"


@registry.job
def add(a: int, b: int) -> int:
    return a + b


@registry.job
async def echo(*args: object, **kwargs: object) -> object:
    return [list(args), kwargs]


@registry.job(retry=Retry(max_retries=1, delay=0))
async def fail(what: str) -> None:
    raise ValueError(f"no such thing: {what}")


@registry.job(retry=Retry(max_retries=1, delay=5400))
async def fail_slowly(what: str) -> None:
    raise LookupError(f"not yet: {what}")


@registry.job(context=True)
async def report(context: JobContext, seconds: float) -> str:
    context.progress(0.25, "a quarter\nof it")
    context.log("began", seconds)
    await asyncio.sleep(seconds)
    return "done"


@registry.job(context=True, mutex="report:{seconds}")
async def lone_report(context: JobContext, seconds: float) -> str:
    return await report(context, seconds)


@registry.job(limits=[Limit("smtp", rate=1, per=3600, key="{to}")], unique="welcome:{to}", expires=600)
async def welcome(to: str) -> str:
    return f"Welcome, {to}"


@registry.job(expires=0.01)
async def brief(to: str) -> None: ...


@registry.job(unique=Unique("digest:{to}", on_conflict="replace"))
async def digest(to: str) -> None: ...


@registry.job(unique=Unique("bill:{customer}", on_conflict="raise"))
async def bill(customer: int) -> None: ...


@registry.job(context=True)
def nap(context: JobContext, seconds: float) -> None:
    context.log("asleep")
    until = time.monotonic() + seconds
    while time.monotonic() < until and not context.cancelled:
        time.sleep(0.01)


@registry.job
async def ship(order: Order) -> Order:
    return order


@registry.job(keep_result=False)
async def forget() -> str:
    return "nobody reads this"
