"""Doing something to one job, to chosen ones, and to all that match."""

from __future__ import annotations

import asyncio
import re
from typing import Any

import pytest

from asyncjobs import Client, Job, Registry, State
from asyncjobs_dashboard import bulk as bulk_module
from asyncjobs_dashboard.setup import SETUP
from tests.dashboard.conftest import Browser, Serve, token
from tests.waiting import eventually


@pytest.fixture
def work(registry: Registry) -> Any:
    @registry.job(name="work", queue="first")
    async def work(number: int) -> None: ...

    return work


async def scheduled(client: Client, work: Any, count: int) -> list[Job[Any]]:
    return [await client.enqueue_in(3600 + number, work, number) for number in range(count)]


async def start(browser: Browser, state: str, form: dict[str, Any], status: int = 303) -> str:
    form["csrf_token"] = await token(browser, f"/jobs/{state}")
    response = await browser.post(f"/jobs/{state}/bulk", data=form, allow_redirects=False)
    assert response.status == status, await response.text()
    return response.headers.get("Location", "")


async def ended(browser: Browser, location: str) -> str:
    job = browser.server.app[SETUP].bulk.get(location.rsplit("/", 1)[1])
    await eventually(lambda: job.is_over)
    return re.sub(r"\s+", " ", await (await browser.get(location)).text())


async def test_chosen_ones(client: Client, work: Any, serve: Serve) -> None:
    jobs = await scheduled(client, work, 3)
    browser = await serve(client)
    form = {"action": "run", "which": "chosen", "job": [jobs[0].id, jobs[2].id]}
    text = await ended(browser, await start(browser, "scheduled", form))
    assert "<span>enqueued</span><b>2</b>" in text
    assert [(await job.refresh()).state for job in jobs] == ["enqueued", "scheduled", "enqueued"]


async def test_all_that_match(client: Client, work: Any, serve: Serve) -> None:
    jobs = await scheduled(client, work, 12)
    browser = await serve(client)
    form = {"action": "cancel", "which": "all", "filter_text": "1"}
    await ended(browser, await start(browser, "scheduled", form))
    cancelled = [job for job in jobs if (await job.refresh()).state is State.CANCELLED]
    assert cancelled == [jobs[1], jobs[10], jobs[11]]


async def test_more_than_are_looked_at_in_one_step(
    client: Client, work: Any, serve: Serve, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("asyncjobs_dashboard.listing.STEP", 7)
    await scheduled(client, work, 60)
    browser = await serve(client)
    await ended(browser, await start(browser, "scheduled", {"action": "delete", "which": "all"}))
    assert await client.count("scheduled") == 0


async def test_moving(client: Client, work: Any, serve: Serve) -> None:
    jobs = [await client.enqueue(work, number) for number in range(3)]
    browser = await serve(client)
    await ended(
        browser, await start(browser, "enqueued", {"action": "move", "which": "all", "queue": "second"})
    )
    assert [(await job.refresh()).queue for job in jobs] == ["second"] * 3


async def test_those_that_are_refused_are_told(client: Client, work: Any, serve: Serve) -> None:
    (job,) = await scheduled(client, work, 1)
    browser = await serve(client)
    form = {"action": "run", "which": "chosen", "job": [job.id, "0" * 20]}
    text = await ended(browser, await start(browser, "scheduled", form))
    assert "there is no job 00000000000000000000" in text


@pytest.mark.parametrize(
    ("form", "said"),
    [
        ({"action": "run", "which": "chosen"}, "no job was chosen"),
        ({"action": "explode", "which": "all"}, "no action"),
        ({"action": "requeue", "which": "all"}, "for jobs that are scheduled"),
        ({"action": "move", "which": "all"}, "to which queue"),
        ({"action": "move", "which": "all", "queue": "no such:name"}, "queue"),
    ],
)
async def test_what_cannot_be_done(
    memory: Client, work: Any, serve: Serve, form: dict[str, str], said: str
) -> None:
    await scheduled(memory, work, 1)
    browser = await serve(memory)
    form = {**form, "csrf_token": await token(browser, "/jobs/scheduled")}
    response = await browser.post("/jobs/scheduled/bulk", data=form)
    assert response.status == 400
    assert said in await response.text()


async def test_stopping(memory: Client, work: Any, serve: Serve, monkeypatch: pytest.MonkeyPatch) -> None:
    async def slow(*_: object) -> None:
        await asyncio.Event().wait()

    monkeypatch.setattr(bulk_module, "carry_out", slow)
    await scheduled(memory, work, 3)
    browser = await serve(memory)
    location = await start(browser, "scheduled", {"action": "run", "which": "all"})
    right = await token(browser, location)
    response = await browser.post(f"{location}/stop", data={"csrf_token": right})
    assert "Stopped" in await response.text()
    assert await memory.count("scheduled") == 3


@pytest.mark.parametrize(
    ("action", "state", "form"),
    [
        ("run", State.ENQUEUED, {}),
        ("cancel", State.CANCELLED, {}),
        ("move", State.SCHEDULED, {"queue": "second"}),
        ("delete", None, {}),
    ],
)
@pytest.mark.parametrize("api", [False, True])
async def test_one_job(
    client: Client, work: Any, serve: Serve, action: str, state: State | None, form: dict[str, str], api: bool
) -> None:
    (job,) = await scheduled(client, work, 1)
    browser = await serve(client)
    if api:
        response = await browser.post(
            f"/api/job/{job.id}/{action}", params=form, headers={"X-Asyncjobs": "1"}
        )
        assert response.status == 200
        assert await response.json() == {"id": job.id, "state": state}
    else:
        form = {**form, "csrf_token": await token(browser, f"/job/{job.id}")}
        response = await browser.post(f"/job/{job.id}/{action}", data=form)
        assert response.status == 200
        assert response.url.path == ("/jobs/scheduled" if state is None else f"/job/{job.id}")
    record = await client.storage.get(job.id)
    assert (record.state if record else None) == state
    if action == "move":
        assert record is not None
        assert record.queue == "second"


async def test_one_job_in_the_wrong_state(memory: Client, work: Any, serve: Serve) -> None:
    (job,) = await scheduled(memory, work, 1)
    browser = await serve(memory)
    right = await token(browser, f"/job/{job.id}")
    response = await browser.post(f"/job/{job.id}/requeue", data={"csrf_token": right})
    assert response.status == 409
    assert "it has not ended" in await response.text()
    told = await browser.post(f"/api/job/{job.id}/requeue", headers={"X-Asyncjobs": "1"})
    assert (told.status, (await told.json())["kind"]) == (409, "state")
