"""Every error foretell raises, in one tree that knows no transport.

InferenceError
├── InvalidInput          the caller's data does not fit the model
├── InvalidSetting        an option, flag or key that does not exist or cannot hold
├── ModelNotFound         no such model, or no such version of it
├── InvalidModel          the artefact is not what its name says, or cannot be served
│   └── UnsafeModel       opening it could run code that nobody agreed to
├── Unavailable           a device, precision or optimisation this machine lacks
├── MissingExtra          a package that an optional extra brings is not installed
├── Overloaded            a bounded queue is full; try again later
├── DeadlineExceeded      the time limit passed first
├── Cancelled             the caller gave up
├── NotReady              loading, draining or closed; try again later
│   └── ReplicaLost       the replica that had the call ended, or had to be ended; try again
└── ModelError            the model raised, or answered something that is not an answer
    ├── OutOfMemory       the call had too little memory; the model goes on
    └── TransientError    raised by a model for a failure worth another try
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import ClassVar, NoReturn


class InferenceError(Exception):
    """The root of every error foretell raises.

    The message is one sentence that says what is wrong, where, what was expected, what came and what to do.
    `code` is a neutral name that each door translates; `retryable` tells whether the same call may succeed later.
    """

    code: ClassVar[str] = "internal"
    retryable: ClassVar[bool] = False

    def __init__(self, what: str, *, where: str = "", expected: object = "", got: object = "", fix: str = "") -> None:
        self.what, self.where, self.expected, self.got, self.fix = what, where, str(expected), str(got), fix
        self.rows: Mapping[int, RowError] = {}
        """Where only some rows failed: the reason of each, by row number."""
        self.retry_after_s: float | None = None
        """Where another try may help: about when."""
        super().__init__(_sentence(what, where, self.expected, self.got, fix))


class InvalidInput(InferenceError):
    """The caller's data does not fit the model."""

    code = "invalid_input"


class InvalidSetting(InferenceError):
    code = "invalid_setting"


class ModelNotFound(InferenceError):
    code = "not_found"


class InvalidModel(InferenceError):
    code = "invalid_model"


class UnsafeModel(InvalidModel):
    code = "unsafe_model"


class Unavailable(InferenceError):
    code = "unavailable_here"


class MissingExtra(InferenceError):
    code = "missing_extra"


class Overloaded(InferenceError):
    code = "overloaded"
    retryable = True


class DeadlineExceeded(InferenceError):
    code = "deadline_exceeded"


class Cancelled(InferenceError):
    code = "cancelled"


class NotReady(InferenceError):
    code = "not_ready"
    retryable = True


class ReplicaLost(NotReady):
    code = "replica_lost"


class ModelError(InferenceError):
    code = "model_error"


class OutOfMemory(ModelError):
    code = "out_of_memory"
    retryable = True


class TransientError(ModelError):
    code = "transient"
    retryable = True


@dataclass(frozen=True, slots=True)
class RowError:
    """Why one row has no prediction. `code` is the code of an `InferenceError`."""

    code: str
    message: str
    attempts: int = 1

    @classmethod
    def of(cls, error: InferenceError, attempts: int = 1) -> RowError:
        return cls(error.code, str(error), attempts)


def rows_failed(errors: Mapping[int, RowError]) -> InferenceError:
    """The error of a call some of whose rows failed: the first one's reason, all of them in `rows`."""
    first = min(errors)
    more = f" (and {len(errors) - 1} more rows)" if len(errors) > 1 else ""
    kind = InvalidInput if errors[first].code == InvalidInput.code else ModelError
    error = kind(errors[first].message + more, where=f"row {first}")
    error.rows = errors
    return error


def raise_as(failure: InferenceError, error: BaseException) -> NoReturn:
    """Raises `failure` in the place of `error`, which may be the same.

    Neither may stay behind in a variable: an error holds the frames it passed, each of which would hold the error, and
    with it whatever it was working on, until a garbage collection that a server puts off.
    """
    try:
        if failure is error:
            raise failure
        raise failure from error
    finally:
        del failure, error


def said(error: BaseException) -> str:
    """The kind of an exception and its text, which is somebody else's code and may fail as well."""
    kind = type(error).__name__
    try:
        text = str(error)
    except Exception:
        return kind
    return f"{kind}: {text}" if text else kind


def causes(error: BaseException | None) -> Iterator[BaseException]:
    """The error, what it came from, and so on; each once, also where one is told to come from itself."""
    seen: set[int] = set()
    while error is not None and id(error) not in seen:
        seen.add(id(error))
        yield error
        error = error.__cause__


def missing_extra(package: str, extra: str, purpose: str) -> MissingExtra:
    """The one line that names the extra to install."""
    return MissingExtra(f"{purpose} needs the package {package}", fix=f"pip install 'foretell[{extra}]'")


def nearest(name: str, known: Iterable[str]) -> str:
    """A hint for a name that does not exist: the nearest known one, else all of them."""
    names = sorted(map(str, known))
    import difflib  # for a failure that is told: nobody else waits for its import

    close = difflib.get_close_matches(name, names, n=1, cutoff=0.5)
    if close:
        return f"did you mean {close[0]!r}?"
    return "known: " + ", ".join(names) if names else "there are none"


def _sentence(what: str, where: str, expected: str, got: str, fix: str) -> str:
    text = f"{where}: {what}" if where else what
    if expected and got:
        text += f"; expected {expected}, got {got}"
    elif expected:
        text += f"; expected {expected}"
    elif got:
        text += f"; got {got}"
    return f"{text}; {fix}" if fix else text
