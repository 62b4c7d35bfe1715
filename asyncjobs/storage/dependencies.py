"""What a continuation waits for, and what becomes of it when that ends.

| `on` | parent succeeded | failed | was cancelled | was removed |
| --- | --- | --- | --- | --- |
| `succeeded` | met | waits, or cancelled if it says so (`cancel`) | as failed | cancelled |
| `failed` | cancelled | met | cancelled | cancelled |
| `finished` | met | met | met | cancelled |

A parent is a job or a batch; a batch has succeeded if all its members have, was cancelled if somebody did so
before it finished otherwise, and has failed else. A child runs when all its parents are met. What is met
stays met, whatever becomes of the parent later. One that waits goes on waiting until its parent is requeued
and succeeds, or is removed.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum, StrEnum

from asyncjobs.storage.states import State


class On(StrEnum):
    """Which end of a parent lets its continuation run."""

    SUCCEEDED = "succeeded"
    FAILED = "failed"
    FINISHED = "finished"
    """Any final state."""


class Follow(Enum):
    """What a parent's end means for one continuation."""

    MET = 0
    WAITS = 1
    UNMET = 2
    """It can't come true any more: the continuation is cancelled."""


@dataclass(slots=True, frozen=True)
class Parent:
    """One thing that a continuation waits for."""

    id: str
    on: On = On.SUCCEEDED
    batch: bool = False
    """True: `id` is a batch's."""
    output: bool = False
    """The parent's result is handed to the continuation (of a job that has to succeed)."""
    cancel: bool = False
    """With `on=succeeded`: the continuation is cancelled as soon as the parent ends otherwise."""

    def follow(self, ending: State | None) -> Follow:
        """What becomes of the continuation when the parent ends so; None: the parent was removed."""
        if ending is None:
            return Follow.UNMET
        if self.on is On.FINISHED or self.on.value == ending.value:
            return Follow.MET
        if self.on is On.SUCCEEDED and not self.cancel:
            return Follow.WAITS
        return Follow.UNMET


def unmet_error(parent_id: str, batch: bool, ending: State | None) -> tuple[str, str, str]:
    """The error in the history of a continuation that is cancelled: type, message, no traceback."""
    what = f"its parent, {'batch' if batch else 'job'} {parent_id}"
    if ending is None:
        return "ParentGone", f"{what}, was removed", ""
    return "ParentUnmet", f"{what}, ended as {ending}", ""
