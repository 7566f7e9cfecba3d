"""The contract between foretell and a model. A model knows nothing of transports, queues or files of data."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, ClassVar, Literal

from foretell.columns import Batch
from foretell.types import ModelSpec, Trial

Loss = Literal["ended", "hung", "out_of_memory", "not_understood"]
"""Why a process that runs a model is lost: it ended or was ended, a call took longer than it may, it had no memory
left, or it said what it should not."""


Outcome = Batch | BaseException | None
"""Of a call that was begun: its answer, or why there is none; None where it was not begun after all, and can be made
by another replica."""

Done = Callable[[Outcome, float], None]
"""Told of the end of such a call, and of the seconds that it took in its process (0 where nobody knows)."""


@dataclass(frozen=True, slots=True)
class Sequence:
    """Which conversation a request of a stateful model belongs to."""

    id: int | str
    start: bool = False
    end: bool = False


def _never() -> bool:
    return False


@dataclass(slots=True, eq=False)
class Context:
    """What travels with a call beside its data. Immutable by convention, as a `Batch` is, and for the same reason.

    `deadline` is in seconds of the engine's clock (`Clock.monotonic`); `cancelled()` turns true when nobody waits for
    the answer any more. A long-running model may look at both and stop early. `padded`: elements that filling rows up
    to one length has added to the call so far; the engine counts them.
    """

    params: Mapping[str, Any] = field(default_factory=dict)
    deadline: float | None = None
    cancelled: Callable[[], bool] = _never
    sequence: Sequence | None = None
    device: str = "cpu"
    padded: int = 0


class Model(ABC):
    """One trained model. Subclass it to serve anything foretell has no backend for.

    Order of calls: `load` once, then any number of `preprocess`, `predict`, `postprocess`, then `close` once. `spec`
    is valid after `load`. Unless `spec.concurrent`, no two calls of `predict` overlap. Every stage returns the same
    rows in the same order; a row that cannot be answered goes into `Batch.errors` and leaves before the next stage.
    """

    spec: ModelSpec = ModelSpec()

    native: ClassVar[bool] = False
    """True: `predict` is native code of steady cost, which may run on the event loop while it is fast."""

    apart: ClassVar[bool] = False
    """True: calls run in another process, which may end by itself (`ReplicaLost`)."""

    forks = False
    """True: nothing of it keeps threads, so that a child of this process may `load` another one of the same."""

    loss: Loss | None = None
    """Why that process has ended by itself, once it has."""

    transient: tuple[type[Exception], ...] = ()
    """Exceptions of `predict` that are worth another try, beside `TransientError`."""

    only_streams = False
    """True: there is `stream` and no `predict`; valid after `load`."""

    example: object = None
    """Rows like those that will come, where somebody gave some; set before `load`."""

    trials: tuple[Trial, ...] = ()
    """What was tried to make it faster; valid after `load`."""

    calls_at_once = 1
    """Of one after the other and at the same time, how many calls answer most rows in a second, where
    `spec.concurrent`; valid after `load`. Who has much to ask, and no hurry with any of it, makes as many."""

    bare_output = False
    """True: the one output has no name of its own, so `Predictor` answers with the value alone."""

    @property
    def prepares(self) -> bool:
        """Whether `preprocess` does anything; valid after `load`."""
        return type(self).preprocess is not Model.preprocess

    def load(self, device: str) -> None:  # noqa: B027 (optional hook)
        """Makes the model ready on `device` ("cpu", "cuda", "cuda:1"). Raises `Unavailable` where it is not there."""

    def watch(self, on_lost: Callable[[], None]) -> None:  # noqa: B027 (optional hook)
        """Only called where `apart`, once, after `load`: `on_lost` is called once, on any thread, when the process ends
        by itself, and at once where it has already."""

    def begin(self, batch: Batch, ctx: Context, done: Done) -> bool:
        """Only called where `apart`, on the thread of a running event loop: begins a call of all stages and returns at
        once. `done` is called on that loop, in the order in which calls were begun. False where it cannot be made in
        this way, or not now: then nothing was begun."""
        return False

    def give_up(self) -> None:  # noqa: B027 (optional hook)
        """Only called where `apart`: ends the process at once. A call that is under way there raises `ReplicaLost`."""

    def preprocess(self, batch: Batch, ctx: Context) -> Batch:
        """Host work before `predict`; may run ahead of it, in parallel with it and with itself."""
        return batch

    @abstractmethod
    def predict(self, batch: Batch, ctx: Context) -> Batch:
        """The same rows in the same order, without side effects, in memory that the model does not write to again."""

    def stream(self, batch: Batch, ctx: Context) -> Iterator[Batch]:
        """Answers in pieces, each of any number of rows; only called where `spec.streams`.

        What it returns is advanced on one thread, and closed (`close()`, where it has it) as soon as nobody wants
        more, between two pieces. Unless `spec.concurrent`, no step of a stream overlaps another step or a `predict`;
        those of several streams take turns. `postprocess` gets each piece.
        """
        raise NotImplementedError(f"{type(self).__name__} does not stream")

    def postprocess(self, batch: Batch, ctx: Context) -> Batch:
        """Host work after `predict`."""
        return batch

    def close(self) -> None:  # noqa: B027 (optional hook)
        """Gives back what `load` took. Called once, also after a failed `load`."""

    def variant(self) -> Mapping[str, str]:
        """What decides the numbers beside the artefact: runtime and version, precision, passes. Enters the identity."""
        return {}
