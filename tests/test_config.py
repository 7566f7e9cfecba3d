"""Settings: frozen, checked, each with its origin."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

import pytest

from foretell.config import (
    JobSettings,
    Layer,
    ModelSettings,
    ServerSettings,
    environment,
    resolve,
    settings,
    toml_layer,
)
from foretell.errors import InvalidSetting

KINDS = [ModelSettings, ServerSettings, JobSettings]


def refusal(**values: Any) -> str:
    with pytest.raises(InvalidSetting) as caught:
        settings(ModelSettings, "options", **values)
    return str(caught.value)


def test_the_first_layer_wins_and_each_value_knows_its_origin() -> None:
    resolved = resolve(
        ModelSettings, [Layer("--threads", {"threads": 1}), Layer("file", {"threads": 2, "retries": 3}), Layer("empty")]
    )
    assert (resolved.settings.threads, resolved.settings.retries) == (1, 3)
    assert resolved.origins["threads"] == "--threads"
    assert resolved.origins["retries"] == "file"
    assert set(resolved.origins) == {field.name for field in dataclasses.fields(ModelSettings)}
    assert resolved.origins["device"] == "default"


def test_a_layer_that_loses_is_still_checked_for_unknown_keys() -> None:
    with pytest.raises(InvalidSetting, match="file: unknown setting 'treads'; did you mean 'threads'"):
        resolve(ModelSettings, [Layer("flag", {"threads": 1}), Layer("file", {"treads": 2})])


@pytest.mark.parametrize("kind", KINDS)
def test_defaults_hold_their_own_rules_and_are_frozen(kind: Any) -> None:
    defaults = dataclasses.asdict(kind())
    assert settings(kind, **defaults) == kind()
    with pytest.raises(dataclasses.FrozenInstanceError):
        setattr(kind(), next(iter(defaults)), 1)


@pytest.mark.parametrize(
    ("key", "text", "value"),
    [
        ("threads", "4", 4),
        ("timeout_s", "1.5", 1.5),
        ("warm_up", "false", False),
        ("warm_up", "1", True),
        ("optimizations", "a, b", ("a", "b")),
        ("optimizations", "", ()),
        ("optimizations", "none", ()),
        ("pad", "ids=0, mask=1.5", {"ids": 0.0, "mask": 1.5}),
        ("batch", "8", 8),
        ("batch", "none", "none"),
        ("executor", "thread", "thread"),
        ("sha256", "00ff", "00ff"),
    ],
)
def test_text_from_the_environment_becomes_the_type_of_the_setting(key: str, text: str, value: object) -> None:
    (layer,) = environment(ModelSettings, {f"FORETELL_{key.upper()}": text, "HOME": "/"})
    resolved = resolve(ModelSettings, [layer])
    assert getattr(resolved.settings, key) == value
    assert resolved.origins[key] == f"FORETELL_{key.upper()}"


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("threads", True),
        ("threads", 1.5),
        ("threads", "many"),
        ("warm_up", 1),
        ("warm_up", "perhaps"),
        ("device", 1),
        ("executor", "fork"),
        ("batch", "some"),
        ("batch", True),
        ("optimizations", [1]),
        ("pad", "ids"),
        ("pad", {"ids": "zero"}),
    ],
)
def test_a_value_of_the_wrong_type_names_key_place_and_value(key: str, value: object) -> None:
    sentence = refusal(**{key: value})
    assert sentence.startswith(f"options: {key}: ")
    assert "; expected " in sentence and sentence.partition(", got ")[2]


@pytest.mark.parametrize(
    ("key", "value", "expected"),
    [
        ("max_batch_size", 0, "at least 1, got 0"),
        ("threads", -1, "at least 0, got -1"),
        ("retry_delay_s", float("nan"), "at least 0, got nan"),
        ("timeout_s", 0, "more than 0, got 0.0"),
        ("timeout_s", float("nan"), "more than 0, got nan"),
        ("batch", 0, "1 or more, got 0"),
        ("replicas", 1025, "at most 1024, got 1025"),
        ("max_queue_size", 2**63, f"at most {2**62}, got {2**63}"),
    ],
)
def test_a_number_out_of_range(key: str, value: float, expected: str) -> None:
    assert refusal(**{key: value}) == f"options: {key} is out of range; expected {expected}"


@pytest.mark.parametrize(("port", "expected"), [(65536, "at most 65535"), (-1, "at least 0")])
def test_a_port_that_cannot_be(port: int, expected: str) -> None:
    with pytest.raises(InvalidSetting, match=f"http_port is out of range; expected {expected}"):
        settings(ServerSettings, http_port=port)


@pytest.mark.parametrize("kind", KINDS)
def test_every_number_has_a_lowest_value(kind: Any) -> None:
    for field in dataclasses.fields(kind):
        if "int" in str(field.type) or "float" in str(field.type):
            if "Mapping" in str(field.type):
                continue
            with pytest.raises(InvalidSetting, match=f"{field.name} is out of range"):
                settings(kind, **{field.name: -1})


def test_an_unknown_variable_names_the_nearest_known_one() -> None:
    with pytest.raises(InvalidSetting) as caught:
        environment(ModelSettings, {"FORETELL_THREAD": "1"})
    assert str(caught.value) == "environment: unknown setting FORETELL_THREAD; did you mean 'FORETELL_THREADS'?"
    with pytest.raises(InvalidSetting, match="FORETELL_ZZZQQ; known: ACCESS_LOG, ACCESS_LOG_FILE, "):
        environment(ModelSettings, {"FORETELL_ZZZQQ": "1"})


def test_a_variable_of_other_settings_is_left_to_them() -> None:
    environ = {"FORETELL_HTTP_PORT": "1", "FORETELL_THREADS": "2"}
    assert [layer.origin for layer in environment(ModelSettings, environ)] == ["FORETELL_THREADS"]
    assert [layer.origin for layer in environment(ServerSettings, environ)] == ["FORETELL_HTTP_PORT"]


def test_a_file_that_is_not_there_is_an_empty_layer(tmp_path: Path) -> None:
    assert toml_layer(tmp_path / "foretell.toml", "model").values == {}


def test_a_file_that_cannot_be_read_is_not_taken_for_a_missing_one(tmp_path: Path) -> None:
    (tmp_path / "foretell.toml").symlink_to("nowhere")
    (tmp_path / "model.toml").mkdir()
    for name in ("foretell.toml", "model.toml"):
        with pytest.raises(InvalidSetting, match=f"{name}: cannot be read"):
            toml_layer(tmp_path / name)


def test_a_table_of_a_file_is_a_layer(tmp_path: Path) -> None:
    path = tmp_path / "foretell.toml"
    path.write_text('[model]\nthreads = 2\noptimizations = ["a"]\npad = { ids = 0 }\n[server]\nhttp_port = 1\n')
    resolved = resolve(ModelSettings, [toml_layer(path, "model")])
    assert resolved.settings == ModelSettings(threads=2, optimizations=("a",), pad={"ids": 0.0})
    assert resolved.origins["threads"] == f"{path} [model]"
    assert settings(ServerSettings, **toml_layer(path, "server").values).http_port == 1
    assert toml_layer(path, "job").values == {}


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("[modle]", r"unknown table \[modle\]; did you mean 'model'"),
        ("threads = 2", r"unknown table \[threads\]"),
        ("model = 3", r"model is not a table; expected \[model\], got 3"),
        ("[model", "not valid TOML"),
    ],
)
def test_a_file_that_is_not_as_it_should_be(tmp_path: Path, text: str, message: str) -> None:
    path = tmp_path / "foretell.toml"
    path.write_text(text)
    with pytest.raises(InvalidSetting, match=message) as caught:
        toml_layer(path, "model")
    assert str(caught.value).startswith(f"{path}: ")


@pytest.mark.parametrize(
    ("values", "words"),
    [
        ({"cache_ttl_s": 5}, ["cache_ttl_s would do nothing", "cache_size = 0"]),
        ({"retries": 0, "retry_delay_s": 1.0}, ["retry_delay_s would do nothing", "retries = 0"]),
        ({"retries": 0, "retry_max_delay_s": 1.0}, ["retry_max_delay_s would do nothing"]),
        ({"retry_delay_s": 5.0}, ["retry_delay_s would do nothing", "retry_max_delay_s = 2.0"]),
        ({"executor": "inline", "device": "cuda:0,cuda:1"}, ["device would do nothing", "executor = inline"]),
        ({"executor": "thread", "inline_limit_ms": 1.0}, ["inline_limit_ms would do nothing", "executor = thread"]),
    ],
)
def test_a_setting_with_nothing_to_do_is_refused(values: dict[str, Any], words: list[str]) -> None:
    layers = [
        [Layer("options", values)],
        [Layer(f"--{key.replace('_', '-')}", {key: value}) for key, value in values.items()],
        environment(ModelSettings, {f"FORETELL_{key.upper()}": str(value) for key, value in values.items()}),
    ]
    for given in layers:
        with pytest.raises(InvalidSetting) as caught:
            resolve(ModelSettings, given)
        for word in words:
            assert word in str(caught.value)


def test_a_nearer_place_may_switch_off_what_another_place_tunes() -> None:
    file = Layer("foretell.toml [model]", {"retry_delay_s": 1.0, "retries": 3, "cache_size": 9, "cache_ttl_s": 5})
    found = resolve(ModelSettings, [Layer("--retries", {"retries": 0}), Layer("--cache-size", {"cache_size": 0}), file])
    assert (found.settings.retries, found.settings.cache_size) == (0, 0)


def test_several_devices_of_one_kind() -> None:
    one = settings(ModelSettings, device="cuda:1", replicas=2, max_replicas=3)
    assert (one.devices, one.least_replicas, one.most_replicas) == (("cuda:1",), 2, 3)
    two = settings(ModelSettings, device="cuda:0, cuda:2", replicas=2)
    assert (two.devices, two.least_replicas, two.most_replicas) == (("cuda:0", "cuda:2"), 4, 4)


@pytest.mark.parametrize(
    ("device", "sentence"),
    [
        ("cuda:0,cuda:0", "options: device: one is there twice; got 'cuda:0,cuda:0'; set replicas instead"),
        ("cpu,cuda:0", "options: device: there are several kinds; expected devices of one kind, such as cuda:0,cuda:1"),
        ("cuda:0,", "options: device: wrong value; expected a device, or several with commas between, got 'cuda:0,'"),
        ("", "options: device: wrong value; expected a device"),
        ("cuda 0", "options: device: wrong value; expected a device"),
    ],
)
def test_devices_that_cannot_be(device: str, sentence: str) -> None:
    assert refusal(device=device).startswith(sentence)


@pytest.mark.parametrize(
    ("text", "size"),
    [("4096", 4096), ("4KiB", 4096), ("1.5 gb", 1_500_000_000), ("2GiB", 2**31), ("0", 0), ("10B", 10)],
)
def test_sizes_may_have_a_unit(text: str, size: int) -> None:
    assert settings(JobSettings, file_size=text).file_size == size


@pytest.mark.parametrize("text", ["", "GiB", "-1", "1k", "4 apples", "1e3", "4KiBB", "0x10", "1PB"])
def test_what_is_no_size_is_refused(text: str) -> None:
    with pytest.raises(InvalidSetting, match="a size such as 512MiB"):
        settings(JobSettings, file_size=text)
