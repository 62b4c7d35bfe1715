"""Every route of the API. What each is asked, and answers, is written down in `openapi.json`."""

from __future__ import annotations

from asyncjobs_dashboard.api import (
    batches,
    bulk,
    jobs,
    limits,
    locks,
    overview,
    queues,
    recurring,
    search,
    workers,
)
from asyncjobs_dashboard.api.contract import Answer, checked
from asyncjobs_dashboard.auth import Access
from asyncjobs_dashboard.routing import Route


def _get(path: str, name: str, answer: Answer) -> Route:
    return Route("GET", path, name, checked("GET", path, answer), Access.READ, api=True)


def _post(path: str, name: str, answer: Answer) -> Route:
    return Route("POST", path, name, checked("POST", path, answer), Access.CONTROL, api=True)


API_ROUTES: tuple[Route, ...] = (
    _get("/api/openapi.json", "api_openapi", overview.openapi),
    _get("/api/overview", "api_overview", overview.overview),
    _get("/api/search", "api_search", search.search),
    _get("/api/jobs/{state}", "api_jobs", jobs.jobs),
    _post("/api/jobs/{state}/bulk", "api_bulk_start", bulk.start),
    _get("/api/job/{id}", "api_job", jobs.job),
    _post("/api/job/{id}/{action}", "api_job_act", jobs.act),
    _get("/api/queues", "api_queues", queues.queues),
    _post("/api/queue/{queue}/{action}", "api_queue_act", queues.act),
    _get("/api/workers", "api_workers", workers.workers),
    _get("/api/worker/{id}", "api_worker", workers.worker),
    _post("/api/worker/{id}/{action}", "api_worker_act", workers.act),
    _get("/api/processes", "api_processes", workers.processes),
    _get("/api/batches", "api_batches", batches.batches),
    _get("/api/batch/{id}", "api_batch", batches.batch),
    _get("/api/batch/{id}/jobs", "api_batch_jobs", batches.members),
    _post("/api/batch/{id}/cancel", "api_batch_cancel", batches.cancel),
    _post("/api/batch/{id}/requeue", "api_batch_requeue", batches.requeue),
    _get("/api/recurring", "api_recurring_jobs", recurring.recurring_jobs),
    # Ids of recurring jobs may have braces in them.
    _get("/api/recurring/{id:[^/]+}", "api_recurring", recurring.recurring),
    _get("/api/recurring/{id:[^/]+}/preview", "api_recurring_preview", recurring.preview),
    _post("/api/recurring/{id:[^/]+}/reschedule", "api_recurring_reschedule", recurring.reschedule),
    # A preview can only be looked at.
    _post("/api/recurring/{id:[^/]+}/{action:(?!preview$)[^/]+}", "api_recurring_act", recurring.act),
    _get("/api/limits", "api_limits", limits.limits),
    _post("/api/limits/set", "api_limit_set", limits.set_numbers),
    _post("/api/limits/reset", "api_limit_reset", limits.reset_numbers),
    _get("/api/locks", "api_locks", locks.locks),
    _post("/api/locks/release", "api_lock_release", locks.release),
    _get("/api/bulk", "api_bulk_jobs", bulk.bulk_jobs),
    _get("/api/bulk/{id}", "api_bulk_job", bulk.bulk_job),
    _post("/api/bulk/{id}/stop", "api_bulk_stop", bulk.stop),
)
