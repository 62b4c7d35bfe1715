"""Every route of the dashboard, and the access that it needs. There are no others."""

from __future__ import annotations

from asyncjobs_dashboard.api import metrics
from asyncjobs_dashboard.api.routes import API_ROUTES
from asyncjobs_dashboard.assets import static
from asyncjobs_dashboard.auth import Access
from asyncjobs_dashboard.pages import (
    batches,
    bulk,
    job,
    jobs,
    limits,
    locks,
    overview,
    processes,
    queues,
    recurring,
    search,
    workers,
)
from asyncjobs_dashboard.routing import Route
from asyncjobs_dashboard.streams import live

READ, CONTROL = Access.READ, Access.CONTROL

ROUTES: tuple[Route, ...] = (
    Route("GET", "/static/{path:.+}", "static", static, Access.DENY),
    Route("GET", "/live", "live", live, READ, seconds=0),
    Route("GET", "/", "overview", overview.overview, READ),
    Route("GET", "/overview/parts", "overview_parts", overview.overview_parts, READ),
    Route("GET", "/jobs/{state}", "jobs", jobs.jobs, READ),
    Route("POST", "/jobs/{state}/bulk", "bulk_start", bulk.start, CONTROL),
    Route("GET", "/job/{id}", "job", job.job, READ),
    Route("POST", "/job/{id}/{action}", "job_act", job.act, CONTROL),
    Route("GET", "/queues", "queues", queues.queues, READ),
    Route("POST", "/queues/{action}", "queue_act", queues.act, CONTROL),
    Route("GET", "/workers", "workers", workers.workers, READ),
    Route("GET", "/worker/{id}", "worker", workers.worker, READ),
    Route("POST", "/worker/{id}/{action}", "worker_act", workers.act, CONTROL),
    Route("GET", "/processes", "processes", processes.processes, READ),
    Route("GET", "/bulk", "bulk_jobs", bulk.bulk_jobs, READ),
    Route("GET", "/bulk/{id}", "bulk_job", bulk.bulk_job, READ),
    Route("POST", "/bulk/{id}/stop", "bulk_stop", bulk.stop, CONTROL),
    Route("GET", "/batches", "batches", batches.batches, READ),
    Route("GET", "/batch/{id}", "batch", batches.batch, READ),
    Route("POST", "/batch/{id}/cancel", "batch_cancel", batches.cancel, CONTROL),
    Route("POST", "/batch/{id}/requeue", "batch_requeue", batches.requeue, CONTROL),
    Route("GET", "/recurring", "recurring", recurring.recurring, READ),
    Route("GET", "/recurring/job", "recurring_job", recurring.one, READ),
    Route("POST", "/recurring/{action}", "recurring_act", recurring.act, CONTROL),
    Route("GET", "/limits", "limits", limits.limits, READ),
    Route("POST", "/limits/set", "limit_set", limits.set_numbers, CONTROL),
    Route("POST", "/limits/reset", "limit_reset", limits.reset, CONTROL),
    Route("GET", "/locks", "locks", locks.locks, READ),
    Route("POST", "/locks/release", "lock_release", locks.release, CONTROL),
    Route("GET", "/search", "search", search.search, READ),
    Route("GET", "/metrics", "metrics", metrics.metrics, READ, api=True),
    *API_ROUTES,
)
