"""Batches: the list, one with its members, what is nested in it and what waits for it; what can be done."""

from __future__ import annotations

import re
from contextlib import ExitStack
from typing import Any

import pytest
from aiohttp import web

from asyncjobs import BatchState, Client, Registry, Retry, State, Worker
from asyncjobs.batch_builder import BatchBuilder
from asyncjobs_dashboard import Access
from asyncjobs_dashboard.charts import stacked
from asyncjobs_dashboard.members import few_at_once
from asyncjobs_dashboard.setup import SETUP
from tests.dashboard.conftest import Browser, Serve, token
from tests.dashboard.scene import NAME, PAYLOAD
from tests.dashboard.test_pages import read
from tests.waiting import eventually


@pytest.fixture
def work(registry: Registry) -> Any:
    @registry.job(name="work", retry=Retry(max_retries=0))
    async def work(number: int) -> None:
        if number < 0:
            raise ValueError(number)

    return work


def plain(text: str) -> str:
    """A page's text without its tags."""
    return re.sub(r"\s+", " ", re.sub(r"<[^>]+>", " ", text))


def nested(outer: BatchBuilder, work: Any, depth: int) -> BatchBuilder:
    """Put batches into one, each into the one before; the innermost."""
    with ExitStack() as stack:
        for number in range(depth):
            outer = stack.enter_context(outer.batch(f"level-{number}"))
            outer.enqueue_in(3600, work, number)
    return outer


async def post(browser: Browser, path: str, **form: str) -> Any:
    """Send the form of a page that has one; the page that the browser is sent to."""
    page = path.rsplit("/", 1)[0]
    return await browser.post(path, data={"csrf_token": await token(browser, page), **form})


async def test_none_says_how_to_make_one(client: Client, serve: Serve) -> None:
    browser = await serve(client)
    assert "client.batch(" in await read(browser, "/batches")
    assert "No batch is that far down" in await read(browser, "/batches?from=50")


async def test_the_list(client: Client, registry: Registry, work: Any, serve: Serve) -> None:
    async with client.batch("mixed") as mixed:
        mixed.enqueue_many([work.call(number) for number in (1, 2, -1)])
        mixed.enqueue_in(3600, work, 4)
        with mixed.batch("inner") as inner:
            inner.enqueue_in(3600, work, 5)
    async with client.batch() as nameless:
        nameless.enqueue(work, 1)
    async with Worker(registry, client):
        await eventually(lambda: _has(client, mixed.id, succeeded=2, failed=1))
        await (client.batch_of(nameless.id)).wait(10)
    text = await read(await serve(client), "/batches")
    rows = [plain(row) for row in re.findall(r"<tr id=.*?</tr>", text, re.DOTALL)]
    assert ["mixed" in row or "inner" in row for row in rows] == [True, True, False]
    (row,) = (row for row in rows if "in mixed" not in row and "mixed" in row)
    assert "60% 2 succeeded 1 failed 1 pending 0 of 1 nested batch ended open 4" in row
    assert "in mixed" in next(row for row in rows if "inner" in row)
    assert f"{nameless.id} 100% 1 succeeded succeeded 1" in rows[2]
    assert f'href="/batch/{mixed.id}"' in text
    assert 'aria-label="2 succeeded, 1 failed, 2 pending"' in text


async def test_the_list_goes_on(
    client: Client, work: Any, serve: Serve, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("asyncjobs_dashboard.pages.batches.PAGE", 2)
    for number in range(5):
        async with client.batch(f"batch-{number}") as batch:
            batch.enqueue_in(3600, work, number)
    browser = await serve(client)
    path, seen = "/batches", list[str]()
    for _ in range(3):
        text = await read(browser, path)
        seen += re.findall(r"<strong>(batch-\d)</strong>", text)
        path = next(iter(re.findall(r'href="([^"]+)" rel="next"', text)), "")
    assert seen == [f"batch-{number}" for number in (4, 3, 2, 1, 0)]
    assert path == ""


async def test_one(client: Client, registry: Registry, work: Any, serve: Serve) -> None:
    async with client.batch("import") as batch:
        good, bad = batch.enqueue(work, 7), batch.enqueue(work, -7)
        late = batch.enqueue_in(3600, work, 8)
    waiting = await client.continue_with(batch, work.call(1), on="finished")
    async with Worker(registry, client):
        await eventually(lambda: _has(client, batch.id, succeeded=1, failed=1))
    browser = await serve(client)
    text = await read(browser, f"/batch/{batch.id}")
    assert all(f'href="/job/{job.id}"' in text for job in (good, bad, late, waiting))
    assert "once finished" in text
    assert "1 to 3 of 3" in text
    assert "Ended 66%" in plain(text)
    failed = await read(browser, f"/batch/{batch.id}?show=failed")
    assert bad.id in failed
    assert good.id not in failed
    assert "Looked at 3 members of 3: 1 is failed." in plain(failed)
    assert "none of its 3 members is cancelled" in await read(browser, f"/batch/{batch.id}?show=cancelled")
    assert f'href="/batch/{batch.id}"' in await read(browser, f"/job/{good.id}")
    assert f'href="/batch/{batch.id}"' in await read(browser, f"/job/{waiting.id}")
    response = await browser.get("/search", params={"q": batch.id})
    assert response.url.path == f"/batch/{batch.id}"


async def test_what_is_not_there(memory: Client, work: Any, serve: Serve) -> None:
    browser = await serve(memory)
    assert "there is no batch nothing" in await read(browser, "/batch/nothing", 404)
    async with memory.batch("one") as batch:
        batch.enqueue_in(3600, work, 1)
    await read(browser, f"/batch/{batch.id}?show=nonsense", 400)
    assert "no member that far down" in await read(browser, f"/batch/{batch.id}?from=99")
    right = await token(browser, f"/batch/{batch.id}")
    for action in ("cancel", "requeue"):
        response = await browser.post(f"/batch/nothing/{action}", data={"csrf_token": right})
        assert response.status == 404


async def test_two_thousand_members(client: Client, registry: Registry, work: Any, serve: Serve) -> None:
    async with client.batch("large") as batch:
        jobs = batch.enqueue_many([work.call(number) for number in range(2000)])
    browser = await serve(client)
    first = await read(browser, f"/batch/{batch.id}")
    assert re.findall(r'<td class="job"><a href="/job/(\w+)"', first) == [job.id for job in jobs[:50]]
    last = await read(browser, f"/batch/{batch.id}?from=1950")
    assert re.findall(r'<td class="job"><a href="/job/(\w+)"', last) == [job.id for job in jobs[1950:]]
    assert "1,951 to 2,000 of 2,000" in last
    assert 'rel="next"' not in last
    await client.cancel(jobs[1990].id)
    found = await read(browser, f"/batch/{batch.id}?show=cancelled")
    assert jobs[1990].id in found
    assert "Looked at 2,000 members of 2,000" in found


async def test_looking_for_members_goes_on_where_it_ended(
    client: Client, work: Any, serve: Serve, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whatever the bounds of a request are, no member is passed over or told twice."""
    monkeypatch.setattr("asyncjobs_dashboard.members.STEP", 7)
    monkeypatch.setattr("asyncjobs_dashboard.members.LOOK", 20)
    monkeypatch.setattr("asyncjobs_dashboard.pages.batches.PAGE", 4)
    async with client.batch("members") as batch:
        jobs = batch.enqueue_many([work.call(number) for number in range(70)])
    wanted = [jobs[number].id for number in (0, 1, 2, 3, 4, 5, 6, 7, 8, 50, 69)]
    for job_id in wanted:
        await client.cancel(job_id)
    browser = await serve(client)
    path, seen, pages = f"/batch/{batch.id}?show=cancelled", list[str](), 0
    while path:
        text = await read(browser, path)
        seen += re.findall(r'<td class="job"><a href="/job/(\w+)"', text)
        path = next(iter(re.findall(r'href="([^"#]+)[^"]*" rel="next"', text)), "").replace("&amp;", "&")
        pages += 1
        assert pages < 20
    assert seen == wanted
    assert pages > 4


async def test_what_is_nested(client: Client, work: Any, serve: Serve) -> None:
    async with client.batch("top") as top:
        inner = nested(top, work, 7)
        for number in range(13):
            with top.batch(f"wide-{number}") as wide:
                wide.enqueue_in(3600, work, number)
    browser = await serve(client)
    text = await read(browser, f"/batch/{top.id}")
    tree = plain(text[text.index('id="nested-title"') : text.index('id="members"')])
    assert re.findall(r"level-\d", tree) == ["level-0", "level-1", "level-2", "level-3"]
    assert len(re.findall(r"wide-\d", tree)) == 9
    assert "1 nested batch" in tree
    assert "and 4 more" in tree
    shown = await read(browser, f"/batch/{top.id}?show=batches")
    members = plain(shown[shown.index('id="members"') :])
    assert len(re.findall(r"(?:wide|level)-\d+", members)) == 14
    deepest = await read(browser, f"/batch/{inner.id}")
    crumbs = re.search(r'<p class="crumbs">.*?</p>', deepest)
    assert crumbs
    names = ["Batches", "top", *(f"level-{number}" for number in range(6))]
    assert plain(crumbs[0]).strip() == " › ".join(names)


async def test_a_long_way_up_is_shortened(client: Client, work: Any, serve: Serve) -> None:
    async with client.batch("outermost") as top:
        inner = nested(top, work, 12)
    text = await read(await serve(client), f"/batch/{inner.id}")
    assert "Batches › … › level-3" in plain(text)
    assert "outermost" not in text


async def test_cancelling(client: Client, work: Any, serve: Serve) -> None:
    async with client.batch("doomed") as batch:
        jobs = batch.enqueue_many([work.call(number) for number in range(600)])
        with batch.batch("too") as inner:
            nested = inner.enqueue(work, 1)
    browser = await serve(client)
    response = await post(browser, f"/batch/{batch.id}/cancel")
    text = await response.text()
    assert (response.status, response.url.path) == (200, f"/batch/{batch.id}")
    assert "The batch was cancelled" in text
    # No worker is there to carry it out.
    assert await client.count("cancelled") == 601
    assert (await nested.refresh()).state is State.CANCELLED
    assert (await jobs[-1].refresh()).state is State.CANCELLED
    found = await client.get_batch(batch.id)
    assert found is not None
    assert found.state is BatchState.CANCELLED
    assert 'method="post"' not in text


async def test_requeueing_what_has_failed(
    client: Client, registry: Registry, work: Any, serve: Serve, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("asyncjobs_dashboard.members.STEP", 3)
    async with client.batch("some fail") as batch:
        jobs = batch.enqueue_many([work.call(number) for number in range(-4, 6)])
        with batch.batch("inner") as inner:
            jobs += inner.enqueue_many([work.call(number) for number in range(-2, 2)])
    other = await client.enqueue(work, -1)
    async with Worker(registry, client):
        await client.batch_of(batch.id).wait(10)
        await eventually(lambda: _is(client, other.id, State.FAILED))
    browser = await serve(client)
    response = await post(browser, f"/batch/{batch.id}/requeue")
    assert response.url.path.startswith("/bulk/")
    job = browser.server.app[SETUP].bulk.get(response.url.name)
    assert job is not None
    await eventually(lambda: job.is_over)
    text = plain(await read(browser, response.url.path))
    assert "Requeue failed jobs of a batch" in text
    assert "found 6" in text
    assert "requeued 6" in text
    assert f'href="/batch/{batch.id}"' in await read(browser, response.url.path)
    assert "of a batch" in await read(browser, "/bulk")
    failing = [job for job in jobs if (await job.refresh()).state is State.ENQUEUED]
    assert failing == [*jobs[:4], *jobs[10:12]]
    assert (await other.refresh()).state is State.FAILED
    found = await client.get_batch(batch.id)
    assert found is not None
    assert found.state is BatchState.OPEN


async def test_readers_see_no_buttons(client: Client, work: Any, serve: Serve) -> None:
    async def authorize(request: web.Request) -> Access:
        return Access.READ

    async with client.batch("looked at") as batch:
        batch.enqueue_in(3600, work, 1)
    for browser in (await serve(client, authorize=authorize), await serve(client, read_only=True)):
        text = await read(browser, f"/batch/{batch.id}")
        assert "looked at" in text
        assert 'method="post"' not in text
        assert "csrf_token" not in text


async def test_names_are_text_and_nothing_else(client: Client, registry: Registry, serve: Serve) -> None:
    @registry.job(name=NAME)
    async def evil(text: str) -> None: ...

    async with client.batch(PAYLOAD) as batch:
        batch.enqueue_in(3600, evil, PAYLOAD)
        with batch.batch(PAYLOAD) as inner:
            inner.enqueue_in(3600, evil, PAYLOAD)
    await client.continue_with(batch, evil, PAYLOAD)
    browser = await serve(client)
    for path in ("/batches", f"/batch/{batch.id}", f"/batch/{inner.id}", f"/batch/{batch.id}?show=batches"):
        assert "&lt;script&gt;alert" in await read(browser, path), path
    for name in ("show", "from", "done"):
        for path in ("/batches", f"/batch/{batch.id}"):
            response = await browser.get(path, params={name: PAYLOAD})
            assert "<script>alert" not in await response.text()


def test_one_in_a_million_is_seen() -> None:
    pieces = stacked((("succeeded", 1_000_000), ("failed", 1), ("cancelled", 0), ("pending", 1)))
    assert [(piece.kind, piece.width) for piece in pieces] == [
        ("succeeded", 97.0),
        ("failed", 1.5),
        ("pending", 1.5),
    ]
    assert pieces[-1].x + pieces[-1].width == 100
    assert stacked((("succeeded", 0),)) == ()


async def test_a_few_at_once_keep_their_order() -> None:
    async def double(text: str) -> str:
        return text * 2

    assert await few_at_once(double, [str(number) for number in range(25)]) == [
        str(number) * 2 for number in range(25)
    ]
    assert await few_at_once(double, []) == []


async def _has(client: Client, batch_id: str, *, succeeded: int, failed: int) -> bool:
    batch = await client.get_batch(batch_id)
    return batch is not None and (batch.succeeded, batch.failed) == (succeeded, failed)


async def _is(client: Client, job_id: str, state: State) -> bool:
    return (await client.read(job_id)).state is state
