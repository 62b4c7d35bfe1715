"""The table of pages: every one that a browser can be at, and how to come there on the stage."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from asyncjobs_dashboard.navigation import STATES
from tests.browser.stage import Stage


@dataclass(frozen=True, slots=True)
class Shown:
    """One page, as it is to be seen."""

    name: str
    """Of its screenshots."""
    route: str
    """The name of its route; "" if it has none."""
    path: Callable[[Stage], str]
    status: int = 200


def _at(path: str) -> Callable[[Stage], str]:
    return lambda stage: path


PAGES: tuple[Shown, ...] = (
    Shown("overview", "overview", _at("/")),
    Shown("overview-days", "overview", _at("/?history=day")),
    *(Shown(f"jobs-{state}", "jobs", _at(f"/jobs/{state}")) for state in STATES),
    Shown("jobs-searched", "jobs", _at("/jobs/succeeded?text=onerror&order=oldest")),
    Shown("jobs-no-match", "jobs", _at("/jobs/failed?name=nothing")),
    *(
        Shown(f"job-{state}", "job", lambda stage, state=state: f"/job/{stage.scene.ids[state]}")
        for state in STATES
    ),
    Shown("job-done", "job", lambda stage: f"/job/{stage.scene.ids[STATES[0]]}?done=requeue"),
    Shown("queues", "queues", _at("/queues")),
    Shown("queues-no-match", "queues", _at("/queues?q=nothing")),
    Shown("workers", "workers", _at("/workers")),
    Shown("worker", "worker", lambda stage: f"/worker/{stage.worker}"),
    Shown("worker-gone", "worker", _at("/worker/host-1-abc"), 404),
    Shown("processes", "processes", _at("/processes")),
    Shown("batches", "batches", _at("/batches")),
    Shown("batch", "batch", lambda stage: f"/batch/{stage.scene.batch}"),
    Shown("recurring", "recurring", _at("/recurring")),
    Shown("recurring-job", "recurring_job", _at("/recurring/job?id=nightly")),
    Shown("recurring-declared", "recurring_job", _at("/recurring/job?id=declared")),
    Shown(
        "recurring-preview",
        "recurring_job",
        _at("/recurring/job?id=nightly&schedule=15+4+*+*+mon&timezone=Asia/Tokyo"),
    ),
    Shown("recurring-wrong", "recurring_job", _at("/recurring/job?id=nightly&schedule=often")),
    Shown("recurring-gone", "recurring_job", _at("/recurring/job?id=nobody"), 404),
    Shown("limits", "limits", _at("/limits")),
    Shown("locks", "locks", _at("/locks")),
    Shown("bulk", "bulk_jobs", _at("/bulk")),
    Shown("bulk-job", "bulk_job", lambda stage: f"/bulk/{stage.bulk}"),
    Shown("search", "search", _at("/search")),
    Shown("search-name", "search", _at("/search?q=no-such-job")),
    Shown("search-batch", "search", lambda stage: f"/search?q={stage.scene.batch}"),
    Shown("search-worker", "search", lambda stage: f"/search?q={stage.worker}"),
    Shown("error-missing-job", "job", _at("/job/nothing"), 404),
    Shown("error-no-page", "", _at("/nowhere"), 404),
    Shown("error-option", "jobs", _at("/jobs/failed?since=yesterday"), 400),
)

NOT_PAGES = frozenset({"static", "live", "overview_parts"})
"""What browsers get that isn't a page: a file, a stream, a part of a page."""
