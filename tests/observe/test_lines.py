"""Writing a log never holds anybody up, whatever the disk does."""

from __future__ import annotations

import os
import threading
from pathlib import Path

import pytest

from foretell.errors import InvalidSetting
from foretell.observe.lines import LineWriter


def test_lines_are_appended_in_their_order(tmp_path: Path) -> None:
    path = tmp_path / "log"
    path.write_text("before\n")
    writer = LineWriter(str(path))
    for number in range(1000):
        writer.add(b"%d" % number)
    writer.close()
    assert path.read_text() == "before\n" + "".join(f"{number}\n" for number in range(1000))
    assert (writer.written, writer.dropped, writer.trouble) == (1000, 0, None)
    LineWriter(str(tmp_path / "new")).close()
    assert (tmp_path / "new").stat().st_mode & 0o007 == 0, "everybody may read it"


def test_several_writers_keep_lines_whole(tmp_path: Path) -> None:
    path = tmp_path / "log"
    writers = [LineWriter(str(path)) for _ in range(3)]
    lines = [[b"%d-%d" % (which, number) * 50 for number in range(300)] for which in range(3)]
    threads = [
        threading.Thread(target=lambda w, ls: [w.add(line) for line in ls], args=pair)
        for pair in zip(writers, lines, strict=True)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    for writer in writers:
        writer.close()
    assert sorted(path.read_bytes().splitlines()) == sorted(line for each in lines for line in each)


def test_a_full_disk_loses_lines_and_counts_them() -> None:
    writer = LineWriter("/dev/full")
    for _ in range(10):
        writer.add(b"line")
    writer.close()
    assert (writer.written, writer.dropped) == (0, 10)
    assert writer.trouble == os.strerror(28)


def test_a_reader_that_does_not_read_costs_lines_only() -> None:
    reading, writing = os.pipe()
    writer = LineWriter(writing, most_bytes=1 << 20)
    for _ in range(3000):  # about 3 MB: the pipe takes 64 KiB, one batch is being written, 1 MiB waits
        writer.add(b"x" * 1000)
    assert 0 < writer.dropped <= 3000
    assert writer._waiting_bytes <= 1 << 20
    writer.close(patience_s=0.0)
    os.close(reading)  # now the write fails, and the thread ends
    writer._thread.join(20)
    assert not writer._thread.is_alive()
    assert writer.written <= 65, "what the pipe could hold, and nobody read"
    assert writer.written + writer.dropped == 3000
    os.close(writing)


def test_a_pipe_that_does_not_block_is_waited_for() -> None:
    reading, writing = os.pipe()
    os.set_blocking(writing, False)
    writer = LineWriter(writing)
    for _ in range(1000):
        writer.add(b"x" * 1000)
    ended = threading.Thread(target=lambda: (writer.close(20.0), os.close(writing)))
    ended.start()
    with open(reading, "rb") as file:
        assert file.read() == (b"x" * 1000 + b"\n") * 1000
    ended.join()
    assert (writer.written, writer.dropped) == (1000, 0)


@pytest.mark.parametrize("gone", ["renamed", "removed"])
def test_a_file_that_was_rotated_is_made_anew(tmp_path: Path, gone: str) -> None:
    path = tmp_path / "log"
    writer = LineWriter(str(path))
    writer._write([b"one"])
    if gone == "renamed":
        path.rename(tmp_path / "log.1")
    else:
        path.unlink()
    writer._write([b"two"])
    writer._write([b"three"])
    writer.close()
    assert path.read_text() == "two\nthree\n"


def test_a_line_that_a_full_disk_cut_ends_before_the_next(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import resource
    import signal

    path = tmp_path / "log"
    writer = LineWriter(str(path))
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    ignored = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    try:
        resource.setrlimit(resource.RLIMIT_FSIZE, (6, hard))  # the system refuses what goes beyond, as a full disk does
        writer._write([b"one", b"second", b"third"])
        assert (writer.written, writer.dropped) == (1, 2)
        assert writer.trouble
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
        signal.signal(signal.SIGXFSZ, ignored)
    writer._write([b"fourth"])
    writer.close()
    assert path.read_text() == "one\nse\nfourth\n"
    assert (writer.written, writer.dropped, writer.trouble) == (2, 2, None)


def test_what_cannot_be_written_is_said_at_once(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    for path in (tmp_path / "no" / "log", tmp_path, tmp_path / "pipe"):
        with pytest.raises(InvalidSetting, match="cannot be written"):
            LineWriter(str(path))


def test_after_the_end_nothing_is_taken(tmp_path: Path) -> None:
    writer = LineWriter(str(tmp_path / "log"))
    writer.close()
    writer.close()
    writer.add(b"late")
    assert (writer.written, writer.dropped) == (0, 1)
