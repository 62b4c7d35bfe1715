"""Recurring jobs as they are declared on a registry: `@registry.recurring(…)`."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from typing import TYPE_CHECKING, Any, Literal, Unpack, cast, overload

from asyncjobs.definition import Definition
from asyncjobs.errors import CallError, DefinitionError
from asyncjobs.options import JobOptions, OptionOverrides
from asyncjobs.recurrence import (
    Recurrence,
    RecurringJobOptions,
    RecurringOptions,
    checked_options,
    recurrence_of,
)
from asyncjobs.schedules import Schedule

if TYPE_CHECKING:
    from asyncjobs.registry import ContextJobDecorator, JobDecorator


class RecurringDeclarations:
    """What a `Registry` has of recurring jobs."""

    defaults: JobOptions

    def __init__(self) -> None:
        super().__init__()
        self._recurrences: dict[str, Recurrence] = {}

    def _declare(
        self,
        fn: Callable[..., Any],
        name: str | None,
        aliases: tuple[str, ...],
        context: bool,
        runs_in: Literal["thread", "process"] | None,
        settings: JobOptions,
    ) -> Definition[..., Any]:
        raise NotImplementedError

    @overload
    def recurring(
        self,
        schedule: str | Schedule | None = None,
        /,
        *,
        every: timedelta | float | None = None,
        id: str | None = None,
        name: str | None = None,
        aliases: tuple[str, ...] | list[str] = (),
        context: Literal[True],
        runs_in: Literal["thread", "process"] | None = None,
        **options: Unpack[RecurringJobOptions],
    ) -> ContextJobDecorator: ...
    @overload
    def recurring(
        self,
        schedule: str | Schedule | None = None,
        /,
        *,
        every: timedelta | float | None = None,
        id: str | None = None,
        name: str | None = None,
        aliases: tuple[str, ...] | list[str] = (),
        context: Literal[False] = False,
        runs_in: Literal["thread", "process"] | None = None,
        **options: Unpack[RecurringJobOptions],
    ) -> JobDecorator: ...
    def recurring(
        self,
        schedule: str | Schedule | None = None,
        /,
        *,
        every: timedelta | float | None = None,
        id: str | None = None,
        name: str | None = None,
        aliases: tuple[str, ...] | list[str] = (),
        context: bool = False,
        runs_in: Literal["thread", "process"] | None = None,
        **options: Unpack[RecurringJobOptions],
    ) -> Any:
        """Declare a function as a job that recurs: `@registry.recurring("0 9 * * mon-fri")`.

        * `schedule`: a cron expression (see `Cron`); or `every`: an interval, a `timedelta` or seconds.
        * `id`: what the recurring job is called; default: the job's name. One function can have several, by a
          decorator for each, with an id each; only the one next to the function takes the job's own options.
        * `timezone`, `misfire`, `overlap`, `jitter`, `start`, `end`: see `RecurringOptions`.
        * All else as in `job`. What the function takes needs defaults, as it's called without arguments.

        Workers with this registry tell the storage of it. Raises `DefinitionError` or `OptionError`.
        """
        given = cast(dict[str, Any], options)
        how = {key: given.pop(key) for key in RecurringOptions.__annotations__ if key in given}
        recurring = checked_options(schedule, every=every, **how)
        settings = self.defaults.merge(**cast(OptionOverrides, options))
        own = name or aliases or context or runs_in or options

        def declare(fn: Callable[..., Any]) -> Definition[..., Any]:
            if isinstance(fn, Definition):
                if own:
                    raise DefinitionError(f"{fn.name} is declared already: give a job's options there")
                definition = cast(Definition[..., Any], fn)
            else:
                definition = self._declare(fn, name, tuple(aliases), context, runs_in, settings)
            self._recur(definition, id or definition.name, recurring)
            return definition

        return declare

    def recurrences(self) -> list[Recurrence]:
        """What is declared to recur, by id."""
        return [self._recurrences[known] for known in sorted(self._recurrences)]

    def _recur(
        self,
        definition: Definition[..., Any],
        recurring_id: str,
        options: dict[str, Any],
    ) -> None:
        if definition.registry is not self:
            raise DefinitionError(f"{definition.name} is of another registry: declare there that it recurs")
        if recurring_id in self._recurrences:
            raise DefinitionError(
                f"two recurring jobs are called {recurring_id!r}: give one of them another id="
            )
        try:
            call = definition.call()
        except CallError:
            raise DefinitionError(
                f"{definition.name} recurs without arguments, but takes {definition.shape.signature}: give"
                f" them defaults, or give them with `client.recurring.put`"
            ) from None
        self._recurrences[recurring_id] = recurrence_of(recurring_id, call, options)
