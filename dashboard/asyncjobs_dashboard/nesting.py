"""What a batch is nested in, and what is nested in it, as far as a page shows it."""

from __future__ import annotations

from dataclasses import dataclass, field

from asyncjobs import Client
from asyncjobs.storage.base import BatchRecord
from asyncjobs_dashboard.members import few_at_once

HIGH = 8
"""Batches around it that are named, one around the other."""
WIDE, DEEP = 10, 4
"""Batches that are shown in each one, and one within the other."""
MOST = 60
"""Batches that are shown in all."""
AHEAD = 100
"""Members among which nested batches are looked for: they come before the jobs they were built with."""


@dataclass(slots=True)
class Branch:
    """A batch with what is nested in it."""

    batch: BatchRecord
    branches: list[Branch] = field(default_factory=list["Branch"])
    more: int = 0
    """Batches nested in it that aren't shown."""

    @property
    def has_failed(self) -> bool:
        """Whether any job in what is shown of it has failed."""
        own = self.batch.failed + self.batch.nested_failed
        return bool(own) or any(branch.has_failed for branch in self.branches)


async def tree(client: Client, batch: BatchRecord) -> Branch:
    """A batch and what is nested in it, level by level."""
    root = Branch(batch)
    level, room = [root], MOST
    for depth in range(DEEP + 1):
        parents = {branch.batch.id: branch for branch in level if branch.batch.nested}
        level = list[Branch]()
        if depth < DEEP and room > 0:
            found = await few_at_once(lambda batch_id: _nested(client, batch_id), parents)
            for parent, records in zip(parents.values(), found, strict=True):
                parent.branches = [Branch(record) for record in records[:room]]
                room -= len(parent.branches)
                level += parent.branches
        for parent in parents.values():
            parent.more = max(0, parent.batch.nested - len(parent.branches))
    return root


async def around(client: Client, batch: BatchRecord) -> tuple[list[BatchRecord], bool]:
    """The batches that it is in, the outermost first; and whether there are more around these."""
    found: list[BatchRecord] = []
    outer = batch.parent
    while outer and len(found) < HIGH:
        record = await client.storage.get_batch(outer)
        if record is None:
            return found[::-1], False
        found.append(record)
        outer = record.parent
    return found[::-1], bool(outer)


async def _nested(client: Client, batch_id: str) -> list[BatchRecord]:
    page = await client.storage.members(batch_id, limit=AHEAD)
    ids = [member[1:] for member in page.ids if member.startswith("~")][:WIDE]
    records = [await client.storage.get_batch(each) for each in ids]
    return [record for record in records if record is not None]
