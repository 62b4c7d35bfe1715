"""What must hold among the keys of a shard on Redis, whatever has happened. For tests, between two steps."""

from __future__ import annotations

from collections import Counter
from typing import Any

from asyncjobs.storage.base import State
from asyncjobs.storage.redis.keys import BATCH_FIELDS, FIELDS, RECEIPT, STATES, STUB, Keys

AWAITING, STAGING = STATES[State.AWAITING], STATES[State.STAGING]
FINAL = [STATES[state] for state in (State.SUCCEEDED, State.FAILED, State.CANCELLED)]


class Audit:
    """A look at everything of one shard that has to do with batches and continuations."""

    def __init__(self, server: Any, keys: Keys) -> None:
        self.server = server
        self.keys = keys
        self.jobs = self._hashes("job")
        self.batches = self._hashes("batch")

    def _names(self, kind: str) -> list[str]:
        before, after = self.keys.key(kind, "\0").split("\0")
        found: list[str] = [key.decode() for key in self.server.keys(f"{before}*{after}")]
        names = [key.removeprefix(before).removesuffix(after) for key in found]
        return [name for name in names if ":" not in name]

    def _hashes(self, kind: str) -> dict[str, dict[str, str]]:
        found: dict[str, dict[str, str]] = {}
        for name in self._names(kind):
            fields: dict[bytes, bytes] = self.server.hgetall(self.keys.key(kind, name))
            found[name] = {key.decode(): value.decode(errors="replace") for key, value in fields.items()}
        return found

    def state(self, job: str) -> str:
        """The code of a job's state; that of a stub if it is gone."""
        return self.jobs.get(job, {}).get(FIELDS["state"], STUB)

    def owes(self, node: str, child: str) -> bool:
        """Whether a job waits to hear of a node on another shard."""
        return self.state(child) in (AWAITING, STAGING) and RECEIPT + node in self.jobs[child]

    def check(self) -> None:
        """Raise AssertionError where anything is wrong."""
        for batch in self.batches:
            self._count_members(batch)
        edges = self._check_edges()
        listed = {job.decode() for job in self.server.zrange(self.keys.key("awaiting"), 0, -1)}
        waiting = {job for job in self.jobs if self.state(job) == AWAITING}
        assert listed == waiting
        for job in self.jobs:
            if self.state(job) in (AWAITING, STAGING):
                self._check_waiting(job, edges)
            elif self.state(job) in FINAL:
                list_ = next(state.value for state in State if STATES[state] == self.state(job))
                assert self.server.zscore(self.keys.key(list_), job) is not None, job

    def _count_members(self, batch: str) -> None:
        fields = self.batches[batch]
        if fields[BATCH_FIELDS["state"]] == STUB:
            return
        members = [member.decode() for member in self.server.zrange(self.keys.key("members", batch), 0, -1)]
        nested = [member for member in members if member.startswith("~")]
        jobs = [member for member in members if not member.startswith("~")]
        states = Counter(self.state(job) for job in jobs)
        assert states[STUB] == 0, (batch, jobs)

        def number(field: str) -> int:
            return int(fields.get(field, 0))

        removed = {code: number(BATCH_FIELDS["total"] + code) for code in FINAL}
        assert number(BATCH_FIELDS["total"]) == len(jobs) + sum(removed.values()), (batch, fields, jobs)
        for code in FINAL:
            assert number(code) == states[code] + removed[code], (batch, fields, states)
        assert number(BATCH_FIELDS["nested"]) == len(nested), (batch, fields, nested)
        finished = [
            name for name in nested if self.batches.get(name[1:], {}).get(BATCH_FIELDS["state"], "7") in FINAL
        ]
        ended = number(BATCH_FIELDS["nested_succeeded"]) + number(BATCH_FIELDS["nested_failed"])
        assert ended == len(finished), (batch, fields, nested)
        pending = number(BATCH_FIELDS["total"]) - sum(number(code) for code in FINAL)
        state = fields[BATCH_FIELDS["state"]]
        assert state == STAGING or (state in FINAL) == (pending == 0 and ended == len(nested)), fields

    def _check_edges(self) -> set[tuple[str, str]]:
        """Every edge leads from something that is there to a job that waits (or is on another shard)."""
        edges: set[tuple[str, str]] = set()
        for kind, there in (("continuations", self.jobs), ("batch_continuations", self.batches)):
            for name in self._names(kind):
                assert there.get(name, {}).get(FIELDS["state"], STUB) != STUB, f"{name} is gone"
                assert FIELDS["continued"] in there[name]
                for child, code in self.server.zrange(self.keys.key(kind, name), 0, -1, withscores=True):
                    if int(code) % 2 == 0:
                        assert self.state(child.decode()) in (AWAITING, STAGING), (name, child, code)
                    edges.add((name if kind == "continuations" else f"~{name}", child.decode()))
        marked = {job for job in self.jobs if FIELDS["continued"] in self.jobs[job]}
        marked |= {f"~{batch}" for batch in self.batches if FIELDS["continued"] in self.batches[batch]}
        assert marked == {node for node, _ in edges}
        return edges

    def _check_waiting(self, job: str, edges: set[tuple[str, str]]) -> None:
        """It waits for just as many as it has edges here, and receipts of other shards."""
        fields = self.jobs[job]
        receipts = [field for field in fields if field.startswith(RECEIPT) and len(field) > 1]
        waits = len(receipts) + sum(child == job for _, child in edges)
        assert int(fields.get(FIELDS["unmet"], 0)) == waits, (job, fields)
        assert waits > 0 or self.state(job) == STAGING, f"{job} waits for nothing"
