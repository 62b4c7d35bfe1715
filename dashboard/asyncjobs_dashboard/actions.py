"""What can be done with jobs by hand, and with those of which states."""

from __future__ import annotations

from dataclasses import dataclass

from asyncjobs import Client, State
from asyncjobs.errors import JobStateError, OptionError
from asyncjobs.options import check_queue_name


@dataclass(frozen=True, slots=True)
class Action:
    """One verb."""

    name: str
    title: str
    question: str
    """Asked before it is done."""
    done: str
    """Said after it: "requeued"."""
    states: frozenset[State]
    danger: bool = False
    """It can't be undone."""


_ALL = frozenset(State) - {State.STAGING}
_FINAL = frozenset({State.SUCCEEDED, State.FAILED, State.CANCELLED})

REQUEUE = Action(
    "requeue", "Requeue", "They run again, with all their retries before them.", "requeued", _FINAL
)
RUN = Action(
    "run",
    "Run now",
    "They don't wait for their time.",
    "enqueued",
    frozenset({State.SCHEDULED, State.RETRYING}),
)
MOVE = Action(
    "move", "Move", "They run from that queue instead.", "moved", _ALL - _FINAL - {State.PROCESSING}
)
CANCEL = Action(
    "cancel",
    "Cancel",
    "They won't run. Those that do now are told, and end when their code lets them.",
    "cancelled",
    _ALL - _FINAL,
    danger=True,
)
DELETE = Action(
    "delete",
    "Delete",
    "They are removed with their history. This can't be undone.",
    "deleted",
    _ALL - {State.PROCESSING},
    danger=True,
)
PURGE = Action(
    "purge",
    "Purge",
    "What is enqueued in the queue is deleted. This can't be undone.",
    "deleted",
    frozenset({State.ENQUEUED}),
    danger=True,
)
"""Of a queue as a whole, not of chosen jobs."""
ACTIONS = {action.name: action for action in (REQUEUE, RUN, MOVE, CANCEL, DELETE)}


def actions_for(state: State) -> list[Action]:
    """What can be done with jobs in a state."""
    return [action for action in ACTIONS.values() if state in action.states]


def check(name: str, queue: str) -> Action:
    """The action of that name, with what it needs. Raises `OptionError`."""
    action = ACTIONS.get(name)
    if action is None:
        raise OptionError(f"there is no action {name!r}: there are {', '.join(ACTIONS)}")
    if action is MOVE:
        if not queue:
            raise OptionError("say to which queue the jobs are to be moved")
        check_queue_name(queue)
    return action


async def carry_out(client: Client, action: Action, job_id: str, queue: str = "") -> None:
    """Do it to one job. Raises `JobStateError`, `JobNotFound`, `OptionError`, `StorageError`."""
    if action is REQUEUE:
        await client.requeue(job_id)
    elif action is RUN:
        await client.run_now(job_id)
    elif action is MOVE:
        await client.move(job_id, queue)
    elif action is CANCEL:
        if not await client.cancel(job_id):
            raise JobStateError(f"job {job_id} isn't cancelled: it has ended")
    else:
        await client.delete(job_id)
