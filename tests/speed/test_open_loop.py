"""The load generator that does not wait for answers: what it sends when, and from when it counts."""

from __future__ import annotations

import socket
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import numpy as np
import pytest
from benchmarks.online.generator import FIRST, Loop, poisson
from benchmarks.online.open_loop import Arrivals

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="the generator waits with epoll")
REQUEST = b"POST / HTTP/1.1\r\nContent-Length: 2\r\n\r\nhi"
ANSWER = b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok"


@contextmanager
def serving(answer: Callable[[list[socket.socket]], object], requests: int) -> Iterator[Loop]:
    """A generator, and a server that takes one request of each of so many connections and then has `answer` end them.

    It first accepts all that the generator opens at its start; the last of these is the first to be used.
    """

    def work() -> None:
        links = [listening.accept()[0] for _ in range(FIRST)]
        for link in links[-requests:]:
            received = b""
            while not received.endswith(REQUEST):
                received += link.recv(1000)
        answer(links[-requests:])
        ended.wait()
        for link in links:
            link.close()

    ended = threading.Event()
    with socket.create_server(("127.0.0.1", 0), backlog=2 * FIRST) as listening:
        thread = threading.Thread(target=work)
        thread.start()
        loop = Loop(listening.getsockname()[1], REQUEST)
        try:
            yield loop
        finally:
            ended.set()
            thread.join()
            loop.close()


def test_requests_leave_although_none_before_was_answered_and_count_from_when_they_were_due() -> None:
    due = [0.0, 0.01, 0.02, 0.03]
    # The server waits for all four before it answers any: a closed loop would never end.
    with serving(lambda asked: [link.sendall(ANSWER) for link in asked], len(due)) as loop:
        loop.run(due)
    assert sorted(at for at, _, _ in loop.answers) == due
    assert {status for _, _, status in loop.answers} == {200}
    assert all(took >= due[-1] - at for at, took, _ in loop.answers)


def test_a_connection_that_breaks_is_counted_as_no_answer() -> None:
    with serving(lambda asked: asked[0].close(), 1) as loop:
        loop.run([0.0])
    assert [status for _, _, status in loop.answers] == [0]


def test_arrivals_are_independent_repeat_with_the_seed_and_have_the_rate() -> None:
    times = np.array(poisson(1000, 20, seed=1))
    assert list(times) == poisson(1000, 20, seed=1) != poisson(1000, 20, seed=2)
    assert times[-1] < 20 and abs(len(times) - 20_000) < 5 * np.sqrt(20_000)
    gaps = np.diff(times)
    assert gaps.std() == pytest.approx(gaps.mean(), rel=0.05)  # as of an exponential distribution


def test_goodput_counts_right_answers_in_time_only() -> None:
    took, status = np.array([1.0, 9.0, 2.0, 1.0]), np.array([200, 200, 429, 0])
    came = Arrivals(2.0, np.array([0.0, 0.6, 1.2, 1.7]), took, status, 0.0)
    assert came.goodput(5.0) == 0.5
    assert came.took(99, 429) == 2.0
    assert came.failed == 1
    assert came.settled_s(5.0, 0.0) == 1.0
    assert came.settled_s(10.0, 0.0) == 0.0
    assert came.settled_s(10.0, 1.0) == 2.0, "nobody was answered in the last second"
