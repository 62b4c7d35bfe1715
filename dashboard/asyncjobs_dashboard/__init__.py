"""The monitoring web application of asyncjobs: `create_app` for aiohttp, `Dashboard` beside anything else."""

from asyncjobs_dashboard.app import create_app
from asyncjobs_dashboard.auth import Access, Authorize
from asyncjobs_dashboard.server import Dashboard

__all__ = ["Access", "Authorize", "Dashboard", "create_app"]
