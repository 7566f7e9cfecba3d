"""The calls that the replicas of a model have, and those that are lined up behind them."""

from __future__ import annotations

from collections.abc import Callable

from foretell.engine.member import Member
from foretell.engine.run import Run


class UnderWay(dict[Member, Run]):
    """The call of each busy replica."""

    @property
    def runs(self) -> list[Run]:
        """All of them, those that are lined up included."""
        return [*self.values(), *self.lined_up]

    @property
    def lined_up(self) -> list[Run]:
        return [run.next for run in self.values() if run.next is not None]

    @property
    def rows(self) -> int:
        return sum([run.rows + (run.next.rows if run.next is not None else 0) for run in self.values()])

    @property
    def free_at(self) -> float:
        """When the first replica will have nothing to do, where each has something."""
        return min([(run.next or run).expected for run in self.values()])

    def next_free(self, takes_another: Callable[[Run], bool]) -> Run | None:
        """Of the calls that another may be lined up behind, the one that will end first."""
        runs = [run for run in self.values() if takes_another(run)]
        return min(runs, key=lambda run: run.expected) if runs else None
