"""Streams in this process: what they write, what they put aside, what they refuse, and how they go on."""

from __future__ import annotations

import base64
import json
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import eventing
import numpy as np
import pytest
from looking import until

import foretell
from foretell import DataType, InvalidInput, InvalidSetting, TensorSpec, TransientError, Unavailable
from foretell.events.memory import MemorySink, MemorySource, MemoryState
from foretell.events.opening import ends_of
from foretell.events.report import Nobody, Progress
from foretell.events.trouble import TooManyDead
from foretell.file_lock import NoRoom
from foretell.saying import Level


def test_ten_thousand_events_have_a_line_each_in_order(tmp_path: Path) -> None:
    (tmp_path / "in.jsonl").write_bytes(eventing.events(range(10_000)))
    report = eventing.stream(tmp_path)
    assert (tmp_path / "out.jsonl").read_bytes() == eventing.summed(range(10_000), "output")
    assert (report.events, report.dead_letters, report.outcome) == (10_000, 0, "done")
    assert not (tmp_path / "out.dead-letters.jsonl").exists()
    again = eventing.stream(tmp_path)
    assert (again.events, again.events_total, again.resumed) == (0, 10_000, True)


BAD = {
    2: (b'{"id":2,"a":', "not valid JSON"),
    5: (b'{"id":5,"a":"5","b":1}', "column 'a': expected a number, got a string"),
    8: (b'{"id":8,"a":-22,"b":1}', "minus twenty-two"),
    9: (b"[9]", "expected an object, got a list"),
    11: (b'{"id":11,"a":1e300,"b":1}', "a number is too large"),
    12: (b'{"id":12,"a":{"x":1},"b":1}', "expected a number, got an object"),
    14: (b'{"id":14,"a":1,"b":"\xff\xfe"}', "UTF-8"),
    15: (b'{"id":15,"text":"' + b"x" * 1_100_000 + b'"}', "the line is too long"),
    16: (b'{"id":18446744073709551616,"a":1,"b":1}', "column 'id': expected a number of at most 64 bits or a string"),
}


@pytest.mark.parametrize("batch_size", [1, 3, 1000])
def test_bad_events_end_alone_with_their_reason(tmp_path: Path, batch_size: int) -> None:
    content = eventing.events(range(17), {number: text + b"\n" for number, (text, _) in BAD.items()})
    (tmp_path / "in.jsonl").write_bytes(content)
    report = eventing.stream(tmp_path, batch_size=batch_size)
    assert (tmp_path / "out.jsonl").read_bytes() == eventing.summed((n for n in range(17) if n not in BAD), "output")
    letters = eventing.letters(tmp_path)
    assert [letter["row"] for letter in letters] == list(BAD)
    for letter, (number, (text, why)) in zip(letters, BAD.items(), strict=True):
        assert why in letter["message"]
        assert (letter["line"], letter["file"]) == (number + 1, str(tmp_path / "in.jsonl"))
        assert content[letter["offset"] :].startswith(text)
        told = letter["text"].encode() if "text" in letter else base64.b64decode(letter["base64"])
        assert text.startswith(told)
        assert told == text or number == 15
    assert letters[1]["key"] == {"id": 5}
    assert report.dead_letters == len(BAD)
    assert report.reasons == {"invalid_input": len(BAD) - 1, "model_error": 1}


def test_a_file_without_line_ends_is_one_event(tmp_path: Path) -> None:
    (tmp_path / "in.jsonl").write_bytes(eventing.event(1).rstrip())
    assert eventing.stream(tmp_path).events == 1
    assert (tmp_path / "out.jsonl").read_bytes() == eventing.summed([1], "output")


def test_an_empty_file_has_no_events(tmp_path: Path) -> None:
    (tmp_path / "in.jsonl").write_bytes(b"\n\n")
    assert eventing.stream(tmp_path).events == 0
    assert (tmp_path / "out.jsonl").read_bytes() == b""


def test_a_stream_that_was_asked_the_wrong_thing_stops_before_it_puts_all_aside(tmp_path: Path) -> None:
    source = tmp_path / "in.jsonl"
    source.write_bytes(b'{"id":1,"x1":1,"x2":2}\n' * 150)
    with pytest.raises(TooManyDead, match=r"none has one; such as .*in\.jsonl, line 1: .*unknown column 'a'"):
        eventing.stream(tmp_path, eventing.Sum(), mapping={"x": ("a", "b")})


def test_what_was_put_aside_by_mistake_is_answered_once_that_is_corrected(tmp_path: Path) -> None:
    (tmp_path / "in.jsonl").write_bytes(b'{"id":1,"one":1,"two":2}\n' * 120)

    class Broken(eventing.Sum):
        def predict(self, x: Any) -> Any:
            raise ValueError("a broken release")

    with pytest.raises(TooManyDead, match="events have no answer"):
        eventing.stream(tmp_path, Broken())
    report = eventing.stream(tmp_path, eventing.Sum(), name="Broken")
    assert (report.events, report.dead_letters) == (120, 0)
    assert eventing.letters(tmp_path) == []


def test_bad_events_alone_never_stop_a_stream_that_has_answered(tmp_path: Path) -> None:
    bad = dict.fromkeys(range(1, 500), b"{\n")
    (tmp_path / "in.jsonl").write_bytes(eventing.events(range(501), bad))
    assert eventing.stream(tmp_path).dead_letters == 499
    with pytest.raises(TooManyDead, match="expected at most 498"):
        eventing.stream(tmp_path, max_dead_letters=498, fresh=True)
    assert eventing.stream(tmp_path, max_dead_letters=499, fresh=True).dead_letters == 499


def test_a_stream_that_has_answered_before_is_not_stopped_by_bad_events_after_its_start(tmp_path: Path) -> None:
    (tmp_path / "in.jsonl").write_bytes(eventing.events(range(2)))
    eventing.stream(tmp_path)
    eventing.add(tmp_path / "in.jsonl", b"{\n" * 300)
    assert eventing.stream(tmp_path).dead_letters == 300


def test_an_event_that_comes_too_late_never_reaches_the_model(tmp_path: Path) -> None:
    seen: list[float] = []

    class Slow(eventing.Sum):
        def predict(self, x: Any) -> Any:
            seen.extend(x[:, 0].tolist())
            threading.Event().wait(1.5 if x[0, 0] == 0 else 0)
            return super().predict(x)

    (tmp_path / "in.jsonl").write_bytes(eventing.events(range(50)))
    report = eventing.stream(tmp_path, Slow(), timeout_s=1, batch_size=10)
    letters = eventing.letters(tmp_path)
    assert report.dead_letters == len(letters) > 0
    assert {letter["code"] for letter in letters} == {"deadline_exceeded"}
    late = {letter["row"] for letter in letters}
    assert (tmp_path / "out.jsonl").read_bytes() == eventing.summed((n for n in range(50) if n not in late), "output")
    assert 0 in late
    assert {int(each) for each in seen if each} & late == set()


def test_a_failure_that_passes_is_tried_again(tmp_path: Path) -> None:
    tries: list[int] = []

    class Shaky(eventing.Sum):
        def predict(self, x: Any) -> Any:
            tries.append(len(x))
            if len(tries) < 3:
                raise TransientError("come back later")
            return super().predict(x)

    (tmp_path / "in.jsonl").write_bytes(eventing.events(range(3)))
    assert eventing.stream(tmp_path, Shaky(), retry_delay_s=0.001, retry_max_delay_s=0.002).dead_letters == 0
    tries.clear()
    assert eventing.stream(tmp_path, Shaky(), retries=0, fresh=True).reasons["transient"] > 0


@pytest.mark.parametrize(
    ("options", "told"),
    [
        ({"key": "a"}, r"key \('id', now 'a'\)"),
        ({"model": np.negative, "name": "other"}, "other: "),
        ({"version": "2"}, "version 1', now 'Sum version 2'"),
        ({"top": 1}, "top"),
        ({"dead_letters": "elsewhere.jsonl"}, "dead letters"),
    ],
)
def test_another_stream_is_refused_where_one_was_begun(tmp_path: Path, options: dict[str, Any], told: str) -> None:
    (tmp_path / "in.jsonl").write_bytes(eventing.events(range(5)))
    eventing.stream(tmp_path)
    before = (tmp_path / "out.jsonl").read_bytes()
    with pytest.raises(InvalidInput, match=told):
        eventing.stream(tmp_path, **{"model": None, **options})
    assert (tmp_path / "out.jsonl").read_bytes() == before
    assert eventing.stream(tmp_path, fresh=True).events == 5


def test_a_live_model_without_a_version_is_never_the_same_as_before(tmp_path: Path) -> None:
    (tmp_path / "in.jsonl").write_bytes(eventing.events(range(5)))
    eventing.stream(tmp_path, version=None)
    with pytest.raises(InvalidInput, match="another stream was begun here"):
        eventing.stream(tmp_path, version=None)


def _begun(folder: Path) -> Path:
    (folder / "in.jsonl").write_bytes(eventing.events(range(100)))
    eventing.stream(folder)
    eventing.add(folder / "in.jsonl", eventing.events(range(100, 110)))
    return folder / "out.jsonl"


def _shorter(sink: Path) -> None:
    sink.write_bytes(sink.read_bytes()[:-1])


def _other(sink: Path) -> None:
    sink.write_bytes(sink.read_bytes().replace(b'"id":99', b'"id":98'))


@pytest.mark.parametrize(
    ("harm", "told"),
    [(_shorter, "were committed"), (_other, "holds other lines"), (Path.unlink, "is gone")],
)
def test_a_sink_that_was_changed_is_named_and_left_alone(
    tmp_path: Path, harm: Callable[[Path], None], told: str
) -> None:
    sink = _begun(tmp_path)
    harm(sink)
    before = sink.read_bytes() if sink.exists() else None
    with pytest.raises(InvalidInput, match=told):
        eventing.stream(tmp_path)
    assert (sink.read_bytes() if sink.exists() else None) == before


def test_what_stood_behind_the_last_commit_is_cut_off(tmp_path: Path) -> None:
    sink = _begun(tmp_path)
    eventing.add(sink, b'{"id":100,"output":100.5}\n{"id":1')
    eventing.stream(tmp_path)
    assert sink.read_bytes() == eventing.summed(range(110), "output")


@pytest.mark.parametrize("content", [b"", b"{}", b'{"sha256":"0","record":{}}'])
def test_a_damaged_record_is_named(tmp_path: Path, content: bytes) -> None:
    _begun(tmp_path)
    record = tmp_path / "out.jsonl.foretell-stream" / "record.json"
    record.write_bytes(content or record.read_bytes().replace(b'"offset":', b'"offset":1'))
    with pytest.raises(InvalidInput, match="record of the stream is damaged"):
        eventing.stream(tmp_path)
    record.unlink()
    with pytest.raises(InvalidInput, match="there is something already"):
        eventing.stream(tmp_path)


def test_a_record_of_another_release_is_named(tmp_path: Path) -> None:
    import hashlib

    _begun(tmp_path)
    record = tmp_path / "out.jsonl.foretell-stream" / "record.json"
    content = json.dumps({**json.loads(record.read_bytes())["record"], "format": 99}).encode()
    sealed = b'{"sha256":"%s","record":%s}' % (hashlib.sha256(content).hexdigest().encode(), content)
    record.write_bytes(sealed)
    with pytest.raises(InvalidInput, match="another release"):
        eventing.stream(tmp_path)


@pytest.mark.parametrize(
    ("options", "told"),
    [
        ({"source": "kafka://host/topic"}, "expected a path, file:///path, or -, got kafka://"),
        ({"sink": "nats://host"}, "sink of this kind is not known"),
        ({"sink": "file://host/x"}, "names no file of this machine"),
        ({"sink": "in.jsonl"}, "the sink is the source"),
        ({"sink": "other-name.jsonl", "fresh": True}, "the sink is the source"),
        ({"state": "in.jsonl"}, "the state is a file; expected a folder"),
        ({"dead_letters": "out.jsonl"}, "the file of dead letters is the sink"),
        ({"source": "-", "state": "s"}, "--state would do nothing"),
        ({"source": " "}, "the source is empty"),
        ({"sink": "/dev/null"}, "the sink is no file"),
        ({"top": 0}, "top is out of range"),
        ({"batch": 1, "nope": 2}, "unknown option 'nope'"),
        ({"call_timeout_s": 1}, "call_timeout_s would do nothing"),
        ({"max_line_bytes": 3}, "max_line_bytes is out of range"),
        ({"source": MemorySource()}, "one of source and sink is an address"),
        ({"state": MemoryState()}, "state and dead_letters are objects only"),
    ],
)
def test_what_cannot_be_is_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, options: dict[str, Any], told: str
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "in.jsonl").write_bytes(b"")
    (tmp_path / "other-name.jsonl").hardlink_to(tmp_path / "in.jsonl")
    with pytest.raises(InvalidSetting, match=told):
        eventing.stream(tmp_path, **{"source": "in.jsonl", "sink": "out.jsonl", **options})


def test_standard_output_that_is_the_source_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "in.jsonl"
    with path.open("ab") as file, pytest.raises(InvalidSetting, match="-: the sink is the source"):
        ends_of(path, "-", state=None, dead_letters=None, once=True, most_line_bytes=100, onlooker=Nobody(),
                output=file.fileno())  # fmt: skip


def test_names_may_be_addresses_of_files(tmp_path: Path) -> None:
    source = tmp_path / "with space.jsonl"
    source.write_bytes(eventing.events(range(3)))
    eventing.stream(tmp_path, source=source.as_uri(), sink=(tmp_path / "out").as_uri())
    assert (tmp_path / "out").read_bytes() == eventing.summed(range(3), "output")


@pytest.mark.parametrize(("key", "told"), [("output", "two fields 'output'"), ("nobody", "no field 'nobody'")])
def test_a_key_that_cannot_be_is_told(tmp_path: Path, key: str, told: str) -> None:
    class Declared(eventing.Sum):
        outputs = (TensorSpec("output", DataType.FP32, ()),)

    (tmp_path / "in.jsonl").write_bytes(eventing.events(range(100)))
    with pytest.raises((InvalidSetting, TooManyDead), match=told):
        eventing.stream(tmp_path, Declared(), key=key)


def test_models_whose_rows_depend_on_each_other_are_refused(tmp_path: Path) -> None:
    class Ranked(eventing.Sum):
        row_wise = False

    def words(text: str) -> Iterator[str]:
        yield text

    (tmp_path / "in.jsonl").write_bytes(b"")
    with pytest.raises(InvalidInput, match="depend on the rows before"):
        eventing.stream(tmp_path, Ranked())
    with pytest.raises(InvalidInput, match="answers in pieces only"):
        eventing.stream(tmp_path, words)


class Watching:
    """Notes what a stream tells."""

    def __init__(self) -> None:
        self.seen: list[Progress] = []
        self.said: list[str] = []

    def went_on(self, progress: Progress) -> None:
        self.seen.append(progress)

    def noted(self, line: str, level: Level) -> None:
        self.said.append(line)


class Memory:
    """A stream in memory that runs in a thread."""

    def __init__(self, state: MemoryState | None = None) -> None:
        self.source, self.sink, self.letters = MemorySource(), MemorySink(), MemorySink()
        self.state, self.looks, self.ended = state or MemoryState(), Watching(), list[Any]()

    @contextmanager
    def running(self, **options: Any) -> Iterator[None]:
        def run() -> None:
            try:
                self.ended.append(foretell.stream(
                    eventing.Sum(), self.source, self.sink, key="id", state=self.state, version="1",
                    dead_letters=self.letters, onlooker=self.looks, **options,
                ))  # fmt: skip
            except Exception as error:
                self.ended.append(error)

        thread = threading.Thread(target=run)
        thread.start()
        try:
            yield
        finally:
            self.source.stop()
            thread.join(60)
            assert not thread.is_alive()


def test_a_program_adds_events_and_has_their_answers(tmp_path: Path) -> None:
    memory = Memory()
    with memory.running(commit_interval_s=0.01):
        memory.source.add(*eventing.events(range(5)).splitlines())
        until(lambda: memory.source.acknowledged == 5)
        assert memory.sink.content == eventing.summed(range(5), "output")
        memory.source.add(b"{")
        until(lambda: memory.source.acknowledged == 6)
    assert json.loads(memory.letters.content)["number"] == 0
    assert memory.looks.seen[-1].events == 6
    memory.source.end()
    memory.source.add(*eventing.events(range(6, 9)).splitlines())
    with memory.running():
        until(lambda: len(memory.ended) == 2)
    assert memory.sink.content == eventing.summed([0, 1, 2, 3, 4, 6, 7, 8], "output")
    assert memory.ended[1].events == 3


def test_a_record_that_cannot_be_written_stops_the_stream_and_nothing_is_lost() -> None:
    memory = Memory()
    with memory.running(commit_interval_s=0.0):
        memory.source.add(*eventing.events(range(5)).splitlines())
        until(lambda: memory.source.acknowledged == 5)
        memory.state.failing = NoRoom("the disk is full")
        memory.source.add(*eventing.events(range(5, 8)).splitlines())
        until(lambda: memory.ended)
    assert isinstance(memory.ended[0], Unavailable)
    assert memory.source.acknowledged == 5
    memory.state.failing = None
    memory.source.end()
    with memory.running():
        until(lambda: len(memory.ended) == 2)
    assert memory.sink.content == eventing.summed(range(8), "output")


def test_dead_letters_stand_among_the_results_where_they_have_no_sink_of_their_own() -> None:
    source, sink = MemorySource([b"{", *eventing.events(range(2)).splitlines(), b"[]"], ended=True), MemorySink()
    report = foretell.stream(eventing.Sum(), source, sink, key="id")
    lines = [json.loads(line) for line in sink.content.splitlines()]
    assert [line.get("id") for line in lines] == [None, 0, 1, None]
    assert [line["error"]["row"] for line in (lines[0], lines[3])] == [0, 3]
    assert lines[0]["error"]["text"] == "{"
    assert report.dead_letters == 2
