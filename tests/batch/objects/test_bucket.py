"""One bucket over HTTP, with every fault on the way."""

from __future__ import annotations

import os
import socket
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from buckets import QUICK
from fault_proxy import FAULTS, FaultProxy
from s3_server import SECRET_KEY, S3Server

from foretell.batch.address import Address
from foretell.batch.bucket import Bucket, Changed, Patience
from foretell.batch.storage_errors import Refused, Unreachable
from foretell.errors import InvalidSetting, MissingExtra, Unavailable

Behind = Callable[..., tuple[Bucket, FaultProxy]]

_ONCE = Patience(retries=1, first_wait_s=0.001, longest_wait_s=0.001, rounds=1, longest_round_wait_s=0.001)


def test_objects_are_written_read_and_removed(bucket: Bucket, s3: S3Server) -> None:
    assert bucket.read("a/b c/ü%41.txt") is None
    bucket.write("a/b c/ü%41.txt", b"one")
    assert s3.keys("box") == ["a/b c/ü%41.txt"]
    assert (bucket.read("a/b c/ü%41.txt") or (b"",))[0] == b"one"
    bucket.write("a/d", b"")
    bucket.write("ab", b"two")
    assert bucket.names("a") == ["b c", "d"]
    assert bucket.names("") == ["a", "ab"]
    assert [(entry.key, entry.size) for entry in bucket.entries("a")] == [("a/b c/ü%41.txt", 3), ("a/d", 0)]
    bucket.delete(["a/d", "never/there"])
    assert [entry.key for entry in bucket.entries("")] == ["a/b c/ü%41.txt", "ab"]


def test_names_go_beyond_one_page(bucket: Bucket, s3: S3Server) -> None:
    for number in range(2345):
        s3.put("box", f"many/{number:05}/x", b"")
    assert bucket.names("many") == [f"{number:05}" for number in range(2345)]
    bucket.delete([entry.key for entry in bucket.entries("many")])
    assert s3.keys("box") == []


def test_an_object_is_created_once(bucket: Bucket) -> None:
    assert bucket.create("lock", b"mine") is not None
    assert bucket.create("lock", b"theirs") is None
    assert (bucket.read("lock") or (b"",))[0] == b"mine"


def test_an_object_is_replaced_where_it_is_the_known_one(bucket: Bucket) -> None:
    first = bucket.create("lock", b"1")
    assert first is not None
    second = bucket.replace("lock", b"2", first)
    assert second is not None
    assert bucket.replace("lock", b"3", first) is None
    assert bucket.replace("lock", b"4", second) is not None
    bucket.delete(["lock"])
    assert bucket.replace("lock", b"5", second) is None


def test_a_range_is_of_the_version_that_was_asked_for(bucket: Bucket, s3: S3Server) -> None:
    etag = s3.put("box", "data", b"0123456789").etag
    assert bytes(bucket.read_range("data", 2, 5, etag)) == b"234"
    s3.put("box", "data", b"abcdefghij")
    with pytest.raises(Changed, match="written again"):
        bucket.read_range("data", 2, 5, etag)
    bucket.delete(["data"])
    with pytest.raises(Changed, match="gone"):
        bucket.read_range("data", 2, 5, etag)


def test_a_large_file_goes_in_pieces(bucket: Bucket, s3: S3Server, tmp_path: Path) -> None:
    content = os.urandom(20 * 2**20)
    (tmp_path / "large").write_bytes(content)
    bucket.upload("large", tmp_path / "large")
    assert s3.content("box", "large") == content
    assert sum(asked.query.startswith("partNumber=") for asked in s3.asked) == 3
    assert s3.uploads == {}


def test_a_large_file_that_is_broken_off_is_never_seen(s3: S3Server, behind: Behind, tmp_path: Path) -> None:
    (tmp_path / "large").write_bytes(os.urandom(20 * 2**20))
    _, proxy = behind(rate=1.0, faults=("lost request",), when=lambda _, path: "partNumber=3" in path)
    with pytest.raises(Unreachable):
        Bucket(Address("s3", "box"), _ONCE).upload("large", tmp_path / "large")
    assert proxy.met["lost request"] > 0
    assert s3.keys("box") == []
    s3.put("box", "large", b"old")
    with pytest.raises(Unreachable):
        Bucket(Address("s3", "box"), _ONCE).upload("large", tmp_path / "large")
    assert s3.content("box", "large") == b"old"


@pytest.mark.parametrize("fault", FAULTS)
def test_every_call_gets_through_where_half_of_all_requests_fail(
    fault: str, s3: S3Server, behind: Behind, tmp_path: Path
) -> None:
    bucket, proxy = behind(seed=7, faults=(fault,))
    large = os.urandom(9 * 2**20)
    (tmp_path / "large").write_bytes(large)
    for number in range(8):
        key = f"some/{number}"
        version = bucket.create(key, f"first {number}".encode())
        assert version is not None, "its own write was taken for somebody else's"
        assert bucket.create(key, b"another") is None
        assert bucket.replace(key, f"second {number}".encode(), version) is not None
        assert bucket.replace(key, b"third", version) is None
        assert (bucket.read(key) or (b"",))[0] == f"second {number}".encode()
        if number < 2:
            bucket.upload(f"large/{number}", tmp_path / "large")
        assert bytes(bucket.read_range("large/0", 5, 300_000, None)) == large[5:300_000]
        assert bucket.look(key) is not None
        assert bucket.names("some")[-1] == str(number)
    bucket.delete(["some/0", "large/1"])
    assert [entry.key for entry in bucket.entries("")] == ["large/0", *(f"some/{number}" for number in range(1, 8))]
    assert s3.content("box", "large/0") == large
    assert proxy.met[fault] > 20


def test_a_server_that_does_not_answer_in_time_is_asked_again(behind: Behind, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_TIMEOUT", "200ms")
    bucket, proxy = behind(rate=1.0, faults=("silence",), most=3)
    bucket.write("a", b"1")
    assert (bucket.read("a") or (b"",))[0] == b"1"
    assert proxy.met["silence"] == 3


def test_a_server_that_only_fails_is_given_up_and_named(behind: Behind) -> None:
    behind(rate=1.0, faults=("503",))
    with pytest.raises(Unreachable, match=r"s3://box/a: the object storage does not answer .*503 \(SlowDown\); run"):
        Bucket(Address("s3", "box"), _ONCE).write("a", b"")


def test_a_server_that_is_not_there_is_given_up(s3: S3Server) -> None:
    s3.close()
    with pytest.raises(Unreachable, match="run the same command again"):
        Bucket(Address("s3", "box"), _ONCE).read("a")


@pytest.mark.parametrize("call", [
    lambda bucket: bucket.write("a", b""), lambda bucket: bucket.read("a"), lambda bucket: bucket.look("a"),
    lambda bucket: bucket.entries(""), lambda bucket: bucket.create("a", b""), lambda bucket: bucket.delete(["a"]),
])  # fmt: skip
def test_refused_credentials_are_named_and_not_told(
    call: Callable[[Bucket], object], s3: S3Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "not-" + SECRET_KEY)
    before = len(s3.asked)
    with pytest.raises(Refused, match="refused the credentials") as caught:
        call(Bucket(Address("s3", "box")))
    assert SECRET_KEY not in str(caught.value) and "Signature=" not in str(caught.value)
    assert len(s3.asked) == before + 1, "a refusal is no reason to ask again"


def test_credentials_that_nobody_gives_are_named(s3: S3Server, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.delenv(name)
    with socket.create_server(("127.0.0.1", 0)) as free:
        monkeypatch.setenv("AWS_METADATA_ENDPOINT", f"http://127.0.0.1:{free.getsockname()[1]}")
    with pytest.raises(Refused, match=r"no credentials were found .*AWS_ACCESS_KEY_ID"):
        Bucket(Address("s3", "box"), QUICK).read("a")
    assert s3.asked == []


@pytest.mark.parametrize("call", [
    lambda bucket: bucket.write("a", b""), lambda bucket: bucket.read("a"), lambda bucket: bucket.entries(""),
])  # fmt: skip
def test_a_bucket_that_is_missing_is_named(call: Callable[[Bucket], object], s3: S3Server) -> None:
    with pytest.raises(Unavailable, match=r"s3://other.*: there is no such bucket"):
        call(Bucket(Address("s3", "other")))


def test_plain_http_needs_a_word(s3: S3Server, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("AWS_ALLOW_HTTP")
    with pytest.raises(InvalidSetting, match=r"plain HTTP.*AWS_ALLOW_HTTP=true"):
        Bucket(Address("s3", "box")).read("a")
    assert s3.asked == []


def test_the_extra_that_is_missing_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "obstore", None)
    with pytest.raises(MissingExtra, match=r"s3:// needs the package obstore; pip install 'foretell\[objects\]'"):
        Bucket(Address("s3", "box"))


def test_the_other_kinds_of_storage_are_opened_by_the_same_library(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AZURE_STORAGE_ACCOUNT_NAME", "account")
    assert Bucket(Address("gs", "box")).address == Address("gs", "box")
    assert Bucket(Address("az", "box")).address == Address("az", "box")


def test_settings_that_are_not_complete_are_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("AZURE_STORAGE_ACCOUNT_NAME", raising=False)
    with pytest.raises(InvalidSetting, match="az://box: the settings of this object storage are not complete"):
        Bucket(Address("az", "box"))
