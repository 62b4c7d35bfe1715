"""The entries of the navigation, in their order."""

from __future__ import annotations

from dataclasses import dataclass, field

from asyncjobs import State

STATES = (
    State.ENQUEUED,
    State.PROCESSING,
    State.SCHEDULED,
    State.RETRYING,
    State.THROTTLED,
    State.AWAITING,
    State.SUCCEEDED,
    State.FAILED,
    State.CANCELLED,
)
"""The lists of jobs."""


@dataclass(frozen=True, slots=True)
class Entry:
    """A link of the navigation."""

    section: str
    """What a page gives as `section` to have this entry marked as the present one."""
    title: str
    route: str
    """The name of a route in `routes.py`."""
    parts: dict[str, str] = field(default_factory=dict[str, str])
    state: State | None = None
    """Whose number of jobs stands beside it."""


@dataclass(frozen=True, slots=True)
class Group:
    """Entries that belong together; "" has no heading."""

    title: str
    entries: tuple[Entry, ...]


NAVIGATION: tuple[Group, ...] = (
    Group("", (Entry("overview", "Overview", "overview"),)),
    Group(
        "Jobs",
        tuple(
            Entry(state.value, state.value.capitalize(), "jobs", {"state": state.value}, state)
            for state in STATES
        ),
    ),
    Group(
        "Workflows",
        (
            Entry("batches", "Batches", "batches"),
            Entry("recurring", "Recurring", "recurring"),
            Entry("bulk", "Bulk jobs", "bulk_jobs"),
        ),
    ),
    Group(
        "Machinery",
        (
            Entry("queues", "Queues", "queues"),
            Entry("workers", "Workers", "workers"),
            Entry("processes", "Processes", "processes"),
            Entry("limits", "Limits", "limits"),
            Entry("locks", "Locks", "locks"),
        ),
    ),
)
