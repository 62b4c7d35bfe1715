"""Each queue that has jobs is known, and its length is right."""

from __future__ import annotations

from collections.abc import Iterator

from asyncjobs.storage.audit.facts import Finding, Snapshot
from asyncjobs.storage.audit.jobs import is_enqueued_in


def queues(found: Snapshot) -> Iterator[Finding]:
    """Queues that nobody knows, and counts of ids that are left in them."""
    for name in sorted(found.unknown_queues):
        yield Finding("queue", name, "it has jobs, and isn't among the known queues")
    for name in sorted(found.queues.keys() | found.ghosts.keys()):
        ghosts: list[str] = []
        for job_id in found.queues.get(name, ()):
            job = found.jobs.get(job_id)
            # Of others than these, nobody has counted that they are left behind.
            if (job is None or job.ghost_in == name) and not is_enqueued_in(found, name, job_id):
                ghosts.append(job_id)
        said = found.ghosts.get(name, 0)
        if len(ghosts) != said:
            # The first ones are named so that others, a moment later, aren't taken for the same.
            named = f" ({', '.join(ghosts[:3])})" if ghosts else ""
            yield Finding(
                "queue",
                name,
                f"{len(ghosts)} of its ids{named} are of no job in it, but {said} are counted",
                "ghosts",
                (said, len(ghosts)),
            )
