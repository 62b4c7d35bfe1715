"""The demo's parts by themselves: what a job finds in a file, what is planned, what counts as exact."""

from __future__ import annotations

import contextlib
import shlex
import sysconfig
from pathlib import Path

import click
import pytest

from asyncjobs.cli.main import cli
from asyncjobs.client import Client
from asyncjobs.demo.course import DemoError, clean
from asyncjobs.demo.jobs import Analysis, analyse, measured, registry
from asyncjobs.demo.outcome import Done, check_exact, percentile
from asyncjobs.demo.plan import Task, sources
from asyncjobs.demo.run import NAMESPACE, next_steps
from asyncjobs.job import Job
from asyncjobs.storage.base import JobRecord, State
from asyncjobs.worker import Worker

SOURCE = b"""\
class Outer:
    class Inner: ...

    def method(self, x):
        if x: return 1
        elif not x: return 2
        return 3 if x is None else 4

async def fetch(things):
    def nested(): ...
    async for thing in things:
        try:
            while thing: break
        except ValueError: ...
        except OSError: ...
    for thing in things:
        match thing:
            case 1: ...
            case _: ...
"""


def test_counts_what_is_in_a_file() -> None:
    assert measured("x.py", SOURCE) == Analysis(
        "x.py", len(SOURCE), lines=19, functions=3, classes=2, branches=10
    )


@pytest.mark.parametrize(
    ("source", "why"),
    [
        (b"print 'hello'\n", "SyntaxError"),
        (b"# coding: uft-8\n", "SyntaxError"),
        (b"x = 1\0\n", "null bytes"),
        (b"\xff\xfe = 1\n", "SyntaxError"),
        (b"x = " + b"(" * 10_000, "too many nested parentheses"),
        (b"x = " + b"-" * 100_000 + b"1\n", "Error"),
    ],
)
def test_a_file_that_is_not_python_is_a_result(source: bytes, why: str) -> None:
    analysis = measured("x.py", source)
    assert why in analysis.unparsable
    assert (analysis.size, analysis.lines, analysis.functions) == (len(source), 1, 0)


def test_an_empty_file_is_valid() -> None:
    assert measured("x.py", b"") == Analysis("x.py", 0, 0)


def test_the_plan_takes_the_library_and_nothing_that_was_installed_into_it(tmp_path: Path) -> None:
    for name in ("b.py", "a/c.py", "a/__pycache__/c.py", "site-packages/d.py", "dist-packages/e.py", "f.txt"):
        path = tmp_path / name
        path.parent.mkdir(exist_ok=True, parents=True)
        path.touch()
    (tmp_path / "dangling.py").symlink_to("nowhere")
    (tmp_path / "directory.py").mkdir()
    assert sources(tmp_path) == ["a/c.py", "b.py"]


def test_the_plan_is_the_same_every_time_and_has_some_of_each() -> None:
    paths = sources(Path(sysconfig.get_path("stdlib")))
    tasks = [Task.of(path) for path in paths]
    assert tasks == [Task.of(path) for path in paths]
    assert 0.02 < sum(task.delay > 0 for task in tasks) / len(tasks) < 0.07
    assert {task.failures for task in tasks} == {0, 1, 2}
    assert 0.02 < sum(task.failures > 0 for task in tasks) / len(tasks) < 0.12
    assert all(1 <= task.delay <= 5 for task in tasks if task.delay)


def done(path: str, *, task: Task | None = None, failures: int = 0) -> Done:
    record = JobRecord("1", "analyse", "default", State.SUCCEEDED, failures=failures)
    job: Job[Analysis] = Job(Client(), record, analyse)
    return Done(task or Task(path), job, Analysis(path, 1, 1))


def test_exact_is_each_task_once() -> None:
    tasks = [Task("a"), Task("b", failures=1)]
    check_exact(tasks, [done("b", task=tasks[1], failures=1), done("a")])
    for wrong in (
        [done("a")],
        [done("a"), done("b", failures=1), done("b", failures=1)],
        [done("a"), done("a")],
        [done("a"), done("b", task=tasks[1], failures=0)],
        [done("a"), done("b", task=tasks[1], failures=2)],
        [done("a", task=tasks[1], failures=1), done("b", task=tasks[0])],
    ):
        with pytest.raises(AssertionError):
            check_exact(tasks, wrong)


def test_percentiles_are_values_that_occurred() -> None:
    values = [float(value) for value in range(100, 0, -1)]
    assert [percentile(values, part) for part in (0.0, 0.5, 0.99, 1.0)] == [1, 50, 99, 100]
    assert percentile([7.0], 0.5) == percentile([7.0], 0.99) == 7


async def test_what_an_earlier_demo_left_is_removed(redis_url: str) -> None:
    async with Client(redis_url, registry=registry, namespace=NAMESPACE) as client:
        await client.enqueue_many(analyse.call("abc.py") for _ in range(3))
        await client.enqueue_in(60, analyse, "ast.py")
        await clean(Client(redis_url, namespace=NAMESPACE))
        counts = (await client.stats()).counts
        assert not any(counts.values()), counts


async def test_another_demo_at_work_is_not_disturbed(redis_url: str) -> None:
    async with Client(redis_url, registry=registry, namespace=NAMESPACE) as client:
        job = await client.enqueue_in(60, analyse, "ast.py")
        async with Worker(registry, client) as worker:
            with pytest.raises(DemoError, match=worker.id):
                await clean(Client(redis_url, namespace=NAMESPACE))
        assert (await job.refresh()).state is State.SCHEDULED


@pytest.mark.parametrize("url", [None, "redis://localhost:6379/0"])
@pytest.mark.parametrize("kill", [True, False])
def test_the_commands_it_proposes_exist(kill: bool, url: str | None) -> None:
    steps = next_steps(kill=kill, url=url)
    assert steps
    for command, meaning in steps:
        program, name, *arguments = shlex.split(command)
        assert program == "asyncjobs"
        assert meaning
        # `--help` ends it so; a usage error would be another exception.
        with contextlib.suppress(click.exceptions.Exit):
            cli.commands[name].make_context(name, arguments)


def test_a_password_is_not_proposed() -> None:
    assert "secret" not in str(next_steps(kill=False, url="redis://me:secret@localhost:6379/0"))
