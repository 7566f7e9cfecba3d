"""Streams that are killed, told to stop, or left without room, and what another run makes of them."""

from __future__ import annotations

import json
import os
import random
import select
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import eventing
import program
import psutil
import pytest
from looking import until

EVENTS = 400_000
_LITTLE_ROOM = """
import os, resource, sys
resource.setrlimit(resource.RLIMIT_FSIZE, (200_000, 200_000))
os.execv(sys.argv[1], sys.argv[1:])
"""
_SIGNALS_ELSEWHERE = """
import runpy, signal, sys, threading
threading.Thread(target=threading.Event().wait, daemon=True).start()
signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGTERM, signal.SIGINT})
sys.argv[0] = "foretell"
runpy.run_module("foretell", run_name="__main__", alter_sys=True)
"""
_TOLD_EARLY = """
import runpy, signal, sys

class Told:
    def find_spec(name, *_):
        if name == "foretell.cli.app":
            signal.raise_signal(signal.SIGINT)

sys.meta_path.insert(0, Told)
sys.argv[0] = "foretell"
runpy.run_module("foretell", run_name="__main__", alter_sys=True)
"""
_OFTEN = ("--commit-interval-s", "0.02", "--batch-size", "128")


@pytest.mark.timeout(300)
def test_twenty_kills_at_random_change_nothing(folder: Path) -> None:
    """While the file grows, and is rotated in both ways; most of them in the middle of the work."""
    calm = eventing.fill(folder / "calm")
    bad = {number: b'{"id":%d,"a":"x"}\n' % number for number in range(0, EVENTS, 5000)}
    content = eventing.events(range(EVENTS), bad).splitlines(keepends=True)
    (calm / "in.jsonl").write_bytes(b"".join(content))
    eventing.run(calm, code=3)
    whole = (calm / "out.jsonl").read_bytes()
    source, out, rng, step = folder / "in.jsonl", folder / "out.jsonl", random.Random(7), EVENTS // 21
    source.write_bytes(b"")
    written, left = 0, []
    for number, at in enumerate(range(0, 20 * step, step)):
        eventing.add(source, b"".join(content[at : at + step])[: None if number % 3 else -9])
        with eventing.started(folder, *_OFTEN) as process:
            if not number % 3:
                eventing.add(source, content[at + step - 1][-9:])
            if not number:  # what is rotated before a stream has begun was never its own
                until((folder / "out.jsonl.foretell-stream" / "record.json").exists)
            if number % 6 == 5:
                os.rename(source, f"{source}.{number}")
                source.write_bytes(b"")
            due = len(whole) * (at + step) // EVENTS
            if number % 5 == 4:
                time.sleep(rng.uniform(0, 0.5))  # before it has begun, it may be
            else:
                wanted = written + int(rng.uniform(0.05, 0.8) * (due - written))
                until(lambda wanted=wanted: out.exists() and out.stat().st_size >= wanted)
            assert process.poll() is None
            process.kill()
        written = out.stat().st_size
        left.append(written < due - len(whole) // EVENTS)
    eventing.add(source, b"".join(content[20 * step :]))
    eventing.run(folder, code=3)
    assert len(left) == 20 and sum(left) >= 10
    assert out.read_bytes() == whole == eventing.copied(each for each in range(EVENTS) if each not in bad)
    told, calmly = eventing.letters(folder), eventing.letters(calm)
    assert [each["row"] for each in told] == [each["row"] for each in calmly] == list(bad)
    assert [each["text"] for each in told] == [each.decode().rstrip("\n") for each in bad.values()]


def test_a_process_that_is_killed_leaves_nothing_running(folder: Path) -> None:
    (folder / "in.jsonl").write_bytes(eventing.events(range(10)))
    with eventing.started(folder, model="models.py:Sum") as process:
        until(lambda: eventing.has_lines(folder / "out.jsonl", 10, process))
        children = psutil.Process(process.pid).children(recursive=True)
        assert children
        process.kill()
    _, alive = psutil.wait_procs(children, timeout=60)
    assert alive == []


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_stream_that_is_told_to_stop_commits_what_it_has_done(folder: Path, number: int) -> None:
    (folder / "in.jsonl").write_bytes(eventing.events(range(100)))
    with eventing.started(folder, "--commit-interval-s", "1000", "--json") as process:
        until(lambda: eventing.has_lines(folder / "out.jsonl", 100, process))
        process.send_signal(number)
        said, _ = process.communicate(timeout=60)
    assert process.returncode == 0
    report = json.loads(said)
    assert (report["outcome"], report["events"], report["resumed"]) == ("stopped", 100, False)
    eventing.add(folder / "in.jsonl", eventing.events(range(100, 150)))
    done = eventing.run(folder, "--json", "--metrics-file", "events.prom")
    assert json.loads(done.stdout)["events"] == 50
    assert "} 150\n" in (folder / "events.prom").read_text()  # of both runs
    assert (folder / "out.jsonl").read_bytes() == eventing.copied(range(150))


def test_one_that_waits_for_its_source_to_come_back_is_told_to_stop(folder: Path) -> None:
    (folder / "in.jsonl").write_bytes(eventing.events(range(100)))
    eventing.run(folder)
    os.truncate(folder / "in.jsonl", 10)
    with eventing.started(folder, "--json") as process:
        assert process.stderr is not None
        while "is shorter than" not in process.stderr.readline():
            assert process.poll() is None
        process.terminate()
        said, more = process.communicate(timeout=60)
    assert (process.returncode, "starting at the beginning" in more) == (0, False)
    report = json.loads(said)
    assert (report["outcome"], report["events"], report["truncations"]) == ("stopped", 0, 0)
    (folder / "in.jsonl").write_bytes(eventing.events(range(101)))
    eventing.run(folder)
    assert (folder / "out.jsonl").read_bytes() == eventing.copied(range(101))


def test_a_signal_that_does_not_end_the_wait_of_the_main_thread_still_stops_the_stream(folder: Path) -> None:
    """As one that comes just before the wait begins: Python notes it, and acts on it once that thread goes on."""
    (folder / "in.jsonl").write_bytes(eventing.events(range(3)))
    with eventing.started(folder, "--commit-interval-s", "1000", script=_SIGNALS_ELSEWHERE) as process:
        until(lambda: eventing.has_lines(folder / "out.jsonl", 3, process))
        process.terminate()
        assert process.wait(60) == 0
    assert (folder / "out.jsonl").read_bytes() == eventing.copied(range(3))


def test_a_signal_that_does_not_end_the_wait_for_a_process_that_loads_a_model_still_ends_it(folder: Path) -> None:
    (folder / "in.jsonl").write_bytes(b"")
    with eventing.started(folder, model="models.py:LongToLoad", script=_SIGNALS_ELSEWHERE) as process:
        until((folder / "loads").exists)
        process.send_signal(signal.SIGINT)
        assert process.wait(60) == 130
    assert not (folder / "out.jsonl").exists()


def test_who_stops_it_before_it_has_begun_is_told_nothing(folder: Path) -> None:
    with eventing.started(folder, script=_TOLD_EARLY) as process:
        assert (process.wait(60), process.communicate()) == (130, ("", ""))


def test_who_asks_twice_does_not_wait_for_a_call(folder: Path) -> None:
    (folder / "in.jsonl").write_bytes(eventing.events(range(3)))
    with eventing.started(folder, "--executor", "thread", model="models.py:Gated") as process:
        until((folder / "began").exists)
        process.send_signal(signal.SIGINT)
        process.send_signal(signal.SIGTERM)
        assert process.wait(60) == 130
    (folder / "go").touch()
    eventing.run(folder, "--executor", "thread", model="models.py:Gated")
    assert (folder / "out.jsonl").read_bytes() == eventing.summed(range(3))


def test_a_full_disk_is_told_and_nothing_is_lost(folder: Path) -> None:
    (folder / "in.jsonl").write_bytes(eventing.events(range(20_000)))
    command = program.command("stream", "copy.onnx", *eventing.WORDS, "--once", *_OFTEN)
    done = subprocess.run(
        [sys.executable, "-c", _LITTLE_ROOM, *command], cwd=folder, env=program.environment(), capture_output=True,
        text=True, timeout=60, check=False,
    )  # fmt: skip
    assert done.returncode == 1
    assert "cannot be written" in done.stderr
    assert "goes on where it stopped" in done.stderr
    eventing.run(folder)
    assert (folder / "out.jsonl").read_bytes() == eventing.copied(range(20_000))


def test_a_second_stream_to_the_same_sink_is_refused(folder: Path) -> None:
    (folder / "in.jsonl").write_bytes(eventing.events(range(3)))
    with eventing.started(folder) as process:
        until(lambda: eventing.has_lines(folder / "out.jsonl", 3, process))
        assert f"process {process.pid}" in eventing.run(folder, code=1).stderr
        assert "another stream writes here" in eventing.run(folder, "--state", "other", code=1).stderr
        process.kill()
        process.wait()
    eventing.run(folder)


def test_a_pipe_that_nobody_reads_holds_the_source_back(folder: Path) -> None:
    """What is read waits in the pipe before us, and not in memory."""
    chunk = eventing.events(range(20_000))
    process = subprocess.Popen(
        program.command("stream", "copy.onnx", "--key", "id"), cwd=folder, env=program.environment(),
        stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
    )  # fmt: skip
    assert process.stdin is not None
    os.set_blocking(process.stdin.fileno(), False)
    written, full, pause = os.write(process.stdin.fileno(), chunk), 0, threading.Event()
    try:
        ready, _, _ = select.select([process.stdout], [], [], program.WAIT_S)
        assert ready, "no result comes"
        while full < 100:  # so often in a row nothing was taken
            try:
                written += os.write(process.stdin.fileno(), chunk)
                full = 0
            except BlockingIOError:
                full += 1
                pause.wait(0.02)
        assert psutil.Process(process.pid).memory_info().rss < 400 * 2**20
        assert written < 64 * 2**20
        process.send_signal(signal.SIGTERM)  # what was read would still be answered, if anybody took the answers
        assert process.wait(60) == 1
    finally:
        process.kill()
        _, said = process.communicate()
    assert b"nobody takes the results" in said
