"""Each recurring job has a definition, a next time, and somebody who looks at it then."""

from __future__ import annotations

from collections.abc import Iterator
from math import inf

from asyncjobs.storage.audit.facts import Finding, RecurringFacts, Snapshot


def recurrences(found: Snapshot) -> Iterator[Finding]:
    """What is wrong with recurring jobs."""
    for recurring_id, facts in sorted(found.recurring.items()):
        if detail := _wrong(facts):
            yield Finding("recurring", recurring_id, detail)


def _wrong(facts: RecurringFacts) -> str:
    if facts.definition is None:
        if not facts.known:
            return "it is to be looked at, and isn't there"
        # Its worker has been asked for the definition.
        return "" if facts.wanted else "its definition is gone"
    if not facts.known:
        return "only its definition is left"
    if not facts.next_is_known:
        return "it isn't known when it occurs next"
    if facts.looked_at is None or (facts.looked_at == inf and facts.next_ms is not None):
        return "nobody will look at it when its time comes"
    return ""
