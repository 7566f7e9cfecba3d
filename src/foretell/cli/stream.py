"""`foretell stream`."""

from __future__ import annotations

import gc
import os
import signal
import sys
import types
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, Any

from foretell.cli.flag import Flag, Flags
from foretell.cli.flags import EventFlags, ModelFlags, StreamFlags, given, read_mapping
from foretell.cli.meant import check_there, job_settings, only, settings_of
from foretell.cli.stream_view import StreamView, told
from foretell.config import JobSettings
from foretell.errors import InvalidSetting

if TYPE_CHECKING:
    from foretell.events.stream import Request, Wish


_STDOUT, _STDERR = 1, 2
_GC_THRESHOLD = 50_000


@Flags("Fields")
@dataclass(frozen=True, kw_only=True)
class FieldFlags:
    key: tuple[str, ...] = ()
    """A field that stands beside each answer; repeat for more. If not set: the number of the event."""
    map: tuple[str, ...] = ()
    """INPUT=FIELD,FIELD,... where names differ; repeat for more inputs."""
    top: int | None = None
    """For outputs of class scores: the K best, by name where the model carries names."""

    def wish(self) -> Wish:
        """Raises `InvalidSetting`."""
        from foretell.events.stream import Wish

        if self.top is not None and self.top < 1:
            raise InvalidSetting("--top is out of range", expected="1 or more", got=self.top)
        mapping = {name: tuple(fields) for name, fields in (read_mapping(self.map) or {}).items()}
        return Wish(tuple(self.key), mapping or None, self.top)


def stream(
    which: Annotated[str, Flag(("MODEL",))],
    /,
    *,
    source: Annotated[str, Flag(dash=True)] = "-",
    sink: Annotated[str, Flag(dash=True)] = "-",
    state: str | None = None,
    dead_letters: str | None = None,
    once: bool = False,
    fresh: bool = False,
    json: bool = False,
    fields: FieldFlags = FieldFlags(),
    model: ModelFlags = ModelFlags(),
    calls: EventFlags = EventFlags(),
    job: StreamFlags = StreamFlags(),
) -> int:
    """Answer events as they come: JSON Lines from a file that grows, or from standard input. From file to file each
    event is answered once, whatever crashes: run it again, and it goes on where it stopped.

    Parameters
    ----------
    which
        A model file, "module:Class", a folder that holds one model, or REPO/NAME, whose newest version answers.
    source
        A file, which is followed as it grows and is rotated; "-": standard input, to its end.
    sink
        A file, which grows; "-": standard output, a line for each event.
    state
        The folder that tells how far the stream is. If not set: beside the sink.
    dead_letters
        A file for events without an answer, with the reason. If not set: beside a sink that is a file; among the
        results of standard output.
    once
        End at the end of the source, instead of waiting for more.
    fresh
        Start again at the beginning, and replace what is there.
    json
        Print the report as JSON: on standard error where results go to standard output.
    """
    from foretell.events.opening import ends_of
    from foretell.events.stream import run

    settings = job_settings(job).settings
    gc.set_threshold(_GC_THRESHOLD)  # thousands of objects live from a read to an answer: nothing of them is garbage
    with StreamView(quiet=json) as view, _standard_output(kept=sink == "-") as output:
        ends = ends_of(source, sink, state=state, dead_letters=dead_letters, once=once,
                       most_line_bytes=settings.max_line_bytes, onlooker=view,
                       output=output)  # fmt: skip
        request = _request(which, {**model.given(), **given(calls)}, fields.wish(), settings, fresh=fresh)
        report = run(request, ends, view, _by_signals)
    out = sys.stderr if ends.names["sink"] == "-" else sys.stdout
    told(report, out, json=json)
    return 3 if report.dead_letters and report.outcome == "done" else 0


def _request(which: str, flags: dict[str, Any], wish: Wish, job: JobSettings, *, fresh: bool) -> Request:
    """What the command line asks for."""
    from foretell.events.stream import Request

    planned = only(which)
    check_there(planned)
    its = settings_of(planned, flags).settings
    return Request(
        planned.source, planned.name, planned.version, its, wish, its.timeout_s, job.batch_size, job.commit_interval_s,
        job.max_dead_letters, job.row_attempts, fresh, job.metrics_file,
    )  # fmt: skip


@contextmanager
def _standard_output(*, kept: bool) -> Iterator[int]:
    """A descriptor of standard output. `kept`: for results alone; what else is printed goes to standard error."""
    if not kept:
        yield _STDOUT
        return
    sys.stdout.flush()
    output = os.dup(_STDOUT)
    with suppress(OSError):
        os.dup2(_STDERR, _STDOUT)
    try:
        yield output
    finally:
        with suppress(OSError):
            sys.stdout.flush()
        os.dup2(output, _STDOUT)
        os.close(output)


@contextmanager
def _by_signals(stop: Callable[[], None]) -> Iterator[None]:
    """SIGINT, SIGTERM and SIGHUP stop the stream in good order; who asks twice does not want to wait for it.

    A signal that is ignored already stays so: `nohup` means it.
    """
    asked = False

    def ask(number: int, frame: types.FrameType | None) -> None:
        nonlocal asked
        if asked:
            raise KeyboardInterrupt
        asked = True
        stop()

    told_by = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
    before = [(number, signal.signal(number, ask)) for number in told_by if signal.getsignal(number) != signal.SIG_IGN]
    try:
        yield
    finally:
        for number, handler in before:
            signal.signal(number, handler)
