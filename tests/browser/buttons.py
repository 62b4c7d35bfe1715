"""The table of buttons: everything that can be changed by clicking, and how one sees that it was."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass

import pytest

from asyncjobs import State
from asyncjobs_dashboard import bulk
from asyncjobs_dashboard.actions import RUN
from asyncjobs_dashboard.listing import Filter
from asyncjobs_dashboard.setup import SETUP
from tests.browser.stage import Stage
from tests.browser.tab import Tab


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


def ask(title: str, **fields: str) -> Callable[[Tab], Awaitable[None]]:
    """Open the menu of that title, fill in its fields by their labels, and confirm."""

    async def press(tab: Tab) -> None:
        menu = await tab.menu(title)
        for label, value in fields.items():
            await menu.get_by_label(label.replace("_", " ")).fill(value)
        await menu.get_by_role("button", name=title, exact=True).click()

    return press


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


async def _stop(tab: Tab) -> None:
    await tab.page.get_by_role("button", name="Stop").click()


async def _stopped(stage: Stage) -> bool:
    job = stage.dashboard.app[SETUP].bulk.get(stage.bulk)
    return job is not None and job.stage is bulk.Stage.STOPPED


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
        lambda stage: "/jobs/scheduled",
        _run_chosen,
        becomes(State.SCHEDULED, State.SUCCEEDED),
        "Run now scheduled jobs",
    ),
    Button(
        "bulk-cancel-all",
        "bulk_start",
        lambda stage: "/jobs/retrying",
        _cancel_all,
        becomes(State.RETRYING, State.CANCELLED),
        "Cancel retrying jobs",
    ),
    Button(
        "bulk-move-all",
        "bulk_start",
        lambda stage: "/jobs/enqueued",
        _move_all,
        _moved,
        "Move enqueued jobs to elsewhere",
    ),
    Button(
        "bulk-stop",
        "bulk_stop",
        lambda stage: f"/bulk/{stage.bulk}",
        _stop,
        _stopped,
        "Stopped",
        _begin_what_never_ends,
    ),
)
