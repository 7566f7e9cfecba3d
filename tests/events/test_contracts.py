"""What every source, sink and state promises: one suite over those in memory, in files and in pipes."""

from __future__ import annotations

import os
import threading
from abc import ABC, abstractmethod
from collections.abc import Iterator
from pathlib import Path

import pytest
from looking import until

from foretell.errors import InvalidInput
from foretell.events.file_sink import FileSink
from foretell.events.file_state import FileState
from foretell.events.follow import FileSource
from foretell.events.interfaces import Counts, Events, Mark, Position, Record, Sink, Source, State
from foretell.events.memory import MemorySink, MemorySource, MemoryState
from foretell.events.stdio import PipeSink, PipeSource
from foretell.file_lock import Occupied


class SourceCase(ABC):
    """A kind of source: where events are added, and how it is opened once more as by another process."""

    @abstractmethod
    def add(self, *texts: bytes) -> None: ...

    @abstractmethod
    def end(self) -> None: ...

    @abstractmethod
    def open(self, at: Position | None) -> Source: ...


class InMemory(SourceCase):
    def __init__(self, folder: Path) -> None:
        self.source = MemorySource()

    def add(self, *texts: bytes) -> None:
        self.source.add(*texts)

    def end(self) -> None:
        self.source.end()

    def open(self, at: Position | None) -> Source:
        self.source.open(at)
        return self.source


class InFile(SourceCase):
    def __init__(self, folder: Path) -> None:
        self.path = folder / "in.jsonl"
        self.once = False

    def add(self, *texts: bytes) -> None:
        with self.path.open("ab") as file:
            file.write(b"".join(text + b"\n" for text in texts))

    def end(self) -> None:
        self.once = True

    def open(self, at: Position | None) -> Source:
        source = FileSource(self.path, once=self.once)
        source.open(at)
        return source


class InPipe(SourceCase):
    def __init__(self, folder: Path) -> None:
        self.reading, self.writing = os.pipe()
        self.ended = False

    def add(self, *texts: bytes) -> None:
        os.write(self.writing, b"".join(text + b"\n" for text in texts))

    def end(self) -> None:
        if not self.ended:
            os.close(self.writing)
            self.ended = True

    def open(self, at: Position | None) -> Source:
        source = PipeSource(self.reading)
        source.open(at)
        return source


@pytest.fixture(params=[InMemory, InFile, InPipe])
def case(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[SourceCase]:
    made = request.param(tmp_path)
    yield made
    if isinstance(made, InPipe):
        made.end()
        os.close(made.reading)


TEXTS = [b'{"x":%d}' % number for number in range(7)]


def drained(source: Source, most: int = 3) -> list[Events]:
    made = []
    while (events := source.poll(most)) is not None:
        made.append(events)
    return made


def test_events_come_once_in_order_and_never_more_than_asked_for(case: SourceCase) -> None:
    case.add(*TEXTS)
    case.end()
    source = case.open(None)
    polls = drained(source)
    source.close()
    assert [text for events in polls for text in events.texts] == TEXTS
    assert max(len(events.texts) for events in polls) <= 3


def test_a_source_goes_on_behind_the_position_that_it_gave(case: SourceCase) -> None:
    case.add(*TEXTS)
    source = case.open(None)
    first = source.poll(3)
    assert first is not None
    if not source.resumes:
        source.close()
        with pytest.raises(InvalidInput, match="gone"):
            case.open(first.position)
        return
    lost = source.poll(2)  # given, and never committed
    source.acknowledge(first.position)
    source.close()
    case.end()
    again = case.open(first.position)
    rest = [text for events in drained(again) for text in events.texts]
    again.close()
    assert lost is not None
    assert [*first.texts, *rest] == TEXTS


def test_what_is_not_acknowledged_is_behind(case: SourceCase) -> None:
    case.add(*TEXTS)
    case.end()
    source = case.open(None)
    whole, polls = source.behind(), drained(source)
    source.acknowledge(polls[0].position)
    rest = source.behind()
    source.acknowledge(polls[-1].position)
    none = source.behind()
    source.close()
    if not source.resumes:
        assert (whole, rest, none) == (None, None, None)
        return
    assert none == 0 and rest is not None and whole is not None and 0 < rest < whole
    again = case.open(polls[0].position)
    assert again.behind() == rest
    again.close()


def test_a_poll_waits_for_events_and_ends_when_it_is_told_to_stop(case: SourceCase) -> None:
    case.add(TEXTS[0])
    source = case.open(None)
    assert [list(events.texts) for events in [source.poll(10)] if events] == [[TEXTS[0]]]
    found: list[Events] = []

    def polls() -> None:
        while (events := source.poll(10)) is not None:
            found.append(events)

    waiting = threading.Thread(target=polls)
    waiting.start()
    case.add(TEXTS[1])
    until(lambda: found)
    source.stop()
    waiting.join(30)
    assert not waiting.is_alive()
    assert [list(events.texts) for events in found] == [[TEXTS[1]]]
    assert source.poll(10) is None
    source.close()


def test_each_event_has_a_place(case: SourceCase) -> None:
    case.add(*TEXTS[:3])
    case.end()
    source = case.open(None)
    events = source.poll(10)
    assert events is not None
    places = [events.place(number) for number in range(len(events.texts))]
    source.close()
    assert len({repr(place) for place in places}) == 3


class SinkCase(ABC):
    """A kind of sink, and what readers of it see."""

    @abstractmethod
    def made(self) -> Sink: ...

    @abstractmethod
    def content(self) -> bytes: ...


class ToMemory(SinkCase):
    def __init__(self, folder: Path) -> None:
        self.sink = MemorySink()

    def made(self) -> Sink:
        return self.sink

    def content(self) -> bytes:
        return self.sink.content


class ToFile(SinkCase):
    def __init__(self, folder: Path) -> None:
        self.path = folder / "out.jsonl"

    def made(self) -> Sink:
        return FileSink(self.path)

    def content(self) -> bytes:
        return self.path.read_bytes()


class ToFileWhenNeeded(ToFile):
    def made(self) -> Sink:
        return FileSink(self.path, when_needed=True)

    def content(self) -> bytes:
        return self.path.read_bytes() if self.path.exists() else b""


class ToPipe(SinkCase):
    def __init__(self, folder: Path) -> None:
        self.reading, self.writing = os.pipe()

    def made(self) -> Sink:
        return PipeSink(self.writing)

    def content(self) -> bytes:
        return os.read(self.reading, 2**16)


@pytest.fixture(params=[ToMemory, ToFile, ToFileWhenNeeded, ToPipe])
def to(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[SinkCase]:
    made = request.param(tmp_path)
    yield made
    if isinstance(made, ToPipe):
        os.close(made.reading)
        os.close(made.writing)


def test_lines_stand_there_as_they_were_written(to: SinkCase) -> None:
    sink = to.made()
    sink.open(None)
    sink.write(b"one\ntwo\n")
    sink.write(b"")
    sink.write(b"three\n")
    sink.commit()
    sink.close()
    assert to.content() == b"one\ntwo\nthree\n"


def opened(to: SinkCase, at: Mark | None) -> Sink:
    sink = to.made()
    sink.open(at)
    return sink


def test_a_sink_holds_what_was_committed_and_nothing_else(to: SinkCase) -> None:
    sink = opened(to, None)
    empty = sink.commit()
    if not sink.resumes:
        with pytest.raises(InvalidInput):
            opened(to, empty)
        return
    sink.write(b"one\n")
    mark = sink.commit()
    sink.write(b"two\n")
    sink.close()
    sink = opened(to, mark)
    assert to.content() == b"one\n"
    sink.write(b"three\n")
    sink.commit()
    sink.close()
    assert to.content() == b"one\nthree\n"
    opened(to, empty).close()
    assert to.content() == b""


def test_a_sink_that_holds_something_is_not_begun_anew_unless_asked(to: SinkCase) -> None:
    sink = opened(to, None)
    if not sink.resumes:
        pytest.skip("what it held is gone")
    sink.write(b"one\n")
    sink.commit()
    sink.close()
    with pytest.raises(InvalidInput):
        opened(to, None)
    sink = to.made()
    sink.open(None, fresh=True)
    sink.close()
    assert to.content() == b""


def test_a_sink_that_has_lost_what_was_committed_is_named(to: SinkCase) -> None:
    sink = opened(to, None)
    if not sink.resumes:
        pytest.skip("what it held is gone")
    empty = sink.commit()
    sink.write(b"one\n")
    mark = sink.commit()
    sink.close()
    opened(to, empty).close()
    with pytest.raises(InvalidInput):
        opened(to, mark)


def test_a_sink_has_one_writer(to: SinkCase) -> None:
    sink = opened(to, None)
    if not sink.resumes:
        pytest.skip("a pipe may have several")
    sink.write(b"one\n")
    mark = sink.commit()
    with pytest.raises(Occupied):
        opened(to, mark)
    sink.close()
    opened(to, mark).close()


@pytest.fixture(params=["memory", "file"])
def state(request: pytest.FixtureRequest, tmp_path: Path) -> State:
    return MemoryState() if request.param == "memory" else FileState(tmp_path / "state")


RECORD = Record({"model": "m"}, {"at": 3}, {"length": 9}, None, Counts(3, 1), {"columns": {"x": ["a", "b"]}})


def test_a_state_gives_back_what_it_was_given_last(state: State) -> None:
    with state.lock():
        assert state.load() is None
        state.save(RECORD)
        assert state.load() == RECORD
        later = Record({"model": "m"}, {"at": 5}, {"length": 11}, {"length": 1}, Counts(5, 2))
        state.save(later)
        assert state.load() == later
        state.forget()
        state.forget()
        assert state.load() is None


def test_a_state_has_one_owner_at_a_time(state: State) -> None:
    with state.lock(), pytest.raises(Occupied), state.lock():
        pass
    with state.lock():
        pass
