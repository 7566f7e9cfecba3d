"""What is known of a job while it runs: sums over the shards that are done."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field

from foretell.batch.job import AS_TEXT, Commit
from foretell.errors import InferenceError, InvalidInput, ModelError


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
    keys: tuple[str, ...] = ()
    """Columns of the data that stand in the output."""

    def add(self, commit: Commit) -> None:
        """Raises `InvalidInput` where a key has another type than before, `ModelError` where an output has."""
        if commit.schema and self.schema and commit.schema != self.schema:
            raise self._changed(commit)
        self.schema = self.schema or commit.schema
        self.rows += commit.rows
        self.quarantined += commit.quarantined
        self.bytes += commit.bytes
        self.reasons.update(commit.reasons)
        self.example = self.example or commit.example

    def _changed(self, commit: Commit) -> InferenceError:
        where = f"shard {commit.shard}"
        for before, now in zip(self.schema.split(", "), commit.schema.split(", "), strict=False):
            name = next((key for key in self.keys if now.startswith(f"{key}: ")), None)
            if before != now and name is not None:
                what = f"key {name!r} has another type than in the rows before"
                return InvalidInput(what, where=where, expected=before[len(name) + 2 :], got=now[len(name) + 2 :],
                                    fix=AS_TEXT)  # fmt: skip
        what = "the model changed the types of its outputs between shards"
        return ModelError(what, where=where, expected=self.schema, got=commit.schema)
