"""Options of a predictor: each is known, acts, or is an error that says what there is."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from foretell.errors import InvalidSetting
from foretell.predictor.options import Options, read_options


def test_nothing_given_is_nothing_asked() -> None:
    options = read_options(None, {})
    assert options == read_options({}, {})
    assert (options.optimize, options.name, options.version, options.example) == (None, None, "1", None)
    assert options.job.batch_size is None and options.model.optimizations is None
    assert options.model.max_batch_size == 32_768


def test_config_and_keywords_are_one_set_of_options() -> None:
    config = {"batch_size": 32, "device": "cuda", "precision": "fp16", "optimize": True}
    options = read_options(config, {"cache_size": 1000, "num_workers": 4})
    assert (options.job.batch_size, options.job.num_workers, options.model.max_batch_size) == (32, 4, 32)
    assert (options.model.device, options.model.precision, options.model.cache_size) == ("cuda", "fp16", 1000)
    assert options.optimize is True


@pytest.mark.parametrize(
    ("config", "keywords", "nearest"),
    [
        ({}, {"batchsize": 3}, "batch_size"),
        ({"cachesize": 3}, {}, "cache_size"),
        ({}, {"optimise": True}, "optimize"),
        ({}, {"optimisations": ["x"]}, "optimizations"),
        ({}, {"timeout": 3}, "timeout_s"),
        ({}, {"max_batch_sise": 3}, "batch_size"),
    ],
)
def test_an_unknown_option_names_the_nearest(config: dict[str, Any], keywords: dict[str, Any], nearest: str) -> None:
    with pytest.raises(InvalidSetting, match=f"unknown option .* did you mean '{nearest}'"):
        read_options(config, keywords)


@pytest.mark.parametrize("key", [3, None, ("a",)])
def test_a_name_that_is_no_text_is_unknown_too(key: Any) -> None:
    with pytest.raises(InvalidSetting, match="unknown option"):
        read_options({key: 1}, {})


@pytest.mark.parametrize("config", ["batch_size", [("batch_size", 3)], 32])
def test_a_config_that_is_no_dict_is_refused(config: Any) -> None:
    with pytest.raises(InvalidSetting, match="config is no mapping; expected a dict of options"):
        read_options(config, {})


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("batch_size", 0),
        ("batch_size", -1),
        ("batch_size", "many"),
        ("batch_size", 2.5),
        ("batch_size", True),
        ("num_workers", -1),
        ("cache_size", -1),
        ("cache_ttl_s", 0),
        ("timeout_s", 0),
        ("timeout_s", float("nan")),
        ("retries", -1),
        ("threads", -1),
        ("max_queue_size", 0),
        ("optimize", "yes"),
        ("optimize", 1),
        ("optimizations", 3),
        ("device", 3),
        ("name", ["m"]),
        ("name", ""),
        ("version", 1.5),
        ("batch", 0),
    ],
)
def test_a_value_that_cannot_hold_is_refused(name: str, value: Any) -> None:
    with pytest.raises(InvalidSetting, match=name):
        read_options(None, {name: value})
    with pytest.raises(InvalidSetting, match=name):
        read_options({name: value}, {})


@pytest.mark.parametrize(
    ("config", "keywords"),
    [
        ({"batch_size": 3}, {"batch_size": 4}),
        ({"optimize": True}, {"optimize_model": False}),
        ({"optimize": True, "optimize_model": False}, {}),
        ({"example": np.ones(3)}, {"example": np.ones(3)}),
    ],
)
def test_what_is_given_twice_and_differs_is_refused(config: dict[str, Any], keywords: dict[str, Any]) -> None:
    with pytest.raises(InvalidSetting, match="is given twice"):
        read_options(config, keywords)


def test_the_same_twice_is_harmless_and_none_is_nothing() -> None:
    assert read_options({"batch_size": 3, "optimize": True}, {"batch_size": 3, "optimize_model": True}).optimize
    assert (
        read_options({"batch_size": None, "cache_size": 5}, {"batch_size": 3, "cache_size": None}).job.batch_size == 3
    )


@pytest.mark.parametrize(
    "given",
    [
        {"optimize": False, "optimizations": ["kernel_fusion"]},
        {"optimize": True, "optimizations": []},
        {"optimize_model": True, "optimizations": ()},
    ],
)
def test_options_that_contradict_each_other_are_refused(given: dict[str, Any]) -> None:
    with pytest.raises(InvalidSetting, match="contradict each other; leave one out"):
        read_options(None, given)


@pytest.mark.parametrize("passes", [["a", "b"], ("a", "b"), "a, b"])
def test_optimizations_come_as_people_write_them(passes: Any) -> None:
    assert read_options(None, {"optimizations": passes}).model.optimizations == ("a", "b")


def test_optimize_false_switches_every_pass_off() -> None:
    assert read_options(None, {"optimize": False}).model.optimizations == ()
    assert read_options(None, {"optimize": True}).model.optimizations is None


@pytest.mark.parametrize("number", [np.int64(7), np.int32(7), np.uint8(7)])
def test_numbers_of_numpy_are_numbers(number: Any) -> None:
    options = read_options({"batch_size": number}, {"cache_size": number})
    assert options.job.batch_size == options.model.cache_size == 7


@pytest.mark.parametrize(("given", "version"), [(2, "2"), ("3.1", "3.1"), (0, "0")])
def test_a_version_is_text(given: Any, version: str) -> None:
    options: Options = read_options(None, {"version": given, "name": "m"})
    assert (options.name, options.version) == ("m", version)
