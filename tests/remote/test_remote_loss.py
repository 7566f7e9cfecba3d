"""When the process of a model ends, hangs or stops making sense, its caller knows at once, and who replaces it too."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import psutil
import pytest
from ending_models import WAYS
from engine_models import answers, rows
from remote_calls import WAIT_S, loaded, remote

from foretell.errors import InferenceError, InvalidInput, ModelError, NotReady, ReplicaLost
from foretell.model import Context
from foretell.remote.model import RemoteModel


def wait_gone(pid: int) -> None:
    try:
        psutil.Process(pid).wait(WAIT_S)
    except psutil.NoSuchProcess:
        return


@pytest.fixture
def noticed() -> threading.Event:
    return threading.Event()


def watched(model: RemoteModel, noticed: threading.Event) -> list[int]:
    """`on_lost` sets `noticed`; the list has an entry for each time."""
    times: list[int] = []

    def on_lost() -> None:
        times.append(1)
        noticed.set()

    model.watch(on_lost)
    return times


@pytest.mark.parametrize("way", WAYS)
def test_a_process_that_ends_in_a_call(way: int, noticed: threading.Event) -> None:
    with loaded("ending_models:Ends") as model:
        times = watched(model, noticed)
        assert answers(model.predict(rows(1), Context())) == [1]
        for _ in range(2):
            with pytest.raises(ReplicaLost) as caught:
                model.predict(rows(1000 + way), Context())
            assert str(caught.value) == f"model 'model': its process {WAYS[way]}; try again"
            assert caught.value.retryable
            assert model.lost
        assert noticed.wait(WAIT_S)
        assert model.pid is not None
        wait_gone(model.pid)
    assert times == [1]


@pytest.mark.parametrize("name", ["ending_models:EndsBefore", "ending_models:EndsAfter"])
@pytest.mark.parametrize("way", [1, 2, 4])
def test_a_process_that_ends_in_another_stage(name: str, way: int) -> None:
    with loaded(name) as model, pytest.raises(ReplicaLost, match=f"its process {WAYS[way]}"):
        model.predict(rows(1000 + way), Context())


@pytest.mark.parametrize(
    ("name", "what"),
    [
        ("ending_models:EndsAtLoad", "ended with exit code 7 while it loaded the model"),
        ("ending_models:KilledAtLoad", "ended with signal 9 while it loaded the model"),
        ("ending_models:OutOfMemoryAtLoad", "ran out of memory while it loaded the model"),
        ("ending_models:GarbageAtLoad", "answered what is no answer while it loaded the model"),
    ],
)
def test_a_process_that_ends_while_it_loads(name: str, what: str, noticed: threading.Event) -> None:
    model = remote(name)
    times = watched(model, noticed)
    with pytest.raises(ReplicaLost, match=what):
        model.load("cpu")
    model.close()
    assert times == []


def test_a_process_that_ends_while_it_closes() -> None:
    with loaded("ending_models:EndsAtClose", call_timeout_s=5) as model:
        model.predict(rows(1), Context())


def test_a_process_that_ends_between_calls_is_noticed_without_one(noticed: threading.Event) -> None:
    with loaded("Doubler") as model:
        watched(model, noticed)
        assert model.pid is not None and not model.lost
        os.kill(model.pid, signal.SIGKILL)
        assert noticed.wait(WAIT_S)
        assert model.lost
        with pytest.raises(ReplicaLost, match="its process ended with signal 9"):
            model.predict(rows(1), Context())


def test_a_process_that_is_killed_in_a_call(tmp_path: Path) -> None:
    with loaded("Shows") as model, ThreadPoolExecutor(1) as pool:
        asked = pool.submit(model.predict, rows(1), Context(params={"path": str(tmp_path / "shown"), "stay": True}))
        pid, helper = shown(tmp_path / "shown")
        assert pid == model.pid
        os.kill(pid, signal.SIGKILL)
        with pytest.raises(ReplicaLost, match="its process ended with signal 9"):
            asked.result(WAIT_S)
        wait_gone(helper)


def test_what_the_process_has_started_ends_with_it(tmp_path: Path) -> None:
    with loaded("Shows") as model:
        model.predict(rows(1), Context(params={"path": str(tmp_path / "shown")}))
        _, helper = shown(tmp_path / "shown")
        assert psutil.pid_exists(helper)
    wait_gone(helper)


def test_a_call_that_hangs_past_its_limit(noticed: threading.Event) -> None:
    with loaded("Sleeps", call_timeout_s=0.3) as model:
        watched(model, noticed)
        assert answers(model.predict(rows(0), Context())) == [0]
        with pytest.raises(ReplicaLost, match=r"its process took longer than 0\.3 s for a call"):
            model.predict(rows(WAIT_S), Context())
        assert noticed.wait(WAIT_S)


def test_a_call_that_hangs_past_its_limit_while_somebody_might_give_up() -> None:
    with loaded("Sleeps", call_timeout_s=0.3) as model, pytest.raises(ReplicaLost, match="took longer"):
        model.predict(rows(WAIT_S), Context(cancelled=lambda: False))


def test_a_stopped_process_hangs_past_its_limit() -> None:
    with loaded("Doubler", call_timeout_s=0.3) as model:
        assert model.pid is not None
        os.kill(model.pid, signal.SIGSTOP)
        with pytest.raises(ReplicaLost, match="took longer"):
            model.predict(rows(1), Context())


def test_a_stopped_process_hangs_past_its_limit_while_it_is_told_a_lot() -> None:
    with loaded("Everything", call_timeout_s=0.3) as model:
        assert model.pid is not None
        os.kill(model.pid, signal.SIGSTOP)
        with pytest.raises(ReplicaLost, match="took longer"):
            model.predict(rows(1), Context(params={"a": "a" * 10_000_000}))


def test_loading_that_takes_too_long() -> None:
    model = remote("ending_models:HangsAtLoad", load_timeout_s=0.5)
    with pytest.raises(NotReady, match=r"loading took longer than 0\.5 s; give it more with load_timeout_s") as caught:
        model.load("cpu")
    assert type(caught.value) is NotReady
    model.close()


@pytest.mark.parametrize("name", ["FailsToClose", "ExceptionAtClose"])
def test_what_closing_raises(name: str) -> None:
    model = remote(name)
    model.load("cpu")
    with pytest.raises((InvalidInput, ModelError), match="it does not close"):
        model.close()
    model.close()


def test_a_closed_model_refuses() -> None:
    with loaded("Doubler") as model:
        model.close()
        model.close()
        with pytest.raises(NotReady, match="the model is closed") as caught:
            model.predict(rows(1), Context())
        assert type(caught.value) is NotReady
        assert not model.lost


def test_an_unloaded_model_refuses() -> None:
    model = remote("Doubler")
    with pytest.raises(NotReady, match="the model is not loaded"):
        model.predict(rows(1), Context())
    model.close()
    with pytest.raises(NotReady, match="the model is closed"):
        model.load("cpu")


def test_loading_twice_is_refused_and_harms_nothing() -> None:
    with loaded("Doubler") as model:
        with pytest.raises(NotReady, match="loaded before"):
            model.load("cpu")
        assert answers(model.predict(rows(1), Context())) == [2]


@pytest.fixture
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("foretell.remote.model._CLOSE_S", 0.3)


@pytest.mark.usefixtures("impatient")
def test_closing_does_not_wait_for_ever(noticed: threading.Event) -> None:
    with loaded("ending_models:HangsAtClose") as model:
        times = watched(model, noticed)
    assert times == []


@pytest.mark.usefixtures("impatient")
def test_closing_under_a_call_that_does_not_end(tmp_path: Path) -> None:
    with loaded("Shows") as model, ThreadPoolExecutor(1) as pool:
        asked = pool.submit(model.predict, rows(1), Context(params={"path": str(tmp_path / "shown"), "stay": True}))
        shown(tmp_path / "shown")
        model.close()
        with pytest.raises(NotReady, match="the model is closed"):
            asked.result(WAIT_S)


def test_closing_while_it_loads() -> None:
    model = remote("ending_models:HangsAtLoad")
    with ThreadPoolExecutor(1) as pool:
        loading = pool.submit(model.load, "cpu")
        while model.pid is None:
            assert not loading.done()
        model.close()
        with pytest.raises(NotReady, match="the model is closed"):
            loading.result(WAIT_S)


def test_closing_waits_for_a_short_call() -> None:
    with loaded("Sleeps") as model, ThreadPoolExecutor(1) as pool:
        asked = pool.submit(model.predict, rows(0.3), Context())
        while not model._turn.locked():
            assert not asked.done()
        model.close()
        assert answers(asked.result(WAIT_S)) == [0.6]


def test_closing_from_many_threads() -> None:
    with loaded("Doubler") as model, ThreadPoolExecutor(4) as pool:
        for done in [pool.submit(model.close) for _ in range(8)]:
            done.result(WAIT_S)


def test_who_is_told_of_the_loss_may_close(noticed: threading.Event) -> None:
    model = remote("Doubler")
    model.load("cpu")

    def on_lost() -> None:
        model.close()
        noticed.set()

    model.watch(on_lost)
    assert model.pid is not None
    os.kill(model.pid, signal.SIGKILL)
    assert noticed.wait(WAIT_S)
    model._link = None


def test_an_interrupted_call_is_never_answered_by_another_one() -> None:
    class Stop(BaseException):
        pass

    def interrupt() -> bool:
        raise Stop

    with loaded("Sleeps") as model:
        with pytest.raises(Stop):
            model.predict(rows(0.1), Context(cancelled=interrupt))
        with pytest.raises(ReplicaLost, match="left in the middle of a call"):
            model.predict(rows(0), Context())


PARENT = """
import sys, threading
sys.path[:0] = sys.argv[1:2]
from foretell.columns import Batch
from foretell.config import ModelSettings
from foretell.model import Context
from foretell.remote.model import RemoteModel
from foretell.remote.recipe import Recipe
import numpy
model = RemoteModel(Recipe.of("remote_models:Shows", ModelSettings()))
model.load("cpu")
model.predict(Batch.of(x=numpy.ones(1)), Context(params={"path": sys.argv[2], "stay": sys.argv[3] == "in a call"}))
print("answered", flush=True)
if sys.argv[3] == "idle":
    sys.stdin.read()
"""


@pytest.fixture
def parent(tmp_path: Path) -> Iterator[list[subprocess.Popen[str]]]:
    started: list[subprocess.Popen[str]] = []
    yield started
    for process in started:
        process.kill()
        process.communicate()


def start(parent: list[subprocess.Popen[str]], tmp_path: Path, how: str) -> subprocess.Popen[str]:
    helpers = str(Path(__file__).parents[1] / "helpers")
    arguments = [sys.executable, "-W", "error", "-c", PARENT, helpers, str(tmp_path / "shown"), how]
    parent.append(
        subprocess.Popen(arguments, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    )
    return parent[-1]


@pytest.mark.parametrize("how", ["in a call", "idle"])
def test_a_child_does_not_outlive_its_parent(parent: list[subprocess.Popen[str]], tmp_path: Path, how: str) -> None:
    process = start(parent, tmp_path, how)
    child, _ = shown(tmp_path / "shown")
    if how == "idle":
        assert process.stdout is not None and process.stdout.readline() == "answered\n"
    process.kill()
    wait_gone(child)


def test_a_program_that_closes_nothing_ends_cleanly(parent: list[subprocess.Popen[str]], tmp_path: Path) -> None:
    process = start(parent, tmp_path, "to its end")
    out, err = process.communicate(timeout=WAIT_S)
    assert (out, err, process.returncode) == ("answered\n", "", 0)
    child, helper = shown(tmp_path / "shown")
    wait_gone(child)
    wait_gone(helper)


def test_a_model_that_nobody_closed_goes_with_its_last_reference() -> None:
    model = remote("Doubler")
    model.load("cpu")
    pid = model.pid
    assert pid is not None
    del model
    wait_gone(pid)


def test_an_error_of_one_call_is_no_loss() -> None:
    with loaded("Doubler") as model:
        for _ in range(3):
            with pytest.raises(InferenceError, match="negative"):
                model.predict(rows(-1), Context())
            assert answers(model.predict(rows(1), Context())) == [2]
        assert not model.lost


def test_an_answer_that_cannot_leave_its_process_is_no_loss() -> None:
    with loaded("objects") as model:
        for _ in range(2):
            with pytest.raises(ModelError, match="its answer cannot leave its process; expected columns of numbers"):
                model.predict(rows(1), Context())


def test_a_batch_that_cannot_be_sent_is_no_loss() -> None:
    with loaded("Everything") as model:
        for _ in range(2):
            with pytest.raises(InvalidInput, match="cannot be sent"):
                model.predict(Batch_of_objects(), Context())
        assert model.predict(rows(1), Context()).rows == 1


def Batch_of_objects():  # type: ignore[no-untyped-def]
    from foretell.columns import Batch, Dense

    return Batch({"x": Dense(np.array([None]))}, 1)


def shown(path: Path) -> tuple[int, int]:
    """The numbers of two processes, once `Shows` has written them."""
    limit = threading.Event()
    timer = threading.Timer(WAIT_S, limit.set)
    timer.start()
    try:
        while not path.exists():
            assert not limit.wait(0.002)
    finally:
        timer.cancel()
        timer.join()
    first, second = path.read_text().split()
    return int(first), int(second)


def test_signals_that_are_for_the_parent_end_no_child_and_its_own_still_end_what_it_starts() -> None:
    with loaded("Signalled") as model:
        assert answers(model.predict(rows(1, 2), Context())) == [signal.SIGTERM, signal.SIGTERM]
        assert not model.lost
