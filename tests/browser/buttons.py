"""The table of buttons: everything that can be changed by clicking, and how one sees that it was."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass

import pytest
from playwright.async_api import expect

from asyncjobs import State
from asyncjobs.storage.base import BatchState
from asyncjobs_dashboard import bulk
from asyncjobs_dashboard.actions import RUN
from asyncjobs_dashboard.listing import Filter
from asyncjobs_dashboard.setup import SETUP
from tests.browser.stage import Stage
from tests.browser.tab import Tab
from tests.dashboard.scene import PAYLOAD
from tests.waiting import eventually


async def _nothing(stage: Stage, monkeypatch: pytest.MonkeyPatch) -> None: ...


@dataclass(frozen=True, slots=True)
class Button:
    """One thing that can be done."""

    name: str
    route: str
    """The name of the POST route that it has to reach."""
    path: Callable[[Stage], str]
    """Of the page that it is on."""
    press: Callable[[Tab], Awaitable[None]]
    """Whatever a user does there, up to and with the click that sends the form."""
    proof: Callable[[Stage], Awaitable[bool]]
    """Whether it was done."""
    says: str
    """What can then be read on the page that follows."""
    arrange: Callable[[Stage, pytest.MonkeyPatch], Awaitable[None]] = _nothing
    """What has to be so before."""


def ask(title: str, of: str = "", confirm: str = "", **fields: str) -> Callable[[Tab], Awaitable[None]]:
    """Open the menu of that title, fill in its fields by their labels, and confirm."""

    async def press(tab: Tab) -> None:
        menu = await tab.menu(title, of)
        for label, value in fields.items():
            await menu.get_by_label(label.replace("_", " ")).fill(value)
        await menu.get_by_role("button", name=confirm or title, exact=True).click()

    return press


def _at(path: str) -> Callable[[Stage], str]:
    return lambda stage: path


def _worker(stage: Stage) -> str:
    return f"/worker/{stage.worker}"


def _batch(stage: Stage) -> str:
    return f"/batch/{stage.scene.batch}"


def _nightly(stage: Stage) -> str:
    return "/recurring/job?id=nightly"


def job_in(state: State) -> Callable[[Stage], str]:
    return lambda stage: f"/job/{stage.scene.ids[state]}"


def becomes(before: State, after: State) -> Callable[[Stage], Awaitable[bool]]:
    """Whether the job of the scene that was in a state is in another one."""

    async def proof(stage: Stage) -> bool:
        return (await stage.client.read(stage.scene.ids[before])).state is after

    return proof


def _job(title: str, state: State, after: State, said: str) -> Button:
    name = title.lower().partition(" ")[0]
    says = f"The job was {said}."
    return Button(f"{name}-{state}", "job_act", job_in(state), ask(title), becomes(state, after), says)


async def _moved(stage: Stage) -> bool:
    return (await stage.client.read(stage.scene.ids[State.ENQUEUED])).queue == "elsewhere"


async def _deleted(stage: Stage) -> bool:
    return await stage.client.get(stage.scene.ids[State.SUCCEEDED]) is None


async def _run_chosen(tab: Tab) -> None:
    await tab.page.get_by_role("checkbox", name="Choose").last.check()
    await ask("Run now")(tab)


async def _cancel_all(tab: Tab) -> None:
    await tab.page.get_by_label("all 1").check()
    await ask("Cancel")(tab)


async def _move_all(tab: Tab) -> None:
    await tab.page.get_by_label("all 2").check()
    await tab.page.get_by_label("to queue").fill("elsewhere")
    await ask("Move")(tab)


async def _begin_what_never_ends(stage: Stage, monkeypatch: pytest.MonkeyPatch) -> None:
    async def slow(*_: object) -> None:
        await asyncio.Event().wait()

    monkeypatch.setattr(bulk, "carry_out", slow)
    job = bulk.BulkJob(RUN, State.SCHEDULED, Filter())
    stage.bulk = stage.dashboard.app[SETUP].bulk.start(job).id


def click(name: str) -> Callable[[Tab], Awaitable[None]]:
    """A button that asks nothing."""

    async def press(tab: Tab) -> None:
        await tab.page.get_by_role("button", name=name).click()

    return press


async def _stopped(stage: Stage) -> bool:
    job = stage.dashboard.app[SETUP].bulk.get(stage.bulk)
    return job is not None and job.stage is bulk.Stage.STOPPED


async def _is_paused(stage: Stage) -> bool:
    return any(queue.paused for queue in (await stage.client.stats()).queues)


async def _none_is_paused(stage: Stage) -> bool:
    return not await _is_paused(stage)


async def _pause(stage: Stage, monkeypatch: pytest.MonkeyPatch) -> None:
    await stage.client.pause("unserved")


async def _is_purged(stage: Stage) -> bool:
    return await stage.client.count(State.ENQUEUED) == 0


async def _is_quiet(stage: Stage) -> bool:
    return [worker.quiet for worker in await stage.client.workers()] == [True]


async def _is_gone(stage: Stage) -> bool:
    return await stage.client.workers() == []


async def _batch_is_cancelled(stage: Stage) -> bool:
    batch = await stage.client.get_batch(stage.scene.batch)
    return batch is not None and batch.state == "cancelled"


async def _batch_with_a_failed_job(stage: Stage, monkeypatch: pytest.MonkeyPatch) -> None:
    async with stage.client.batch("mails") as batch:
        batch.enqueue(stage.jobs["fail"], "first")
    stage.scene.batch = batch.id
    await eventually(lambda: _batch_is(stage, BatchState.FAILED))


async def _batch_is(stage: Stage, state: BatchState) -> bool:
    batch = await stage.client.get_batch(stage.scene.batch)
    return batch is not None and batch.state is state


async def _batch_is_cancelled(stage: Stage) -> bool:
    return await _batch_is(stage, BatchState.CANCELLED)


async def _batch_was_requeued(stage: Stage) -> bool:
    batch = await stage.client.get_batch(stage.scene.batch)
    assert batch is not None
    (job,) = await batch.jobs()
    return any(entry.event == "requeued" for entry in await job.history())


async def _limit_is(stage: Stage, concurrency: int, by_hand: bool) -> bool:
    (limit,) = [limit for limit in await stage.client.limits.numbers() if limit.name == "one"]
    return (limit.concurrency, limit.by_hand) == (concurrency, by_hand)


async def _change_limit(stage: Stage, monkeypatch: pytest.MonkeyPatch) -> None:
    await stage.client.limits.set("one", concurrency=7)


async def _nightly_has_run_twice(stage: Stage) -> bool:
    return await stage.client.count(State.SUCCEEDED) == 3


async def _is_recurring(stage: Stage, name: str = "nightly", *, paused: bool = False, cron: str = "") -> bool:
    job = await stage.client.recurring.get(name)
    return job is not None and job.paused is paused and (not cron or str(job.schedule).startswith(cron))


async def _nightly_is_gone(stage: Stage) -> bool:
    return await stage.client.recurring.get("nightly") is None


async def _pause_nightly(stage: Stage, monkeypatch: pytest.MonkeyPatch) -> None:
    await stage.client.recurring.pause("nightly")


async def _reschedule_declared(stage: Stage, monkeypatch: pytest.MonkeyPatch) -> None:
    await stage.client.recurring.reschedule("declared", "0 5 * * *")


async def _reschedule(tab: Tab) -> None:
    await tab.page.get_by_label("Cron expression or interval").fill("45 6 * * mon-fri")
    await tab.page.get_by_role("button", name="Show its runs").click()
    await expect(tab.page.locator("#preview").get_by_text("06:45:00 JST").first).to_be_visible()
    await tab.page.get_by_role("button", name="Save this schedule").click()


async def _no_lock_is_held(stage: Stage) -> bool:
    return await stage.client.get_lock(PAYLOAD) is None


BUTTONS: tuple[Button, ...] = (
    _job("Requeue", State.FAILED, State.FAILED, "requeued"),
    _job("Requeue", State.CANCELLED, State.SUCCEEDED, "requeued"),
    _job("Run now", State.SCHEDULED, State.SUCCEEDED, "enqueued"),
    _job("Cancel", State.ENQUEUED, State.CANCELLED, "cancelled"),
    _job("Cancel", State.PROCESSING, State.CANCELLED, "cancelled"),
    Button("move", "job_act", job_in(State.ENQUEUED), ask("Move", To_queue="elsewhere"), _moved, "elsewhere"),
    Button("delete", "job_act", job_in(State.SUCCEEDED), ask("Delete"), _deleted, "Succeeded"),
    Button(
        "bulk-run-chosen",
        "bulk_start",
        _at("/jobs/scheduled"),
        _run_chosen,
        becomes(State.SCHEDULED, State.SUCCEEDED),
        "Run now scheduled jobs",
    ),
    Button(
        "bulk-cancel-all",
        "bulk_start",
        _at("/jobs/retrying"),
        _cancel_all,
        becomes(State.RETRYING, State.CANCELLED),
        "Cancel retrying jobs",
    ),
    Button(
        "bulk-move-all",
        "bulk_start",
        _at("/jobs/enqueued"),
        _move_all,
        _moved,
        "Move enqueued jobs to elsewhere",
    ),
    Button(
        "bulk-stop",
        "bulk_stop",
        lambda stage: f"/bulk/{stage.bulk}",
        click("Stop"),
        _stopped,
        "Stopped",
        _begin_what_never_ends,
    ),
    Button(
        "queue-pause", "queue_act", _at("/queues"), click("Pause queue unserved"), _is_paused, "is paused"
    ),
    Button(
        "queue-resume",
        "queue_act",
        _at("/queues"),
        click("Resume queue unserved"),
        _none_is_paused,
        "goes on",
        _pause,
    ),
    Button(
        "queue-purge",
        "queue_act",
        _at("/queues"),
        ask("Purge", "queue unserved", "Delete 2 jobs"),
        _is_purged,
        "Purge queue unserved",
    ),
    Button("worker-quiet", "worker_act", _worker, ask("Quiet"), _is_quiet, "told to take no new jobs"),
    Button("worker-stop", "worker_act", _worker, ask("Stop"), _is_gone, "told to stop"),
    Button(
        "batch-cancel",
        "batch_cancel",
        _batch,
        ask("Cancel", confirm="Cancel the batch"),
        _batch_is_cancelled,
        "was cancelled",
    ),
    Button(
        "batch-requeue",
        "batch_requeue",
        _batch,
        ask("Requeue failed"),
        _batch_was_requeued,
        "Requeue failed jobs of a batch",
        _batch_with_a_failed_job,
    ),
    Button(
        "recurring-run",
        "recurring_act",
        _at("/recurring"),
        click("Run now nightly"),
        _nightly_has_run_twice,
        "It runs once now",
    ),
    Button(
        "recurring-pause",
        "recurring_act",
        _nightly,
        click("Pause"),
        lambda stage: _is_recurring(stage, paused=True),
        "It is paused",
    ),
    Button(
        "recurring-resume",
        "recurring_act",
        _nightly,
        click("Resume"),
        _is_recurring,
        "It goes on",
        _pause_nightly,
    ),
    Button(
        "recurring-reschedule",
        "recurring_act",
        _nightly,
        _reschedule,
        lambda stage: _is_recurring(stage, cron="45 6 * * mon-fri"),
        "It has its new schedule",
    ),
    Button(
        "recurring-reset",
        "recurring_act",
        _at("/recurring/job?id=declared"),
        ask("Reset"),
        lambda stage: _is_recurring(stage, "declared", cron="0 3 * * *"),
        "schedule of the code again",
        _reschedule_declared,
    ),
    Button("recurring-remove", "recurring_act", _nightly, ask("Remove"), _nightly_is_gone, "It was removed"),
    Button(
        "limit-set",
        "limit_set",
        _at("/limits"),
        ask("Change", "one", Jobs_that_may_run_at_once="5"),
        lambda stage: _limit_is(stage, 5, True),
        "now has these numbers",
    ),
    Button(
        "limit-reset",
        "limit_reset",
        _at("/limits"),
        ask("Reset", "one"),
        lambda stage: _limit_is(stage, 1, False),
        "from the code again",
        _change_limit,
    ),
    Button(
        "lock-release",
        "lock_release",
        _at("/locks"),
        ask("Release", PAYLOAD),
        _no_lock_is_held,
        "taken from its holder",
    ),
)
