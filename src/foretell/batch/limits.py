"""When a job stops since too much goes wrong: pure decisions."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from foretell.errors import InferenceError, ModelError

FEW = 100
_SHARE = 0.01


class TooManyBad(ModelError):
    """More rows ended without an answer than the job may have."""


def without_answer(rows: int) -> str:
    """The beginning of a sentence about so many rows."""
    return "1 row has no answer" if rows == 1 else f"{rows:,} rows have no answer"


@dataclass(frozen=True, slots=True)
class Limits:
    """`max_quarantined` None: 100 rows, and beyond that one in a hundred of those that were scored.

    `max_crashes`: ends of processes in one run. `row_attempts`: how often a row may end a process before it is left
    out.
    """

    max_quarantined: int | None = None
    max_crashes: int = 100
    row_attempts: int = 2

    def check_quarantine(self, quarantined: int, rows: int, reasons: Mapping[str, int], example: str) -> None:
        """Raises `TooManyBad`. `example`: what one of the rows ended with."""
        most = max(FEW, int(rows * _SHARE)) if self.max_quarantined is None else self.max_quarantined
        if quarantined <= most:
            return
        counted = ", ".join(f"{count:,} {code}" for code, count in sorted(reasons.items(), key=lambda each: -each[1]))
        what = f"{without_answer(quarantined)} ({counted}), of {rows + quarantined:,} so far; such as {example}"
        fix = "--max-quarantined lets more through, and the job goes on where it stopped"
        raise TooManyBad(what, expected=f"at most {most:,}", fix=fix)

    def crashed_too_often(self, crashes: int, how: str) -> InferenceError | None:
        """The error of a job whose processes have ended `crashes` times."""
        if crashes <= self.max_crashes:
            return None
        what = f"processes ended {crashes:,} times, the last one {how.removeprefix('ended ')}"
        return ModelError(what, expected=f"at most {self.max_crashes:,}", fix="look at what the model prints")
