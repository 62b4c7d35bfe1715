"""Every route of the dashboard, and the access that it needs. There are no others."""

from __future__ import annotations

from asyncjobs_dashboard.api import metrics
from asyncjobs_dashboard.api.routes import API_ROUTES
from asyncjobs_dashboard.assets import static
from asyncjobs_dashboard.auth import Access
from asyncjobs_dashboard.pages import bulk, job, jobs, overview, search
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
    Route("GET", "/bulk", "bulk_jobs", bulk.bulk_jobs, READ),
    Route("GET", "/bulk/{id}", "bulk_job", bulk.bulk_job, READ),
    Route("POST", "/bulk/{id}/stop", "bulk_stop", bulk.stop, CONTROL),
    Route("GET", "/search", "search", search.search, READ),
    Route("GET", "/metrics", "metrics", metrics.metrics, READ, api=True),
    *API_ROUTES,
)
