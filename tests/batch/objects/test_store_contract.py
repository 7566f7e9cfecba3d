"""What holds for every store: on a disk, in object storage, and in object storage behind a network that fails."""

from __future__ import annotations

import os
import stat
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from buckets import QUICK, use
from fault_proxy import FaultProxy
from s3_server import S3Server

from foretell.batch.store import LocalStore, Store, open_store
from foretell.file_lock import Occupied

Open = Callable[[], Store]


@pytest.fixture(params=["disk", "objects", "failing objects"])
def again(
    request: pytest.FixtureRequest, tmp_path: Path, s3: S3Server, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Open]:
    """Opens the same store, as another process would."""
    if request.param == "disk":
        yield lambda: LocalStore(tmp_path / "out" / "_foretell")
        return
    from foretell.batch.object_store import ObjectStore

    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    proxy = FaultProxy(s3.port, seed=5, rate=0.5 if request.param == "failing objects" else 0.0)
    use(monkeypatch, s3, proxy.url)
    yield lambda: ObjectStore("s3://box/out/_foretell", QUICK)
    proxy.close()


def seen(store: Store) -> list[str]:
    """Without what the store keeps for itself."""
    return [name for name in store.names("") if name not in {"lock", "tmp"}]


@pytest.fixture
def store(again: Open) -> Store:
    return again()


def test_what_is_written_is_there(store: Store, again: Open) -> None:
    assert store.read("a") is None
    store.put("a", b"1")
    store.put("b/c", b"2")
    store.put("b/c", b"3")
    assert [again().read(name) for name in ("a", "b/c", "b", "b/d")] == [b"1", b"3", None, None]
    assert seen(again()) == ["a", "b"]
    assert again().names("b") == ["c"]
    assert again().names("none") == []


def test_a_record_is_written_once(store: Store, again: Open) -> None:
    assert store.put_new("job/shards/1.json", b"first")
    assert not again().put_new("job/shards/1.json", b"second")
    assert store.put_new("job/shards/1.json", b"first"), "the same content again is the same write"
    assert again().read("job/shards/1.json") == b"first"


def test_of_many_that_write_a_record_at_once_one_succeeds(again: Open) -> None:
    stores = [again() for _ in range(6)]
    start, succeeded = threading.Barrier(len(stores)), list[int]()

    def write(number: int) -> None:
        start.wait()
        if stores[number].put_new("record", str(number).encode()):
            succeeded.append(number)

    threads = [threading.Thread(target=write, args=(number,)) for number in range(len(stores))]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(succeeded) == 1
    assert again().read("record") == str(succeeded[0]).encode()


def test_many_are_read_in_order(store: Store) -> None:
    names = [f"records/{number:03}" for number in range(70)]
    for name in names[:-1]:
        store.put(name, name.encode())
    assert list(store.read_all(names)) == [*(name.encode() for name in names[:-1]), None]


def test_a_file_moves_in_and_can_be_read_as_a_file(store: Store, again: Open) -> None:
    content = [os.urandom(300_000) for _ in range(3)]
    for number, each in enumerate(content):
        path = store.scratch(f"part-{number}")
        path.write_bytes(each)
        store.add_file(path, f"job/data/part-{number}")
        assert not path.exists()
    path = store.scratch("again")
    path.write_bytes(content[0])
    store.add_file(path, "job/data/part-0")
    names = [f"job/data/part-{number}" for number in (2, 0, 1)]
    assert [path.read_bytes() for path in again().files(names)] == [content[2], content[0], content[1]]


def test_files_in_the_making_are_private_and_can_be_cleared(store: Store) -> None:
    path = store.scratch("part")
    path.write_bytes(b"half")
    assert path.parent.is_dir()
    if not isinstance(store, LocalStore):
        assert stat.S_IMODE(path.parent.stat().st_mode) == 0o700
    assert "part" not in store.names("")
    store.clear_scratch()
    assert not path.exists()
    store.scratch("part").write_bytes(b"again")


def test_names_and_folders_are_removed(store: Store, again: Open) -> None:
    for name in ("a", "ab", "b/c", "b/d/e", "b/f", "bc/g"):
        store.put(name, b"")
    store.remove("a")
    store.remove("b/d")
    store.remove("never")
    assert seen(again()) == ["ab", "b", "bc"]
    store.clear("b", frozenset({"f"}))
    assert again().names("b") == ["f"]
    store.remove("b")
    assert seen(again()) == ["ab", "bc"]


def test_one_at_a_time_has_the_lock(again: Open) -> None:
    with again().lock("out") as held:
        held.check()
        with pytest.raises(Occupied, match=f"out: another job writes here; got process {os.getpid()}; wait"):
            again().lock("out").__enter__()
        held.check()
    with again().lock("out"):
        pass


def test_a_lock_is_let_go_when_its_holder_fails(again: Open) -> None:
    with pytest.raises(ZeroDivisionError), again().lock("out"):
        _ = 1 / 0
    with again().lock("out"):
        pass


def test_the_address_opens_it_again(store: Store) -> None:
    store.put("a", b"1")
    other = open_store(store.address)
    assert type(other) is type(store)
    assert other.read("a") == b"1"
    assert other.where("a") == f"{store.address}/a"
