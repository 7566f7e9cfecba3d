"""`foretell retry`."""

from __future__ import annotations

import os
from typing import Annotated

from foretell.cli.ended import like_ctrl_c
from foretell.cli.flag import Flag
from foretell.cli.flags import ScoreFlags
from foretell.cli.meant import job_settings
from foretell.cli.scoring_view import onlooker, say_report
from foretell.cli.sql_flags import TableFlags


def retry(
    out: Annotated[str, Flag(("OUT",))],
    /,
    *,
    json: bool = False,
    table: TableFlags = TableFlags(),
    job: ScoreFlags = ScoreFlags(),
) -> int:
    """Score the rows once more that a finished job has put aside. What is there stays until the new output takes its
    place.

    Parameters
    ----------
    out
        The output of `foretell score`.
    json
        Print the report as JSON.
    """
    from foretell.batch.output import open_output
    from foretell.batch.score import again, run
    from foretell.cli.storage import prepare

    prepare([out], os.environ)
    output = open_output(out, None, table.table, table.work)
    request = again(output, job_settings(job).settings)
    with like_ctrl_c(), onlooker(json=json) as looks:
        report = run(request, output, looks)
    if json:
        from foretell.cli.output import print_json

        print_json(report.summary())
    else:
        say_report(report)
    return 3 if report.quarantined else 0
