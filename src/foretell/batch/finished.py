"""What a job that is done means to a run that comes later."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import msgspec

from foretell.batch.limits import FEW
from foretell.batch.output import Output
from foretell.batch.report import Report
from foretell.config import JobSettings
from foretell.errors import InvalidInput

_NOTHING_NOW: Mapping[str, Any] = {
    "scored_now": 0, "shards_now": 0, "seconds": 0.0, "stages": {}, "cost": None, "crashes": 0, "phases": {},
    "events": (), "shard_times": None,
}  # fmt: skip
"""What a report says of a run that did nothing."""


def unchanged(done: Mapping[str, object], job: JobSettings, output: Output) -> Report:
    """The report of a run that found all done. Raises `InvalidInput` where files of another size are asked for."""
    made, asked = done.get("file_size"), file_size(job, output)
    if made != asked and not output.is_file:
        fix = "run with --fresh to score it again"
        raise InvalidInput("the job is done, with files of another size", where=str(output), expected=asked, got=made,
                           fix=fix)  # fmt: skip
    report = msgspec.convert({k: v for k, v in done.items() if k in Report.__dataclass_fields__}, Report)
    return replace(report, **_NOTHING_NOW)


def file_size(job: JobSettings, output: Output) -> int:
    """Bytes up to which parts become one file."""
    return output.usual_file_size if job.file_size is None else job.file_size


def as_done(job: JobSettings, done: Mapping[str, Any]) -> JobSettings:
    """For a retry: files as large as they were, and as many rows without an answer as were let through."""
    if job.file_size is None:
        job = replace(job, file_size=done.get("file_size"))
    if job.max_quarantined is None and done["quarantined"] > FEW:
        job = replace(job, max_quarantined=done["quarantined"])
    return job
