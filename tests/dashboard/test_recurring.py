"""The pages of recurring jobs: what they show, and what can be done there."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
from aiohttp import web

from asyncjobs import Client, Registry
from asyncjobs.errors import OptionError
from asyncjobs.recurrence import checked_options, recurrence_of
from asyncjobs.schedules import Cron, Every
from asyncjobs_dashboard import Access
from asyncjobs_dashboard.schedule_text import schedule_of, text_of
from tests.dashboard.conftest import Browser, Serve, token
from tests.dashboard.scene import PAYLOAD

ODD = "../a/b?c&d=#é<i>"
QUOTED = "../a/b?c%26d%3D%23%C3%A9%3Ci%3E"


async def put(client: Client, registry: Registry, name: str = "nightly", what: str = "disks") -> None:
    @registry.job(name=f"back_up.{name}")
    async def back_up(what: str) -> None: ...

    await client.recurring.put(name, "30 2 * * *", back_up.call(what), timezone="Europe/Berlin")


PAGE = "/recurring/job?id=nightly"


async def press(browser: Browser, action: str, name: str = "nightly", **form: str) -> tuple[int, str]:
    """Send the form of a page; the status and where it leads."""
    form |= {"csrf_token": await token(browser, "/recurring"), "id": name}
    response = await browser.post(f"/recurring/{action}", data=form, allow_redirects=False)
    return response.status, response.headers.get("Location", "")


async def test_without_any_it_says_how_to_make_one(client: Client, serve: Serve) -> None:
    browser = await serve(client)
    text = await (await browser.get("/recurring")).text()
    assert "Nothing recurs" in text
    assert "@registry.recurring" in text


async def test_they_are_listed_with_their_times(client: Client, registry: Registry, serve: Serve) -> None:
    await put(client, registry)
    await put(client, registry, ODD, PAYLOAD)
    browser = await serve(client)
    text = await (await browser.get("/recurring")).text()
    assert text.count("30 2 * * *") == 2
    assert "Europe/Berlin" in text
    assert f"/recurring/job?id={QUOTED}" in text
    assert "<i>" not in text.replace("<i class", "")


async def test_one_shows_its_next_runs_in_its_own_zone(
    client: Client, registry: Registry, serve: Serve
) -> None:
    await put(client, registry, what=PAYLOAD)
    browser = await serve(client)
    text = await (await browser.get(PAGE)).text()
    assert text.count("02:30:00 CE") == 5
    assert text.count("data-local hidden") == 5
    assert "<script>alert" not in text
    assert "alert(1)" in text


async def test_ids_may_hold_anything(client: Client, registry: Registry, serve: Serve) -> None:
    await put(client, registry, ODD)
    browser = await serve(client)
    assert (await browser.get(f"/recurring/job?id={QUOTED}")).status == 200
    assert await press(browser, "pause", ODD) == (303, f"/recurring/job?id={QUOTED}&done=pause")
    paused = await client.recurring.get(ODD)
    assert paused is not None
    assert paused.paused


async def test_one_that_is_not_there(client: Client, serve: Serve) -> None:
    response = await (await serve(client)).get(PAGE)
    assert response.status == 404
    assert "never put, or removed" in await response.text()


async def test_every_button(client: Client, registry: Registry, serve: Serve) -> None:
    await put(client, registry)
    browser = await serve(client)
    assert await press(browser, "trigger") == (303, f"{PAGE}&done=trigger")
    job = await client.recurring.get("nightly")
    assert job is not None
    assert job.last_job is not None
    assert job.last_job in await (await browser.get(PAGE)).text()
    assert await press(browser, "pause") == (303, f"{PAGE}&done=pause")
    assert "Resume" in await (await browser.get(PAGE)).text()
    assert await press(browser, "resume") == (303, f"{PAGE}&done=resume")
    job = await client.recurring.get("nightly")
    assert job is not None
    assert not job.paused
    assert await press(browser, "remove") == (303, "/recurring?done=remove")
    assert await client.recurring.get("nightly") is None


async def test_another_schedule_is_shown_before_it_is_saved(
    client: Client, registry: Registry, serve: Serve
) -> None:
    await put(client, registry)
    browser = await serve(client)
    asked = {"schedule": "15 4 * * mon", "timezone": "Asia/Tokyo"}
    text = await (await browser.get("/recurring/job", params={"id": "nightly", **asked})).text()
    assert text.count("04:15:00 JST") == 5
    before = await client.recurring.get("nightly")
    assert before is not None
    assert before.schedule == Cron("30 2 * * *", "Europe/Berlin")

    assert await press(browser, "reschedule", **asked) == (303, f"{PAGE}&done=reschedule")
    after = await client.recurring.get("nightly")
    assert after is not None
    assert after.schedule == Cron("15 4 * * mon", "Asia/Tokyo")
    # The zone that stands beside an interval counts for nothing.
    await press(browser, "reschedule", schedule="1h 30min", timezone="Asia/Tokyo")
    after = await client.recurring.get("nightly")
    assert after is not None
    assert after.schedule == Every(timedelta(minutes=90))


@pytest.mark.parametrize(
    ("schedule", "zone", "why"),
    [
        ("61 4 * * *", "UTC", "61 4"),
        ("often", "", "is no schedule"),
        ("0 4 * * *", "Mars/Olympus", "Mars/Olympus"),
        ("30 2 32 * *", "UTC", "be read:"),
        ("0ms", "", "is no schedule"),
    ],
)
async def test_a_schedule_that_cannot_be_is_told_and_not_saved(
    memory: Client, registry: Registry, serve: Serve, schedule: str, zone: str, why: str
) -> None:
    await put(memory, registry)
    browser = await serve(memory)
    response = await browser.get(
        "/recurring/job", params={"id": "nightly", "schedule": schedule, "timezone": zone}
    )
    text = await response.text()
    assert response.status == 200
    assert why in text
    assert "Save this schedule" not in text
    before = await memory.recurring.get("nightly")
    status, _ = await press(browser, "reschedule", schedule=schedule, timezone=zone)
    assert status == 400
    assert await memory.recurring.get("nightly") == before


async def test_a_declared_one_is_rescheduled_and_reset(
    client: Client, registry: Registry, serve: Serve
) -> None:
    @registry.job
    async def back_up() -> None: ...

    declared = recurrence_of("nightly", back_up.call(), checked_options("0 3 * * *"))
    now = int(datetime.now(UTC).timestamp() * 1000)
    await client.storage.put_recurring(declared.new(declared=True), declared.next_after(now))
    browser = await serve(client)
    text = await (await browser.get(PAGE)).text()
    assert "Remove…" not in text
    assert "Reset…" not in text
    await press(browser, "reschedule", schedule="0 4 * * *", timezone="UTC")
    text = await (await browser.get(PAGE)).text()
    assert "set by hand" in text
    assert "Reset…" in text
    await press(browser, "reset")
    job = await client.recurring.get("nightly")
    assert job is not None
    assert (str(job.schedule), job.rescheduled) == ("0 3 * * *", False)
    assert (await press(browser, "remove"))[0] == 409


async def test_readers_see_no_buttons(memory: Client, registry: Registry, serve: Serve) -> None:
    await put(memory, registry)

    async def authorize(request: web.Request) -> Access:
        return Access.READ

    browser = await serve(memory, authorize=authorize)
    for path in ("/recurring", PAGE, f"{PAGE}&schedule=1h"):
        text = await (await browser.get(path)).text()
        assert 'method="post"' not in text
        assert "Another schedule" not in text


@pytest.mark.parametrize(
    ("typed", "schedule"),
    [
        (" 0 3 * * * ", "0 3 * * *"),
        ("@daily", "@daily"),
        ("90s", timedelta(seconds=90)),
        ("1d 2h3min 4.5s", timedelta(days=1, hours=2, minutes=3, seconds=4.5)),
        ("15m", timedelta(minutes=15)),
    ],
)
def test_schedules_as_they_are_typed(typed: str, schedule: object) -> None:
    assert schedule_of(typed) == schedule


@pytest.mark.parametrize("typed", ["", "  ", "15", "m", "1h soon", "-5m", "999999999d 999999999d", "٣m"])
def test_what_is_no_schedule(typed: str) -> None:
    with pytest.raises(OptionError):
        schedule_of(typed)


@pytest.mark.parametrize("seconds", [0.5, 1, 59, 60, 90, 3600, 5400, 86_400, 90_061.25])
def test_an_interval_is_shown_as_it_would_be_typed(seconds: float) -> None:
    every = Every(timedelta(seconds=seconds))
    assert schedule_of(text_of(every)) == timedelta(seconds=seconds)
