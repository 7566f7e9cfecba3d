"""`foretell score`."""

from __future__ import annotations

import os
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, Any, Literal

from foretell.cli.early import early
from foretell.cli.ended import like_ctrl_c
from foretell.cli.flag import Flag, Flags
from foretell.cli.flags import ModelFlags, RetryFlags, ScoreFlags, given, read_mapping
from foretell.cli.image_flags import ImageFlags
from foretell.cli.meant import check_there, job_settings, only, settings_of
from foretell.cli.scoring_view import onlooker, say_report
from foretell.cli.sql_flags import SqlFlags
from foretell.config import JobSettings
from foretell.errors import InvalidSetting

if TYPE_CHECKING:
    from foretell.batch.job import Wish

Format = Literal["arrow", "csv", "images", "jsonl", "lines", "npy", "parquet", "texts", "tsv"]
OutputFormat = Literal["parquet", "csv", "jsonl"]


@Flags("Rows and columns")
@dataclass(frozen=True, kw_only=True)
class RowFlags:
    key: tuple[str, ...] = ()
    """A column that stands beside each answer; repeat for more. If not set: the number of the row."""
    map: tuple[str, ...] = ()
    """INPUT=COLUMN,COLUMN,... where column names differ; repeat for more inputs."""
    where: tuple[str, ...] = ()
    """Score only rows for which COLUMN OP VALUE holds; repeat for more. OP: =, !=, <, <=, >, >=, or "in" before values
    with commas between. All other rows are left out, and not quarantined."""
    top: int | None = None
    """For outputs of class scores: the K best, by name where the model carries names."""
    stamp: bool = False
    """Write name, version and digest of the model into every row."""
    format: Format | None = None
    """Format of the data, where its name does not tell."""
    output_format: OutputFormat | None = None
    """Format of the parts of a folder; parquet if not set."""
    delimiter: str | None = None
    """What stands between the cells of CSV, such as ";", "|" or tab. If not set: a comma, and a tab in .tsv files."""

    text_keys: bool = False
    """Read the keys of JSON Lines as text, where they are not of one type in all lines."""

    def wish(self, output: str) -> Wish:
        """Raises `InvalidSetting`."""
        from foretell.batch.conditions import parse
        from foretell.batch.job import Wish

        if self.top is not None and self.top < 1:
            raise InvalidSetting("--top is out of range", expected="1 or more", got=self.top)
        mapping = {name: tuple(columns) for name, columns in (read_mapping(self.map) or {}).items()}
        where = tuple(parse(text) for text in self.where)
        return Wish(output, tuple(self.key), mapping or None, where, self.top, self.stamp)

    def options(self) -> dict[str, Any]:
        """Of the source. Raises `InvalidSetting`."""
        given: dict[str, Any] = {"text_keys": True} if self.text_keys else {}
        if self.delimiter is not None:
            from foretell.batch.delimiter import delimiter_of

            given["delimiter"] = delimiter_of(self.delimiter)
        return given


def score(
    source: Annotated[str, Flag(("MODEL",))],
    data: Annotated[str, Flag(("DATA",))],
    /,
    *,
    out: Annotated[str, Flag(("--out", "-o"))],
    fresh: bool = False,
    json: bool = False,
    rows: RowFlags = RowFlags(),
    sql: SqlFlags = SqlFlags(),
    images: ImageFlags = ImageFlags(),
    model: ModelFlags = ModelFlags(),
    calls: RetryFlags = RetryFlags(),
    job: ScoreFlags = ScoreFlags(),
) -> int:
    """Score a data set: every row once, whatever crashes. Run it again, and it goes on where it stopped.

    Parameters
    ----------
    source
        A model file, "module:Class", a folder that holds one model, or REPO/NAME, whose newest version answers.
    data
        A file, a folder of files, or a pattern such as "data/*.parquet"; also in object storage ("s3://bucket/data").
        CSV and JSON Lines may be compressed ("data.csv.gz").
        With --query, the address of a database.
    out
        A file that ends in .parquet, .csv or .jsonl; or a folder, which gets data/ with a file for each part. In object
        storage ("s3://bucket/out") a manifest.json names the parts. With --table, the address of a database.
    fresh
        Start again, and replace what is there.
    json
        Print the report as JSON.
    """
    from foretell.batch.crew import Crew
    from foretell.batch.output import open_output
    from foretell.batch.score import run
    from foretell.cli.storage import prepare

    prepare([data, out], os.environ)
    output = open_output(out, rows.output_format, sql.table, sql.work)
    wish = rows.wish(output.format)
    settings = job_settings(job).settings
    flags = {**model.given(), **given(calls)}
    request = request_of(source, flags, data, wish, settings, fmt=rows.format, fresh=fresh,
                         options={**rows.options(), **images.options()}, query=sql.query)  # fmt: skip
    with like_ctrl_c(), onlooker(json=json) as looks:
        report = run(request, output, looks, Crew(early.get()))
    if json:
        from foretell.cli.output import print_json

        print_json(report.summary())
    else:
        say_report(report)
    return 3 if report.quarantined else 0


def request_of(
    source: str,
    flags: dict[str, Any],
    data: str,
    wish: Any,
    settings: JobSettings,
    *,
    fmt: str | None,
    fresh: bool,
    options: dict[str, Any],
    query: str | None,
) -> Any:
    """What the command line asks for."""
    from foretell.batch.model_mark import called
    from foretell.batch.score import Request

    planned = only(source)
    check_there(planned)
    its = settings_of(planned, flags).settings
    name = planned.name or called(planned.source)
    return Request(planned.source, name, planned.version, its, data, wish, settings, fmt, fresh, options,
                   query=query)  # fmt: skip
