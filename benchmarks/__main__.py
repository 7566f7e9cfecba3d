"""Runs every benchmark, or those named: python -m benchmarks [startup] [online] [online.tiny] [batch] [scoring] ..."""

from __future__ import annotations

import argparse
import os
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

from benchmarks import batch, online, page, precision, reload, scoring, startup, streaming
from benchmarks.process import Unavailable
from benchmarks.report import Report
from benchmarks.run import Run

EVERY: dict[str, Callable[[Run], None]] = {
    "startup": startup.main,
    **{f"online.{name}": case for name, case in online.CASES.items()},
    "reload": reload.main,
    "batch": batch.main,
    "precision": precision.main,
    **{f"scoring.{name}": case for name, case in scoring.CASES.items()},
    "streaming": streaming.main,
}


def main(arguments: list[str]) -> int:
    given = _parse(arguments)
    os.environ["ORT_DISABLE_TELEMETRY"] = "1"  # foretell turns it off: so it is off for all
    report = Report()
    started = time.monotonic()
    for name in given.names:
        began = time.monotonic()
        with tempfile.TemporaryDirectory() as folder:
            run = Run(report, Path(folder), given.seconds, given.rounds, given.peers, given.quick)
            try:
                EVERY[name](run)
            except Unavailable as reason:
                report.note(f"skipped {name}: {reason}")
            except Exception as error:  # the other cases go on; the end and the exit status tell of it
                report.failed(name, error)
            else:
                if given.page:
                    page.write(given.page, report, name, time.monotonic() - began, list(EVERY))
        print(f"   ({name} took {time.monotonic() - began:.0f} s)", flush=True)
    report.end()
    took_s = time.monotonic() - started
    print(f"took {took_s:.0f} s")
    if given.json:
        report.write(given.json, {"arguments": arguments, "seconds": given.seconds, "rounds": given.rounds})
    return 1 if report.failures else 0


def _parse(arguments: list[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    known = f"online, scoring, {', '.join(EVERY)}"
    parser.add_argument("names", nargs="*", metavar="NAME", help=f"all if not given; known: {known}")
    parser.add_argument("--quick", action="store_true", help="one round of one second each, and fewer settings")
    parser.add_argument("--seconds", type=_whole, help="of each measurement (default 2)")
    parser.add_argument("--rounds", type=_whole, help="measurements of each server, in turns (default 3)")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write all figures there too")
    parser.add_argument("--page", type=Path, metavar="FILE", help="put the figures of each case on this page")
    parser.add_argument("--no-peers", dest="peers", action="store_false", help="only foretell and the bare servers")
    given = parser.parse_args(arguments)
    if given.page:
        try:
            page.around(given.page)  # now, and not after ten minutes
        except (OSError, ValueError) as error:
            parser.error(str(error))
    given.seconds = given.seconds or (1 if given.quick else 2)
    given.rounds = given.rounds or (1 if given.quick else 3)
    names: list[str] = []
    for name in given.names or EVERY:
        found = [known for known in EVERY if known == name or known.startswith(f"{name}.")]
        if not found:
            parser.error(f"unknown benchmark {name!r}; known: {known}")
        names += [each for each in found if each not in names]
    given.names = names
    return given


def _whole(text: str) -> int:
    value = int(text)
    if value < 1:
        raise argparse.ArgumentTypeError("expected 1 or more")
    return value


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
