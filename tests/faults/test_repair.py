"""Whatever is damaged by hand is found and mended, and the system works on: each key, and its parts."""

from __future__ import annotations

import re

import pytest

from asyncjobs.storage.redis.keys import PATTERNS
from tests.faults import damaged_limits, damaged_records
from tests.faults.damages import HARMLESS, TABLE, Damage
from tests.faults.scene import Scene, scene
from tests.servers import Server

assert damaged_limits, damaged_records


def test_each_kind_of_key_is_damaged_in_each_way() -> None:
    """A new one has to be found and mended as well, or it is said why not."""
    # Those of limits and unique keys have a scene and a table of their own: tests/test_check_limits.py.
    done = {(damage.kind, damage.how.split(" ")[0]) for damage in TABLE} | HARMLESS.keys()
    kinds = PATTERNS.keys() - {"aside", "unique", "throttled", "limits"}
    kinds = {kind for kind in kinds if "limit" not in kind}
    assert {(kind, how) for kind in kinds for how in ("deleted", "overwritten")} <= done
    parts = {kind for kind, how in done if how not in ("deleted", "overwritten")}
    assert parts >= kinds


def named(scene: Scene, finding_id: str) -> str:
    """An id, as the table calls it."""
    names = {job_id: name for name, job_id in [*scene.jobs.items(), *scene.batches.items()]}
    for prefix in ("", "~", "d"):
        if finding_id.removeprefix(prefix) in names and finding_id.startswith(prefix):
            return prefix + names[finding_id.removeprefix(prefix)]
    return finding_id


@pytest.mark.parametrize("damage", TABLE, ids=lambda damage: f"{damage.kind}: {damage.how}")
async def test_damage_is_found_and_mended(server: Server, damage: Damage) -> None:
    async with scene(server) as made:
        assert await made.check() == []
        damage.do(made)
        found = {(finding.kind, named(made, finding.id)) for finding in await made.check()}
        for kind, name in damage.finds:
            assert (kind, name) in found or (not name and kind in {kind for kind, _ in found}), found
        told = await made.repair()
        assert told
        assert all(mending.text for mending in told)
        undone = {named(made, mending.finding.id) for mending in told if not mending.is_done}
        assert undone == ({damage.undone} if damage.undone else set()), told
        left = {named(made, finding.id) for finding in await made.check()}
        assert left == undone, told
        assert [mending.is_done for mending in await made.repair()] == [False] * len(undone)
        await made.finish(damage.lost, damage.again, undone)
        repaired = {mending.finding.id for mending in told if mending.finding.kind in ("job", "record")}
        for job_id in repaired:
            job = await made.client.get(job_id)
            assert job is None or any(entry.event == "repaired" for entry in await job.history()), told


async def test_what_was_in_the_way_is_kept(server: Server) -> None:
    async with scene(server) as made:
        key = made.key("queue")
        server.command("RENAME", key, key + "-saved")
        server.command("SET", key, "something else")
        (told,) = [mending for mending in await made.repair() if mending.finding.kind == "key"]
        aside = re.search(r"moved to (\S+): look at it, and delete it", told.text)
        assert aside
        assert server.command("GET", aside[1]) == b"something else"
