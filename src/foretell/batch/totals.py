"""What is known of a job while it runs: sums over the shards that are done."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field

from foretell.batch.job import Commit
from foretell.errors import ModelError


@dataclass(slots=True)
class Totals:
    """What this run has seen of the job, with what was committed before."""

    rows: int = 0
    quarantined: int = 0
    bytes: int = 0
    schema: str = ""
    scored_now: int = 0
    crashes: int = 0
    reasons: Counter[str] = field(default_factory=Counter)
    example: str = ""

    def add(self, commit: Commit) -> None:
        """Raises `ModelError` where the outputs of the model are not what they were."""
        if commit.schema and self.schema and commit.schema != self.schema:
            what = "the model changed the types of its outputs between shards"
            raise ModelError(what, where=f"shard {commit.shard}", expected=self.schema, got=commit.schema)
        self.schema = self.schema or commit.schema
        self.rows += commit.rows
        self.quarantined += commit.quarantined
        self.bytes += commit.bytes
        self.reasons.update(commit.reasons)
        self.example = self.example or commit.example
