"""The terms on which processes score."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from foretell.batch.limits import Limits


@dataclass(frozen=True, slots=True)
class Terms:
    """What holds for every process. `limits`: of what may go wrong; `batch_size`: rows of a call, if they are fixed;
    `check_keys`: whether their keys are followed."""

    name: str
    version: str
    devices: Sequence[str]
    limits: Limits
    call_timeout_s: float | None
    retries: int
    batch_size: int | None
    check_keys: bool
