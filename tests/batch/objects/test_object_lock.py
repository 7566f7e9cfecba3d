"""A lock that other machines see: signs of life, a holder that is gone, and one that only seemed to be."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable

import msgspec
import pytest
from fault_proxy import FaultProxy
from s3_server import S3Server

from foretell.batch.bucket import Bucket
from foretell.batch.object_lock import Lease, ObjectLock
from foretell.batch.owner import Owner
from foretell.clock import ManualClock
from foretell.file_lock import Occupied

_NEVER = Lease(renew_s=3600.0, lost_s=30.0)
"""Signs of life are given by the tests alone."""


class Elsewhere(ManualClock):
    """While somebody waits, `then` happens."""

    def __init__(self, then: Callable[[], object] = lambda: None) -> None:
        super().__init__()
        self.then = then

    def sleep(self, seconds: float) -> None:
        super().sleep(seconds)
        self.then()


def lock(bucket: Bucket, clock: ManualClock | None = None, lease: Lease = _NEVER) -> ObjectLock:
    return ObjectLock(bucket, "lock", "s3://box/out", lease, clock)


def held_elsewhere(bucket: Bucket) -> ObjectLock:
    """A lock whose object says that another machine has it."""
    made = lock(bucket)
    made.take()
    found = bucket.read("lock")
    assert found is not None
    sign = msgspec.json.decode(found[0])
    sign["owner"]["machine"] = "another"
    version = bucket.replace("lock", msgspec.json.encode(sign), found[1])
    assert version is not None
    made._version = version
    return made


def test_who_gives_signs_of_life_keeps_the_lock(bucket: Bucket) -> None:
    other = held_elsewhere(bucket)
    clock = Elsewhere(other.renew)
    with pytest.raises(Occupied, match="another job writes here; got a process of another machine"):
        lock(bucket, clock, Lease(5.0, 30.0)).take()
    assert clock.slept == [5.0], "the first sign of life is enough"
    other.check()
    other.release()


def test_who_gives_none_loses_it_and_is_told(bucket: Bucket) -> None:
    other = held_elsewhere(bucket)
    clock = Elsewhere()
    mine = lock(bucket, clock, Lease(5.0, 30.0))
    mine.take()
    assert sum(clock.slept) == 30.0
    with pytest.raises(Occupied, match="another job has gone on here"):
        other.check()
    mine.check()
    other.release()
    mine.check()
    mine.release()


def test_of_two_that_wait_for_one_that_is_gone_one_gets_it(bucket: Bucket) -> None:
    gone = held_elsewhere(bucket)
    quick = lock(bucket, Elsewhere(), Lease(5.0, 30.0))
    slow_clock = Elsewhere()
    slow = lock(bucket, slow_clock, Lease(5.0, 30.0))
    slow_clock.then = lambda: quick.take() if slow_clock.now >= 30.0 else None
    with pytest.raises(Occupied):
        slow.take()
    quick.check()
    quick.release()
    gone.release()


def test_a_process_of_this_machine_that_has_ended_is_known_at_once(bucket: Bucket) -> None:
    code = "import msgspec; from foretell.batch.owner import Owner; print(msgspec.json.encode(Owner.this()).decode())"
    told = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=60).stdout
    owner = msgspec.json.decode(told, type=Owner)
    assert owner.is_here and not owner.runs
    bucket.write("lock", msgspec.json.encode({"holder": "somebody", "turn": 3, "owner": msgspec.to_builtins(owner)}))
    clock = Elsewhere()
    mine = lock(bucket, clock)
    mine.take()
    assert clock.slept == []
    mine.release()


def test_a_process_with_the_number_of_one_that_has_ended_is_another() -> None:
    this = Owner.this()
    assert this.is_here and this.runs
    assert not Owner(this.machine, this.process, "1").runs
    assert not Owner("", this.process, this.started).is_here


def test_signs_of_life_are_given_by_a_thread(bucket: Bucket, s3: S3Server) -> None:
    mine = lock(bucket, None, Lease(renew_s=0.01, lost_s=30.0))
    mine.take()
    signs = [bucket.read("lock")]
    while len(signs) < 4:  # ends with the test's own limit, if none comes
        found = bucket.read("lock")
        if found != signs[-1]:
            signs.append(found)
    mine.release()
    last = bucket.read("lock")
    assert last is not None and msgspec.json.decode(last[0])["holder"] == ""
    assert not any(thread.is_alive() for thread in [mine._thread])


def test_a_sign_whose_answer_was_lost_is_known_as_its_own(
    bucket: Bucket, behind: Callable[..., tuple[Bucket, FaultProxy]]
) -> None:
    flaky, proxy = behind(seed=2, faults=("lost answer",), when=lambda method, _: method == "PUT")
    mine = lock(flaky)
    mine.take()
    for _ in range(20):
        mine.check()
    assert proxy.met["lost answer"] > 5
    mine.release()


def test_what_nobody_can_read_is_watched_like_any_other(bucket: Bucket) -> None:
    bucket.write("lock", b"\xff not ours")
    clock = Elsewhere()
    mine = lock(bucket, clock, Lease(5.0, 30.0))
    mine.take()
    assert sum(clock.slept) == 30.0
    mine.release()
