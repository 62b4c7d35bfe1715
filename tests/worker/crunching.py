"""Jobs that run in processes of their own: a child imports this module by its name."""

from __future__ import annotations

import os
import subprocess
import time
from pathlib import Path

from asyncjobs import JobContext, Registry, Retry, current_context
from asyncjobs.errors import NotInJob, RetryLater

registry = Registry(retry=Retry(max_retries=0))


class Unportable(Exception):
    """An exception that can't be made again from its arguments."""

    def __init__(self, code: int, *, reason: str) -> None:
        super().__init__(f"code {code}: {reason}")


@registry.job(name="crunch.where", runs_in="process")
def where() -> int:
    return os.getpid()


@registry.job(name="crunch.add", runs_in="process")
def add(first: int, *, second: tuple[int, ...] = ()) -> tuple[int, ...]:
    return (first, *second)


@registry.job(name="crunch.tell", runs_in="process", context=True)
def tell(context: JobContext, steps: int) -> list[object]:
    for step in range(1, steps + 1):
        context.progress(step / steps, f"step {step}")
        context.log("step", step, "of", steps)
    return [context.id, context.attempt, context.queue, current_context() is context]


@registry.job(name="crunch.tell_without_asking", runs_in="process")
def tell_without_asking() -> str:
    context = current_context()
    context.log("from", context.name)
    context.progress(0.5)
    return context.id


@registry.job(name="crunch.fail", runs_in="process")
def fail(kind: str) -> None:
    if kind == "unportable":
        raise Unportable(3, reason="no way back")
    if kind == "exit":
        raise SystemExit(7)
    raise ValueError("in the child")


@registry.job(name="crunch.die", runs_in="process")
def die() -> None:
    os._exit(1)


@registry.job(name="crunch.later", runs_in="process", context=True, retry=Retry(max_retries=1))
def later(context: JobContext) -> int:
    if context.attempt == 1:
        raise RetryLater(0, "not yet")
    return context.attempt


@registry.job(name="crunch.snooze", runs_in="process", context=True)
def snooze(context: JobContext, marker: str) -> int:
    if not Path(marker).exists():
        Path(marker).touch()
        context.snooze(0.01)
    return context.attempt


@registry.job(name="crunch.client", runs_in="process", context=True)
def ask_for_the_client(context: JobContext) -> str:
    try:
        return str(context.client)
    except NotInJob as error:
        return str(error)


@registry.job(name="crunch.endless", runs_in="process")
def endless(pid_file: str) -> None:
    path = Path(pid_file)
    path.with_suffix(".part").write_text(str(os.getpid()))
    path.with_suffix(".part").rename(path)
    while True:
        time.sleep(0.01)


@registry.job(name="crunch.unpackable", runs_in="process")
def unpackable() -> object:
    return object()


@registry.job(name="crunch.starts_a_program", runs_in="process")
def starts_a_program() -> int:
    return subprocess.run(["sh", "-c", "cat; echo said"], check=True).returncode


@registry.job(name="crunch.takes_its_time", runs_in="process", timeout=4)
def takes_its_time() -> str:
    time.sleep(0.4)
    return "done"


@registry.job(name="crunch.arguments", runs_in="process")
def ask_for_the_arguments(number: int, *, more: tuple[int, ...] = ()) -> tuple[object, ...]:
    args, kwargs = current_context().arguments
    return args, dict(kwargs)


@registry.job(name="crunch.state", runs_in="process")
def ask_for_the_state() -> str:
    try:
        return str(current_context().state)
    except NotInJob as error:
        return str(error)
