"""What is compared: one model as one command line names it, and rows for it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from foretell.columns import Batch
from foretell.config import ModelSettings


@dataclass(frozen=True, slots=True)
class Asked:
    """`words`: the model as the command line has it. `flags`: of the model, as further words, for other commands.

    `source`, `name`, `version`, `settings`: what they mean. `rows`: as the model takes them.
    """

    words: str
    flags: Sequence[str]
    source: str
    name: str
    version: str
    settings: ModelSettings
    rows: Batch
