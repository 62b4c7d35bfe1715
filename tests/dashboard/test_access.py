"""Who may ask for what: every route, by every kind of sender. A route that isn't in the table fails here."""

from __future__ import annotations

import asyncio
import base64
import re
import socket
from pathlib import Path

import aiohttp
import pytest
from aiohttp import web

from asyncjobs import Client, Registry
from asyncjobs.errors import OptionError
from asyncjobs_dashboard import Access, Dashboard, create_app
from asyncjobs_dashboard.auth import host_allowed
from asyncjobs_dashboard.routes import ROUTES
from asyncjobs_dashboard.security import HEADERS
from tests.dashboard.conftest import Browser, Serve, token

READ, CONTROL, DENY = Access.READ, Access.CONTROL, Access.DENY

EXPECTED = {
    "static": DENY,
    "live": READ,
    "overview": READ,
    "overview_parts": READ,
    "jobs": READ,
    "bulk_start": CONTROL,
    "job": READ,
    "job_act": CONTROL,
    "bulk_jobs": READ,
    "bulk_job": READ,
    "bulk_stop": CONTROL,
    "batches": READ,
    "batch": READ,
    "batch_cancel": CONTROL,
    "batch_requeue": CONTROL,
    "recurring": READ,
    "recurring_job": READ,
    "recurring_act": CONTROL,
    "limits": READ,
    "limit_set": CONTROL,
    "limit_reset": CONTROL,
    "locks": READ,
    "lock_release": CONTROL,
    "queues": READ,
    "queue_act": CONTROL,
    "workers": READ,
    "worker": READ,
    "worker_act": CONTROL,
    "processes": READ,
    "search": READ,
    "metrics": READ,
    "api_overview": READ,
    "api_jobs": READ,
    "api_job": READ,
    "api_job_act": CONTROL,
    "api_openapi": READ,
    "api_search": READ,
    "api_bulk_start": CONTROL,
    "api_queues": READ,
    "api_queue_act": CONTROL,
    "api_workers": READ,
    "api_worker": READ,
    "api_worker_act": CONTROL,
    "api_processes": READ,
    "api_batches": READ,
    "api_batch": READ,
    "api_batch_jobs": READ,
    "api_batch_cancel": CONTROL,
    "api_batch_requeue": CONTROL,
    "api_recurring_jobs": READ,
    "api_recurring": READ,
    "api_recurring_preview": READ,
    "api_recurring_reschedule": CONTROL,
    "api_recurring_act": CONTROL,
    "api_limits": READ,
    "api_limit_set": CONTROL,
    "api_limit_reset": CONTROL,
    "api_locks": READ,
    "api_lock_release": CONTROL,
    "api_bulk_jobs": READ,
    "api_bulk_job": READ,
    "api_bulk_stop": CONTROL,
}
"""Every route, and the access that it needs: written down a second time, so that a slip shows."""

MISSING = {
    *("bulk_job", "batch", "recurring_job", "worker"),
    *("api_worker", "api_batch", "api_batch_jobs", "api_recurring"),
    *("api_recurring_preview", "api_bulk_job"),
}
"""What it asks for isn't there, which readers are told."""
ASKS = {"api_search": "?q=x"}

PARTS = {"state": "scheduled", "id": "JOB", "action": "run", "path": "app.js", "queue": "mail"}


def path_of(name: str, job_id: str = "x") -> str:
    (route,) = (route for route in ROUTES if route.name == name)
    path = re.sub(r":[^{}]+}", "}", route.path)
    for part, value in PARTS.items():
        path = path.replace("{" + part + "}", value.replace("JOB", job_id))
    return path + ASKS.get(name, "")


@pytest.fixture
async def job_id(memory: Client, registry: Registry) -> str:
    @registry.job
    async def work() -> None: ...

    return (await memory.enqueue_in(3600, work)).id


async def may(access: Access, memory: Client, serve: Serve, **options: object) -> Browser:
    async def authorize(request: web.Request) -> Access:
        return access

    return await serve(memory, authorize=authorize, **options)


async def status(browser: Browser, name: str, job_id: str = "x", **headers: str) -> int:
    (route,) = (route for route in ROUTES if route.name == name)
    response = await browser.request(
        route.method, path_of(name, job_id), headers=headers, allow_redirects=False
    )
    response.close()
    return response.status


def test_the_table_is_whole() -> None:
    assert {route.name: route.needs for route in ROUTES} == EXPECTED
    assert {route.name for route in ROUTES if route.method == "POST"} == {
        name for name, needs in EXPECTED.items() if needs is CONTROL
    }


async def test_there_is_no_route_but_those_of_the_table(memory: Client) -> None:
    app = create_app(memory)
    served = {
        (route.method, route.resource.name if route.resource else None)
        for route in app.router.routes()
        if route.method != "HEAD"
    }
    assert served == {(route.method, route.name) for route in ROUTES}


@pytest.mark.parametrize("name", EXPECTED)
async def test_who_may_see_nothing(memory: Client, serve: Serve, job_id: str, name: str) -> None:
    browser = await may(DENY, memory, serve)
    headers = {"X-Asyncjobs": "1"}
    assert await status(browser, name, job_id, **headers) == (200 if EXPECTED[name] is DENY else 403)
    assert (await memory.read(job_id)).state == "scheduled"


@pytest.mark.parametrize("name", EXPECTED)
@pytest.mark.parametrize("read_only", [False, True])
async def test_readers_and_read_only_dashboards(
    memory: Client, serve: Serve, job_id: str, name: str, read_only: bool
) -> None:
    browser = await may(CONTROL if read_only else READ, memory, serve, read_only=read_only)
    headers = {"X-Asyncjobs": "1"}
    expected = {CONTROL: 403}.get(EXPECTED[name], 200)
    assert await status(browser, name, job_id, **headers) == (404 if name in MISSING else expected)
    assert (await memory.read(job_id)).state == "scheduled"


@pytest.mark.parametrize("name", EXPECTED)
async def test_a_forged_host(memory: Client, serve: Serve, job_id: str, name: str) -> None:
    browser = await serve(memory)
    for host in ("evil.example", "evil.example:80", "localhost.evil.example", "127.0.0.1.evil.example", ""):
        refused = 200 if EXPECTED[name] is DENY else 403
        assert await status(browser, name, job_id, Host=host) == refused, host
    assert (await memory.read(job_id)).state == "scheduled"


PASSWORD = f"Basic {base64.b64encode(b'ada:sesame').decode()}"

CHANGING = [name for name, needs in EXPECTED.items() if needs is CONTROL]


@pytest.mark.parametrize("name", CHANGING)
@pytest.mark.parametrize("kind", ["none", "empty", "stale", "other browser", "no cookie"])
async def test_a_form_without_its_token(
    memory: Client, serve: Serve, job_id: str, name: str, kind: str
) -> None:
    browser = await serve(memory)
    right = await token(browser, f"/job/{job_id}")
    other = await serve(memory)
    given = {"none": None, "empty": "", "stale": "0" * 64, "other browser": "other", "no cookie": right}[kind]
    if kind == "other browser":
        given = await token(other, f"/job/{job_id}")
    if kind == "no cookie":
        browser.session.cookie_jar.clear()
    form = {} if given is None else {"csrf_token": given}
    response = await browser.post(path_of(name, job_id), data=form, allow_redirects=False)
    assert response.status == 403
    if not name.startswith("api"):
        assert "Nothing was changed" in await response.text()
    assert (await memory.read(job_id)).state == "scheduled"


@pytest.mark.parametrize("name", CHANGING)
@pytest.mark.parametrize(
    "headers",
    [
        {"Origin": "https://evil.example"},
        {"Origin": "null"},
        {"Sec-Fetch-Site": "cross-site"},
        {"Sec-Fetch-Site": "same-site"},
        {"Sec-Fetch-Site": "none"},
    ],
    ids=str,
)
async def test_another_site_with_the_right_token(
    memory: Client, serve: Serve, job_id: str, name: str, headers: dict[str, str]
) -> None:
    browser = await serve(memory)
    right = await token(browser, f"/job/{job_id}")
    response = await browser.post(
        path_of(name, job_id),
        data={"csrf_token": right},
        headers=headers | {"X-Asyncjobs": "1"},
        allow_redirects=False,
    )
    assert response.status == 403
    assert (await memory.read(job_id)).state == "scheduled"


@pytest.mark.parametrize(
    "headers",
    [{}, {"Origin": "here"}, {"Sec-Fetch-Site": "same-origin", "Origin": "https://proxied"}],
    ids=str,
)
async def test_the_right_token(memory: Client, serve: Serve, job_id: str, headers: dict[str, str]) -> None:
    browser = await serve(memory)
    right = await token(browser, f"/job/{job_id}")
    headers = {name: str(browser.make_url("/").origin()) if v == "here" else v for name, v in headers.items()}
    response = await browser.post(
        f"/job/{job_id}/run", data={"csrf_token": right}, headers=headers, allow_redirects=False
    )
    assert response.status == 303
    assert (await memory.read(job_id)).state == "enqueued"


async def test_htmx_may_send_the_token_as_a_header(memory: Client, serve: Serve, job_id: str) -> None:
    browser = await serve(memory)
    right = await token(browser, f"/job/{job_id}")
    response = await browser.post(
        f"/job/{job_id}/run", headers={"X-CSRF-Token": right}, allow_redirects=False
    )
    assert response.status == 303


async def test_a_key_of_ones_own_survives_a_restart(memory: Client, serve: Serve, job_id: str) -> None:
    before = await serve(memory, secret_key="kept")
    right = await token(before, f"/job/{job_id}")
    (cookie,) = before.session.cookie_jar
    assert (cookie["httponly"], cookie["samesite"]) == (True, "Strict")
    after = await serve(memory, secret_key="kept")
    response = await after.post(
        f"/job/{job_id}/run",
        data={"csrf_token": right},
        cookies={cookie.key: cookie.value},
        allow_redirects=False,
    )
    assert response.status == 303


@pytest.mark.parametrize(
    "header",
    [
        "X-Forwarded-For",
        "CF-Connecting-IP",
        "X-Real-IP",
        "Forwarded",
        "X-Forwarded-Host",
        "Via",
        "X-Forwarded-Proto",
    ],
)
async def test_a_proxy_makes_nobody_local(memory: Client, serve: Serve, header: str) -> None:
    response = await (await serve(memory)).get("/", headers={header: "127.0.0.1"})
    assert response.status == 403
    assert "ssh -L" in await response.text()


async def test_a_proxy_that_adds_no_header(memory: Client) -> None:
    async with Dashboard(memory, port=0) as dashboard:
        port = int(dashboard.url.rsplit(":", 1)[1].strip("/"))
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write(b"GET / HTTP/1.0\r\nHost: 127.0.0.1\r\n\r\n")
        assert b" 403 " in await reader.readline()
        writer.close()


async def test_another_machine(memory: Client) -> None:
    """Reached by an address that isn't loopback, it lets in nobody who isn't let in by `authorize`."""
    address = _own_address()
    if address is None:
        pytest.skip("this machine has loopback addresses only")
    async with (
        Dashboard(memory, "0.0.0.0", port=0, allowed_hosts=[address]) as dashboard,
        aiohttp.ClientSession() as session,
        session.get(dashboard.url.replace("0.0.0.0", address)) as response,
    ):
        assert response.status == 403


def _own_address() -> str | None:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        try:
            probe.connect(("192.0.2.1", 9))
        except OSError:
            return None
        found = probe.getsockname()[0]
    return None if found.startswith("127.") else str(found)


async def test_a_unix_socket_is_local(memory: Client, tmp_path: Path) -> None:
    path = tmp_path / "dashboard.sock"
    async with (
        Dashboard(memory, path=path),
        aiohttp.ClientSession(connector=aiohttp.UnixConnector(str(path))) as session,
        session.get("http://localhost/") as response,
    ):
        assert response.status == 200


async def test_authorize_that_fails_lets_in_nobody(memory: Client, serve: Serve) -> None:
    async def authorize(request: web.Request) -> Access:
        raise KeyError("user")

    browser = await serve(memory, authorize=authorize)
    assert (await browser.get("/")).status == 403


async def test_authorize_may_send_elsewhere(memory: Client, serve: Serve) -> None:
    async def authorize(request: web.Request) -> Access:
        raise web.HTTPFound("https://login.example/")

    browser = await serve(memory, authorize=authorize)
    response = await browser.get("/", allow_redirects=False)
    assert (response.status, response.headers["Location"]) == (302, "https://login.example/")


async def test_authorize_may_ask_for_a_password(memory: Client, serve: Serve) -> None:
    async def authorize(request: web.Request) -> Access:
        if request.headers.get("Authorization") != PASSWORD:
            raise web.HTTPUnauthorized(headers={"WWW-Authenticate": 'Basic realm="jobs"'})
        return CONTROL

    browser = await serve(memory, authorize=authorize)
    response = await browser.get("/")
    assert (response.status, response.headers["WWW-Authenticate"]) == (401, 'Basic realm="jobs"')
    assert (await browser.get("/", headers={"Authorization": PASSWORD})).status == 200


PATHS = ["/", "/nowhere", "/static/app.js", "/api/overview", "/jobs/failed", "/job/x", "/metrics"]


@pytest.mark.parametrize("path", PATHS)
@pytest.mark.parametrize("access", [DENY, CONTROL])
async def test_every_response_has_the_headers(
    memory: Client, serve: Serve, path: str, access: Access
) -> None:
    response = await (await may(access, memory, serve)).get(path)
    assert {name: response.headers.get(name) for name in HEADERS} == HEADERS
    assert "unsafe" not in response.headers["Content-Security-Policy"]
    kept = response.headers["Cache-Control"]
    assert kept == ("no-cache" if path.startswith("/static") else "no-store")


@pytest.mark.parametrize("access", [READ, CONTROL])
async def test_readers_see_no_buttons(memory: Client, serve: Serve, job_id: str, access: Access) -> None:
    browser = await may(access, memory, serve)
    for path in ("/jobs/scheduled", f"/job/{job_id}"):
        text = await (await browser.get(path)).text()
        assert ("csrf_token" in text) == (access is CONTROL)
        assert ('method="post"' in text) == (access is CONTROL) or path.startswith("/jobs/")


@pytest.mark.parametrize(
    ("host", "right"),
    [
        ("localhost", True),
        ("LOCALHOST:8080", True),
        ("[::1]:8080", True),
        ("[::1]", True),
        ("127.0.0.1:1", True),
        ("127.0.0.2", False),
        ("localhost.", False),
        ("localhost:evil.example", False),
        ("evil@localhost", False),
        ("", False),
    ],
)
def test_allowed_hosts(host: str, right: bool) -> None:
    assert host_allowed(host, {"localhost", "127.0.0.1", "[::1]"}) is right


@pytest.mark.parametrize("options", [{"poll": 0}, {"poll": 100}, {"allowed_hosts": "jobs.example.com"}])
async def test_options_that_cannot_be_right(memory: Client, options: dict[str, object]) -> None:
    with pytest.raises(OptionError):
        create_app(memory, **options)  # type: ignore[arg-type]


async def test_an_origin_that_cannot_be_read_is_another_site(
    memory: Client, serve: Serve, job_id: str
) -> None:
    browser = await serve(memory)
    form = {"csrf_token": await token(browser, f"/job/{job_id}")}
    response = await browser.post(f"/job/{job_id}/run", data=form, headers={"Origin": "http://[evil"})
    assert response.status == 403
