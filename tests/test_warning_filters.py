"""What a thread does with Python's warning filters for a moment does not stay."""

from __future__ import annotations

import io
import subprocess
import sys
import threading
import time
import warnings
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
from live_models import loaded
from PIL import Image
from served_models import WAIT_S
from sklearn.compose import ColumnTransformer
from sklearn.ensemble import IsolationForest
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import FunctionTransformer, StandardScaler

from foretell.columns import Batch
from foretell.forms.images import decode
from foretell.model import Context
from foretell.warning_filters import within

ROWS = np.random.default_rng(0).normal(size=(8, 4))
CALLERS, CALLS = 4, 30


@pytest.fixture
def restless() -> Iterator[None]:
    """Threads that give way to each other all the time."""
    before = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    yield
    sys.setswitchinterval(before)


def forest() -> Callable[[], object]:
    model = loaded(IsolationForest(n_estimators=3, random_state=0).fit(ROWS))
    return lambda: model.predict(Batch.of(input=ROWS), Context())


def columns() -> Callable[[], object]:
    scaled = ColumnTransformer([("first", StandardScaler(), [0]), ("others", StandardScaler(), [1, 2, 3])])
    model = loaded(make_pipeline(scaled, IsolationForest(n_estimators=1, random_state=0)).fit(ROWS))
    return lambda: model.predict(Batch.of(input=ROWS), Context())


def images() -> Callable[[], object]:
    file = io.BytesIO()
    Image.new("RGB", (8, 8)).save(file, "PNG")
    return lambda: decode(file.getvalue(), "here")


@pytest.mark.usefixtures("restless")
@pytest.mark.parametrize("made", [forest, columns, images])
def test_the_filters_are_those_of_before(made: Callable[[], Callable[[], object]]) -> None:
    call = made()
    before = list(warnings.filters)
    together = threading.Barrier(CALLERS)

    def caller() -> None:
        together.wait()
        for _ in range(CALLS):
            call()

    with ThreadPoolExecutor(CALLERS) as pool:
        for done in [pool.submit(caller) for _ in range(CALLERS)]:
            done.result()
    assert list(warnings.filters) == before


def test_nobody_waits_for_code_that_may_hang() -> None:
    entered, end = threading.Event(), threading.Event()

    def hang(rows: np.ndarray) -> np.ndarray:
        if threading.current_thread() is not threading.main_thread():
            entered.set()
            end.wait()
        return rows

    scaled = ColumnTransformer([("first", FunctionTransformer(hang), [0, 1, 2, 3])])
    hanging = loaded(make_pipeline(scaled, IsolationForest(n_estimators=1, random_state=0)).fit(ROWS))
    call = forest()
    with ThreadPoolExecutor(2) as pool:
        hung = pool.submit(hanging.predict, Batch.of(input=ROWS), Context())
        try:
            assert entered.wait(WAIT_S)
            pool.submit(call).result(WAIT_S)
        finally:
            end.set()
        hung.result(WAIT_S)


@pytest.mark.usefixtures("restless")
def test_models_are_loaded_while_others_answer() -> None:
    """What a load silences or records ends with it, and no call waits until then."""
    call = forest()
    before, showing = list(warnings.filters), warnings.showwarning
    began = threading.Barrier(2)

    def load() -> None:
        began.wait()
        for _ in range(30):
            with within(warnings.catch_warnings(record=True, action="always")) as caught:
                time.sleep(1e-3)
            assert caught == []

    with ThreadPoolExecutor(1) as pool:
        loading = pool.submit(load)
        began.wait()
        while not loading.done():
            call()
        loading.result()
    assert list(warnings.filters) == before
    assert warnings.showwarning is showing

    with within(warnings.catch_warnings(action="ignore")), ThreadPoolExecutor(1) as pool:
        pool.submit(call).result(WAIT_S)


FORKS = """
import os, threading, warnings
from foretell.warning_filters import alone, within

begun = threading.Event()

def hold():
    with within(warnings.catch_warnings()), alone():
        begun.set()
        threading.Event().wait()

threading.Thread(target=hold, daemon=True).start()
begun.wait()
child = os.fork()
if child == 0:
    with within(warnings.catch_warnings()), alone():
        os._exit(7)
os._exit(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))
"""


def test_a_process_that_is_forked_meanwhile_waits_for_nobody() -> None:
    command = [sys.executable, "-W", "ignore", "-c", FORKS]
    assert subprocess.run(command, check=False, timeout=WAIT_S).returncode == 7
