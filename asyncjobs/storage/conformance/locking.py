"""Locks: one holder, numbers that grow, and whose turn is next."""
# ruff: noqa: D102 - the name of a test says what it checks

from __future__ import annotations

import pytest

from asyncjobs.ids import shard_for
from asyncjobs.storage.base import TOLD_LIMIT, TOLD_MS, WAITER_MS, LockRecord, LockReply
from asyncjobs.storage.conformance.scene import BRIEFLY, SOON, Scene

TTL_MS = 10_000


async def _acquire(scene: Scene, token: str, name: str = "ledger", inbox: str = "") -> int:
    """Try to get a lock; the fencing number, or 0."""
    return (await scene.storage.acquire_lock(name, token, TTL_MS, inbox)).number


async def _waiting(scene: Scene, name: str = "ledger") -> int:
    record = await scene.storage.get_lock(name)
    assert record is not None
    return record.waiting


async def _told(scene: Scene, inbox: str, timeout: float = SOON, name: str = "ledger") -> list[str]:
    return await scene.storage.receive(shard_for(name, scene.storage.shards), inbox, timeout)


class LockTests:
    """`acquire_lock`, `renew_lock`, `release_lock`, `get_lock`, `locks`."""

    async def test_a_lock_has_one_holder(self, scene: Scene) -> None:
        first = await scene.storage.acquire_lock("ledger", "one", TTL_MS)
        scene.clock.advance(1_000)

        assert first.number > 0
        assert first.left_ms == TTL_MS
        assert await scene.storage.acquire_lock("ledger", "two", TTL_MS) == LockReply(0, TTL_MS - 1_000)
        assert await scene.storage.get_lock("ledger") == LockRecord(
            "ledger", "one", first.number, scene.clock() + TTL_MS - 1_000, 0
        )

    async def test_locks_of_other_names_are_others(self, scene: Scene) -> None:
        for number in range(10):
            assert await _acquire(scene, "one", f"lock {number}: ä*{{}}") > 0
        assert await _acquire(scene, "two", "lock 3: ä*{}") == 0

    async def test_its_holder_may_acquire_it_again_and_keeps_its_number(self, scene: Scene) -> None:
        number = await _acquire(scene, "one")
        scene.clock.advance(TTL_MS - 1)

        assert await _acquire(scene, "one") == number
        scene.clock.advance(TTL_MS - 1)
        assert await _acquire(scene, "two") == 0

    async def test_when_its_time_has_passed_it_is_the_next_ones(self, scene: Scene) -> None:
        first = await _acquire(scene, "one")
        scene.clock.advance(TTL_MS - 1)
        assert await _acquire(scene, "two") == 0

        scene.clock.advance(1)
        assert await scene.storage.get_lock("ledger") is None
        assert await _acquire(scene, "two") > first

    async def test_renewed_it_is_held_for_longer(self, scene: Scene) -> None:
        await _acquire(scene, "one")
        for _ in range(3):
            scene.clock.advance(TTL_MS - 1)
            assert await scene.storage.renew_lock("ledger", "one", TTL_MS)
        assert await _acquire(scene, "two") == 0

        assert await scene.storage.renew_lock("ledger", "one", 5)
        scene.clock.advance(5)
        assert await _acquire(scene, "two") > 0

    async def test_only_its_holder_can_renew_it_and_only_in_time(self, scene: Scene) -> None:
        assert not await scene.storage.renew_lock("ledger", "one", TTL_MS)
        await _acquire(scene, "one")
        assert not await scene.storage.renew_lock("ledger", "two", TTL_MS)
        scene.clock.advance(TTL_MS)
        assert not await scene.storage.renew_lock("ledger", "one", TTL_MS)

        await _acquire(scene, "two")
        assert not await scene.storage.renew_lock("ledger", "one", TTL_MS)
        record = await scene.storage.get_lock("ledger")
        assert record is not None
        assert record.holder == "two"

    async def test_released_it_is_free_at_once(self, scene: Scene) -> None:
        first = await _acquire(scene, "one")
        for _ in range(2):
            await scene.storage.release_lock("ledger", "one")

        assert await scene.storage.get_lock("ledger") is None
        assert not await scene.storage.renew_lock("ledger", "one", TTL_MS)
        assert await _acquire(scene, "two") > first

    async def test_only_its_holder_can_release_it(self, scene: Scene) -> None:
        await _acquire(scene, "one")
        await scene.storage.release_lock("ledger", "two")
        assert await _acquire(scene, "three") == 0

        scene.clock.advance(TTL_MS)
        await _acquire(scene, "two")
        await scene.storage.release_lock("ledger", "one")
        assert await _acquire(scene, "three") == 0

    async def test_numbers_grow_with_each_holder_also_within_a_millisecond(self, scene: Scene) -> None:
        numbers: list[int] = []
        for turn in range(5):
            numbers.append(await _acquire(scene, f"token {turn}"))
            await scene.storage.release_lock("ledger", f"token {turn}")
        scene.clock.advance(86_400_000)
        numbers.append(await _acquire(scene, "last"))

        assert numbers == sorted(set(numbers))

    async def test_a_number_is_no_lower_than_the_time(self, scene: Scene) -> None:
        """So a storage that forgot the last one goes on above it."""
        assert await _acquire(scene, "one") >= scene.clock()

    # -- numbers that several storages agree on --

    async def test_a_floor_becomes_its_number_and_all_later_ones_are_higher(self, scene: Scene) -> None:
        first = await _acquire(scene, "one")
        floor = first + 1_000_000
        for _ in range(2):
            assert await scene.storage.renew_lock("ledger", "one", TTL_MS, floor)

        record = await scene.storage.get_lock("ledger")
        assert record is not None
        assert record.number == floor
        assert await _acquire(scene, "one") == floor
        await scene.storage.release_lock("ledger", "one")
        assert await _acquire(scene, "two") == floor + 1
        name = next(
            name
            for name in map(str, range(1_000))
            if shard_for(name, scene.storage.shards) == shard_for("ledger", scene.storage.shards)
        )
        assert await _acquire(scene, "one", name) > floor + 1

    async def test_a_floor_below_its_number_changes_nothing(self, scene: Scene) -> None:
        number = await _acquire(scene, "one")
        for floor in (0, number - 1, number):
            assert await scene.storage.renew_lock("ledger", "one", TTL_MS, floor)
        assert await _acquire(scene, "one") == number
        await scene.storage.release_lock("ledger", "one")
        assert await _acquire(scene, "two") == number + 1

    async def test_only_a_holder_can_set_a_floor(self, scene: Scene) -> None:
        number = await _acquire(scene, "one")
        assert not await scene.storage.renew_lock("ledger", "two", TTL_MS, number + 1_000_000)
        await scene.storage.release_lock("ledger", "one")
        assert not await scene.storage.renew_lock("ledger", "one", TTL_MS, number + 1_000_000)
        assert await _acquire(scene, "two") == number + 1

    # -- the list --

    async def test_the_locks_that_are_held_are_listed_by_when_they_run_out(self, scene: Scene) -> None:
        assert await scene.storage.locks() == []
        names = ["c", "a", "b", "ä", "d e"]
        numbers: dict[str, int] = {}
        for name in names:
            numbers[name] = await _acquire(scene, f"holder of {name}", name)
            scene.clock.advance(1)
        await scene.storage.renew_lock("c", "holder of c", TTL_MS)
        await _acquire(scene, "two", "a", inbox="inbox")
        until = scene.clock() - len(names) + TTL_MS

        expected = [
            LockRecord(name, f"holder of {name}", numbers[name], until + at, int(name == "a"))
            for at, name in enumerate(names)
            if name != "c"
        ]
        expected.append(LockRecord("c", "holder of c", numbers["c"], scene.clock() + TTL_MS, 0))
        assert await scene.storage.locks() == expected
        assert await scene.storage.locks(offset=1, limit=3) == expected[1:4]
        assert await scene.storage.locks(offset=4, limit=3) == expected[4:]
        assert await scene.storage.locks(offset=5) == []

    async def test_one_that_nobody_holds_is_not_listed(self, scene: Scene) -> None:
        for name in ("released", "over", "held"):
            await _acquire(scene, "one", name)
        await scene.storage.release_lock("released", "one")
        await scene.storage.renew_lock("over", "one", 5)
        scene.clock.advance(5)

        assert [lock.name for lock in await scene.storage.locks()] == ["held"]
        assert await _acquire(scene, "two", "over") > 0
        assert [lock.name for lock in await scene.storage.locks()] == ["held", "over"]

    async def test_many_that_ran_out_hide_none_that_is_held(self, scene: Scene) -> None:
        for number in range(20):
            await _acquire(scene, "one", f"over {number}")
        scene.clock.advance(TTL_MS)
        for number in range(30):
            await _acquire(scene, "two", f"held {number}")

        found = [
            lock.name for at in range(0, 30, 10) for lock in await scene.storage.locks(offset=at, limit=10)
        ]
        assert sorted(found) == sorted(f"held {number}" for number in range(30))

    # -- waiting --

    async def test_locks_with_names_alike_have_their_own_waiting_ones(self, scene: Scene) -> None:
        for name in ("ledger", "ledger:u", "ledger:w"):
            await _acquire(scene, "one", name)
            await _acquire(scene, f"waits for {name}", name, inbox=name)
        for name in ("ledger", "ledger:u", "ledger:w"):
            assert await _waiting(scene, name) == 1
            await scene.storage.release_lock(name, "one")
            assert await _told(scene, name, name=name) == [f"waits for {name}"]

    async def test_the_one_that_waits_is_told_of_the_release(self, scene: Scene) -> None:
        await _acquire(scene, "one")
        assert await _acquire(scene, "two", inbox="inbox") == 0
        assert await _told(scene, "inbox", BRIEFLY) == []

        await scene.storage.release_lock("ledger", "one")

        assert await _told(scene, "inbox") == ["two"]
        assert await _acquire(scene, "two", inbox="inbox") > 0

    async def test_they_are_told_together_and_keep_their_places(self, scene: Scene) -> None:
        await _acquire(scene, "one")
        for token in ("d", "c", "b"):
            await _acquire(scene, token, inbox=token)
            scene.clock.advance(1)

        await scene.storage.release_lock("ledger", "one")

        for token in ("d", "c", "b"):
            assert await _told(scene, token) == [token]
        assert await _acquire(scene, "c", inbox="c") > 0
        scene.clock.advance(1)
        for token in ("b", "d"):
            assert await _acquire(scene, token, inbox=token) == 0
        assert await _waiting(scene) == 2
        await scene.storage.release_lock("ledger", "c")
        assert await _told(scene, "d") == ["d"]
        assert await _told(scene, "b") == ["b"]
        assert await _told(scene, "c", BRIEFLY) == []

    async def test_the_first_several_are_told_in_the_order_in_which_they_came(self, scene: Scene) -> None:
        await _acquire(scene, "one")
        tokens = [f"token-{number}" for number in range(TOLD_LIMIT + 2)]
        for token in reversed(tokens):
            await _acquire(scene, token, inbox=token)
            scene.clock.advance(1)
        tokens.reverse()
        # Asking again doesn't cost the first one its place.
        await _acquire(scene, tokens[0], inbox=tokens[0])
        assert await _waiting(scene) == TOLD_LIMIT + 2

        await scene.storage.release_lock("ledger", "one")
        for token in tokens[:TOLD_LIMIT]:
            assert await _told(scene, token) == [token]
        for token in tokens[TOLD_LIMIT:]:
            assert await _told(scene, token, BRIEFLY) == []

        # The others' turn comes when the first have died.
        await _acquire(scene, "one")
        scene.clock.advance(TOLD_MS)
        assert await _waiting(scene) == 2
        await scene.storage.release_lock("ledger", "one")
        for token in tokens[TOLD_LIMIT:]:
            assert await _told(scene, token) == [token]

    async def test_of_those_that_wait_at_one_inbox_the_first_is_told(self, scene: Scene) -> None:
        await _acquire(scene, "one")
        crowd = [f"token {number}" for number in range(TOLD_LIMIT)]
        for token in [*crowd, "other"]:
            await _acquire(scene, token, inbox="crowd" if token in crowd else "other")
            scene.clock.advance(1)

        await scene.storage.release_lock("ledger", "one")

        # However many of a process died at once, they are told in vain once.
        assert await _told(scene, "crowd") == crowd[:1]
        assert await _told(scene, "other") == ["other"]
        assert await _acquire(scene, "other", inbox="other") > 0
        await scene.storage.release_lock("ledger", crowd[0], "crowd")
        await scene.storage.release_lock("ledger", "other")
        assert await _told(scene, "crowd") == [crowd[1]]

    async def test_one_that_does_not_try_again_waits_no_longer(self, scene: Scene) -> None:
        await scene.storage.acquire_lock("ledger", "one", 10 * WAITER_MS)
        await _acquire(scene, "dead", inbox="dead")
        for _ in range(3):
            await _acquire(scene, "living", inbox="living")
            scene.clock.advance(WAITER_MS - 1)
        assert await _waiting(scene) == 1

        await scene.storage.release_lock("ledger", "one")

        assert await _told(scene, "living") == ["living"]
        assert await _told(scene, "dead", BRIEFLY) == []

    async def test_one_that_waits_may_acquire_it_when_its_holder_died_and_is_not_told_later(
        self, scene: Scene
    ) -> None:
        await _acquire(scene, "one")
        await _acquire(scene, "two", inbox="inbox")
        scene.clock.advance(TTL_MS)
        assert await _acquire(scene, "two", inbox="inbox") > 0

        await scene.storage.release_lock("ledger", "two", "inbox")

        assert await _told(scene, "inbox", BRIEFLY) == []

    async def test_one_that_withdraws_is_not_told(self, scene: Scene) -> None:
        await _acquire(scene, "one")
        await _acquire(scene, "two", inbox="first")
        scene.clock.advance(1)
        await _acquire(scene, "three", inbox="second")

        await scene.storage.release_lock("ledger", "two", "first")
        assert await _told(scene, "second", BRIEFLY) == []
        await scene.storage.release_lock("ledger", "one")

        assert await _told(scene, "second") == ["three"]

    async def test_one_that_withdraws_from_a_free_lock_hands_the_word_on(self, scene: Scene) -> None:
        await _acquire(scene, "one")
        await _acquire(scene, "two", inbox="first")
        scene.clock.advance(1)
        await _acquire(scene, "three", inbox="second")
        await scene.storage.release_lock("ledger", "one")
        assert await _told(scene, "second") == ["three"]

        await scene.storage.release_lock("ledger", "two", "first")

        assert await _told(scene, "second") == ["three"]

    @pytest.mark.parametrize("inbox", ["", "inbox"])
    async def test_a_release_tells_nobody_while_another_holds_it(self, scene: Scene, inbox: str) -> None:
        await _acquire(scene, "one")
        await _acquire(scene, "two", inbox="other")

        await scene.storage.release_lock("ledger", "three", inbox)

        assert await _told(scene, "other", BRIEFLY) == []
        assert await _acquire(scene, "two") == 0
