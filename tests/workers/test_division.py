"""What each worker gets of the limits."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from foretell.config import ModelSettings, ServerSettings
from foretell.workers.division import divided, in_each, share, threads_of_each


@given(total=st.integers(1, 10**9), workers=st.integers(1, 500))
def test_shares_never_come_to_less_than_the_whole_and_hardly_to_more(total: int, workers: int) -> None:
    part = share(total, workers)
    assert part >= 1
    assert 0 <= part * workers - total < workers


@pytest.mark.parametrize(("cores", "workers", "threads"), [(2, 2, 1), (16, 4, 4), (16, 5, 3), (1, 4, 1), (8, 1, 8)])
def test_cores_are_divided_and_nobody_goes_without(cores: int, workers: int, threads: int) -> None:
    assert threads_of_each(cores, workers) == threads


def test_limits_of_the_server_are_divided_and_nothing_else_changes() -> None:
    settings = ServerSettings(max_connections=101, max_buffered_bytes=1002, workers=4, max_body_bytes=1000)
    part = ServerSettings(max_connections=26, max_buffered_bytes=251, workers=4, max_body_bytes=1000)
    assert divided(settings, 4) == part


def test_the_queue_of_a_model_is_divided_and_its_cache_is_not() -> None:
    settings = ModelSettings(max_queue_size=4096, cache_size=1000, max_batch_size=64)
    assert divided(settings, 2) == ModelSettings(max_queue_size=2048, cache_size=1000, max_batch_size=64)


def test_alone_a_process_has_it_all() -> None:
    assert divided(ModelSettings(), 1) == ModelSettings()
    assert in_each("max_queue_size", 4096, 1, 8) is None


@pytest.mark.parametrize(
    ("name", "value", "each"),
    [
        ("max_queue_size", 4096, 1366), ("max_connections", 10, 4), ("cache_size", 500, 500), ("cache_size", 0, None),
        ("replicas", 2, 2), ("rate_per_s", 30.0, 10.0), ("rate_per_s", None, None), ("rate_burst", 5, 2),
        ("rate_burst", None, None),
        ("max_replicas", None, None), ("max_replicas", 3, 3), ("max_loaded_models", 5, 5),
        ("max_loaded_models", None, None),
        ("idle_unload_s", 60.0, None), ("slo_ms", 12.5, 12.5), ("slo_ms", None, None),
        ("max_buffered_bytes", 100, 34), ("threads", 0, 2),
        ("threads", 5, None), ("max_batch_size", 128, None), ("host", "127.0.0.1", None),
    ],
)  # fmt: skip
def test_what_a_setting_comes_to_in_each_of_three(name: str, value: object, each: float | None) -> None:
    assert in_each(name, value, 3, 8) == each
