"""Every record that is handed over is counted once, whatever the file does, and nobody waits for it."""

from __future__ import annotations

import os
import resource
import signal
import threading
from pathlib import Path

import pytest

from foretell.errors import InvalidSetting
from foretell.observe.line_file import LineFile
from foretell.observe.records import RecordWriter
from foretell.observe.rotation import Rotation

WAIT_S = 20.0


def line(number: int) -> bytes:
    return b"%06d\n" % number


def counts(writer: RecordWriter[int]) -> dict[str, int]:
    return {"written": writer.written, **{why: count for why, count in writer.dropped.items() if count}}


def test_all_are_written_in_their_order(tmp_path: Path) -> None:
    path = tmp_path / "log"
    writer = RecordWriter(LineFile(str(path), 0o600), line, "the log")
    for number in range(500):
        writer.add(number, 7)
    writer.close(WAIT_S)
    assert path.read_bytes() == b"".join(map(line, range(500)))
    assert counts(writer) == {"written": 500}
    assert path.stat().st_mode & 0o777 == 0o600


def test_a_pipe_that_nobody_reads_costs_records_and_no_time(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    reader = os.open(tmp_path / "pipe", os.O_RDONLY | os.O_NONBLOCK)
    writer = RecordWriter(LineFile(str(tmp_path / "pipe")), lambda _: b"x" * 99_999 + b"\n", "the log", 1 << 20)
    for number in range(100):
        writer.add(number, 100_000)
    assert writer.dropped["queue_full"] >= 90 and writer.waiting_bytes <= 1 << 20
    writer.close(0.0)
    found = counts(writer)
    assert sum(found.values()) == 100 and found["shutdown"] > 0, found
    writer.add(100, 1)
    writer._thread.join(WAIT_S)
    assert not writer._thread.is_alive()
    assert sum(counts(writer).values()) == 101, "the end of the thread counts nothing twice"
    os.close(reader)


def test_a_full_disk_is_told_once_and_costs_what_it_does_not_take(tmp_path: Path) -> None:
    path = tmp_path / "log"
    writer = RecordWriter(LineFile(str(path)), line, "the log")
    told: list[str] = []
    writer._tell = told.append  # type: ignore[method-assign]
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    ignored = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    try:
        resource.setrlimit(resource.RLIMIT_FSIZE, (16, hard))  # what goes beyond is refused, as by a full disk
        writer._write([(number, 7) for number in range(5)])
        assert counts(writer) == {"written": 2, "write_failed": 3} and told
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
        signal.signal(signal.SIGXFSZ, ignored)
    writer._write([(7, 7)])
    writer.close(WAIT_S)
    assert path.read_bytes() == line(0) + line(1) + b"00\n" + line(7)
    with pytest.warns(UserWarning, match="the log cannot"):
        RecordWriter._tell(writer, "cannot")
    RecordWriter._tell(writer, "cannot again")


def test_a_record_that_has_no_form_harms_no_other(tmp_path: Path) -> None:
    def encode(number: int) -> bytes:
        return b"%d\n" % (10 // number)

    writer = RecordWriter(LineFile(str(tmp_path / "log")), encode, "the log")
    told: list[str] = []
    writer._tell = told.append  # type: ignore[method-assign]
    for number in (5, 0, 2):
        writer.add(number, 1)
    writer.close(WAIT_S)
    assert (tmp_path / "log").read_bytes() == b"2\n5\n" and counts(writer) == {"written": 2, "not_encoded": 1}
    assert "ZeroDivisionError" in told[0]


def test_large_files_are_put_aside_and_the_oldest_go(tmp_path: Path) -> None:
    path = tmp_path / "log.jsonl"
    (tmp_path / "log.other.jsonl").write_text("somebody else's")
    file = LineFile(str(path), 0o600, Rotation(str(path), 21, 3))
    for number in range(14):
        assert file.append(line(number), lambda: False) == 7
    file.close()
    names = sorted(each.name for each in tmp_path.iterdir())
    assert names == ["log.000003.jsonl", "log.000004.jsonl", "log.jsonl", "log.other.jsonl"]
    assert (tmp_path / "log.000003.jsonl").read_bytes() == b"".join(map(line, (6, 7, 8)))
    assert path.read_bytes() == b"".join(map(line, (12, 13)))
    assert path.stat().st_mode & 0o777 == 0o600
    again = LineFile(str(path), 0o600, Rotation(str(path), 8, 3))
    again.append(line(99), lambda: False)
    again.close()
    assert (tmp_path / "log.000005.jsonl").exists(), "the numbers go on after a restart"


def test_a_file_is_one_writers(tmp_path: Path) -> None:
    path = str(tmp_path / "log")
    first = LineFile(path, 0o600, Rotation(path, 100, 2))
    with pytest.raises(InvalidSetting, match="another process writes it"):
        LineFile(path, 0o600, Rotation(path, 100, 2))
    first.close()
    LineFile(path, 0o600, Rotation(path, 100, 2)).close()


def test_whoever_hands_over_does_not_encode(tmp_path: Path) -> None:
    held = threading.Event()

    def encode(number: int) -> bytes:
        held.wait(WAIT_S)
        return line(number)

    writer = RecordWriter(LineFile(str(tmp_path / "log")), encode, "the log")
    for number in range(10):
        writer.add(number, 1)
    assert writer.written == 0
    held.set()
    writer.close(WAIT_S)
    assert writer.written == 10
