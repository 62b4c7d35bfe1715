"""Which queues a worker serves, and in which order it empties them."""

from __future__ import annotations

import random
from collections.abc import Mapping, Sequence

from asyncjobs.errors import OptionError
from asyncjobs.options import check_queue_name
from asyncjobs.registry import Registry


class QueueOrder:
    """Names in a strict order, or by weight. Raises `OptionError`."""

    def __init__(self, queues: Sequence[str] | Mapping[str, int] | None, registry: Registry) -> None:
        self._weights = _weights(queues, registry)
        self._strict = not isinstance(queues, Mapping)
        self.names = tuple(self._weights)

    def next(self) -> Sequence[str]:
        """The order in which queues are emptied this time."""
        if self._strict or len(self.names) == 1:
            return self.names
        # A weighted shuffle (Efraimidis & Spirakis 2006): each queue comes first as often as its weight says.
        return sorted(self.names, key=lambda name: random.random() ** (1 / self._weights[name]), reverse=True)


def _weights(queues: Sequence[str] | Mapping[str, int] | None, registry: Registry) -> dict[str, int]:
    if queues is None:
        return dict.fromkeys(sorted({*registry.queues(), "default"}), 1)
    if isinstance(queues, str):
        raise OptionError(f"queues is a list of names: [{queues!r}]")
    weights = dict(queues) if isinstance(queues, Mapping) else dict.fromkeys(queues, 1)
    if not weights:
        raise OptionError("a worker needs at least one queue")
    for name, weight in weights.items():
        check_queue_name(name)
        if weight < 1:
            raise OptionError(f"the weight of queue {name!r} must be 1 or more, not {weight}")
    return weights
