"""When a server looks for garbage, which it otherwise lets rest."""

from __future__ import annotations

import gc
import weakref
from collections.abc import Iterator

import pytest

from foretell.cli.collector import Collector

MIB = 2**20


class Cycle:
    """Holds itself, as an exception that its own frame keeps in a variable does."""

    def __init__(self) -> None:
        self.me = self


@pytest.fixture
def resting() -> Iterator[None]:
    gc.disable()
    yield
    gc.enable()


@pytest.mark.usefixtures("resting")
def test_what_grows_is_looked_at_and_what_does_not_is_left() -> None:
    memory = 100 * MIB
    collector = Collector(lambda: memory)
    collector.look()  # learns where it stands
    left = weakref.ref(Cycle())
    for more in (0, 63):
        memory = (100 + more) * MIB
        collector.look()
        assert left() is not None
    memory = 170 * MIB
    collector.look()
    assert left() is None


@pytest.mark.usefixtures("resting")
def test_a_system_that_does_not_tell_is_none_that_grows() -> None:
    left = weakref.ref(Cycle())
    Collector(lambda: None).look()
    assert left() is not None
    gc.collect()


@pytest.mark.usefixtures("resting")
def test_a_model_of_the_start_is_let_go_when_it_has_left() -> None:
    memory, gone = 0, 0
    left = weakref.ref(Cycle())
    collector = Collector(lambda: memory, lambda: gone)
    gc.freeze()
    try:
        memory = 100 * MIB
        collector.look()
        assert left() is not None
        memory, gone = 200 * MIB, 1
        collector.look()
        assert left() is None
    finally:
        gc.unfreeze()
