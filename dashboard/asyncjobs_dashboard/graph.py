"""What a job hangs together with, as a drawing: what it waits for, itself, what waits for it."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass

from asyncjobs import Client
from asyncjobs.storage.base import JobRecord, On, Parent

MOST = 6
"""Parents and continuations that are drawn, of each."""
NODE_WIDTH, NODE_HEIGHT = 208, 44
_COLUMN, _ROW = 280, 56
LONGEST_NAME = 22


@dataclass(frozen=True, slots=True)
class Node:
    """A box."""

    id: str
    name: str
    state: str
    x: int
    y: int
    kind: str
    """`job`, `batch`, `self`, or `more`."""


@dataclass(frozen=True, slots=True)
class Edge:
    """A line from one box's right side to another's left."""

    path: str
    label: str


@dataclass(frozen=True, slots=True)
class Graph:
    """A drawing."""

    nodes: tuple[Node, ...]
    edges: tuple[Edge, ...]
    width: int
    height: int


async def graph(client: Client, record: JobRecord) -> Graph | None:
    """The drawing of a job's neighbours; None if it has none."""
    members = await client.storage.continuations(record.id, limit=MOST)
    if not record.parents and not members.ids:
        return None
    before = await asyncio.gather(*(_parent(client, parent) for parent in record.parents[:MOST]))
    after = await asyncio.gather(*(client.storage.get(job_id) for job_id in members.ids))
    left = [*before]
    if len(record.parents) > MOST:
        left.append(("", f"and {len(record.parents) - MOST:,} more", "", "more", ""))
    right = [
        (job_id, job.name, job.state.value, "job", _wish(job.parents, record.id))
        for job_id, job in zip(members.ids, after, strict=True)
        if job is not None
    ]
    if members.total > MOST:
        right.append(("", f"and {members.total - MOST:,} more", "", "more", ""))
    return _draw(record, left, right)


_Box = tuple[str, str, str, str, str]
"""Id, name, state, kind, what its edge says."""


async def _parent(client: Client, parent: Parent) -> _Box:
    wish = "" if parent.on is On.SUCCEEDED else f"once {parent.on}"
    if parent.batch:
        batch = await client.get_batch(parent.id)
        if batch is None:
            return parent.id, "batch, removed", "", "batch", wish
        return parent.id, f"batch {batch.name}".strip(), batch.state.value, "batch", wish
    job = await client.storage.get(parent.id)
    if job is None:
        return parent.id, "removed", "", "job", wish
    return parent.id, job.name, job.state.value, "job", wish


def _wish(parents: Sequence[Parent], job_id: str) -> str:
    for parent in parents:
        if parent.id == job_id:
            return "" if parent.on is On.SUCCEEDED else f"once {parent.on}"
    return ""


def _draw(record: JobRecord, left: Sequence[_Box], right: Sequence[_Box]) -> Graph:
    rows = max(len(left), len(right), 1)
    height = rows * _ROW
    middle_x = _COLUMN if left else 0
    middle_y = (height - NODE_HEIGHT) // 2
    nodes = [Node(record.id, _short(record.name), record.state.value, middle_x, middle_y, "self")]
    edges: list[Edge] = []
    for boxes, x in ((left, 0), (right, middle_x + _COLUMN)):
        top = (height - len(boxes) * _ROW) // 2
        for index, (box_id, name, state, kind, label) in enumerate(boxes):
            y = top + index * _ROW + (_ROW - NODE_HEIGHT) // 2
            nodes.append(Node(box_id, _short(name), state, x, y, kind))
            if kind == "more":
                continue
            from_y, to_y = (y, middle_y) if boxes is left else (middle_y, y)
            start = NODE_WIDTH + (0 if boxes is left else middle_x)
            end = (middle_x if boxes is left else x) - 6
            edges.append(Edge(_curve(start, from_y + NODE_HEIGHT // 2, end, to_y + NODE_HEIGHT // 2), label))
    return Graph(tuple(nodes), tuple(edges), middle_x + NODE_WIDTH + (_COLUMN if right else 0) + 2, height)


def _curve(x1: int, y1: int, x2: int, y2: int) -> str:
    half = (x1 + x2) // 2
    return f"M{x1} {y1}C{half} {y1} {half} {y2} {x2} {y2}"


def _short(name: str) -> str:
    # The end of a dotted name says more than its beginning.
    return name if len(name) <= LONGEST_NAME else f"…{name[-LONGEST_NAME + 1 :]}"
