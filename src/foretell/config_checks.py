"""What values the settings may have, and which of them leave others nothing to do."""

from __future__ import annotations

import math
import re
import types
import typing
from collections.abc import Mapping
from typing import Any

from foretell.errors import InvalidSetting

ENV_PREFIX = "FORETELL_"


def check_idle(settings: Any, usual: Any, origins: Mapping[str, str]) -> None:
    """Raises `InvalidSetting` for a setting that another one leaves nothing to do, without overruling its place.

    `usual`: the same settings with their defaults.
    """
    for key, other, acts in _needs(settings):
        idle = not acts and getattr(settings, key) != getattr(usual, key)
        if idle and not _nearer(origins[other], origins[key]):
            got = f"{other} = {getattr(settings, other)}"
            fix = f"change {other}, or leave {key} out"
            raise InvalidSetting(f"{key} would do nothing", where=origins[key], got=got, fix=fix)


def _needs(settings: Any) -> tuple[tuple[str, str, bool], ...]:
    """A setting, the one it depends on, and whether it does something with it."""
    if hasattr(settings, "unix_socket"):
        tcp = settings.unix_socket is None
        return (
            ("rate_burst", "rate_per_s", settings.rate_per_s is not None),
            ("rate_per_s", "tokens_file", settings.tokens_file is None),
            ("unix_socket_mode", "unix_socket", not tcp),
            *((key, "unix_socket", tcp) for key in ("host", "http_port", "tls_cert")),
            *((key, "tls_cert", settings.tls_cert is not None) for key in ("tls_key", "tls_client_ca")),
            ("access_log_file", "access_log", settings.access_log != "off"),
            ("watch_interval_s", "watch", settings.watch),
            *((key, "prediction_log", settings.prediction_log is not None) for key in _OF_PREDICTION_LOG),
        )
    if not hasattr(settings, "executor"):
        return ()
    return (
        ("cache_ttl_s", "cache_size", settings.cache_size > 0),
        ("retry_delay_s", "retries", settings.retries > 0),
        ("retry_max_delay_s", "retries", settings.retries > 0),
        ("inline_limit_ms", "executor", settings.executor == "auto"),
        ("call_timeout_s", "executor", settings.executor != "inline"),
        ("device", "executor", settings.executor != "inline" or "," not in settings.device),
        ("replicas", "executor", settings.executor != "inline"),
        ("max_replicas", "executor", settings.executor != "inline"),
        ("retry_delay_s", "retry_max_delay_s", settings.retry_delay_s <= settings.retry_max_delay_s),
    )


_OF_PREDICTION_LOG = ("prediction_log_sample", "prediction_log_exclude", "prediction_log_record_bytes",
                      "prediction_log_file_bytes", "prediction_log_files")  # fmt: skip


def _nearer(origin: str, than: str) -> bool:
    """Whether a place overrules another. Flags are given together, and so are variables; of two files, either may."""
    ranks = [next((at for at, kind in enumerate(("--", ENV_PREFIX)) if o.startswith(kind)), 2) for o in (origin, than)]
    return origin != "default" and (ranks[0] < ranks[1] or (ranks == [2, 2] and origin != than))


_AT_LEAST = {
    "max_batch_size": 1, "max_queue_size": 1, "max_streams": 1, "batch_size": 1, "num_workers": 0, "threads": 0,
    "cache_size": 0,
    "retries": 0, "retry_delay_s": 0, "retry_max_delay_s": 0, "inline_limit_ms": 0, "http_port": 0,
    "replicas": 1, "max_replicas": 1, "max_connections": 1, "max_body_bytes": 1, "max_buffered_bytes": 1,
    "max_header_bytes": 1024, "max_headers": 8, "workers": 1, "max_json_depth": 3, "max_elements": 1,
    "max_pipelined": 1, "drain_delay_s": 0, "drain_timeout_s": 0, "rate_per_s": 1e-6, "rate_burst": 1,
    "max_loaded_models": 1,
    "processes": 1, "max_quarantined": 0, "max_crashes": 0, "row_attempts": 1, "price_per_hour": 0,
    "file_size": 0, "memory": 1, "max_dead_letters": 0, "max_line_bytes": 1024, "commit_interval_s": 0,
    "prediction_log_sample": 0, "prediction_log_record_bytes": 1024, "prediction_log_file_bytes": 4096,
    "prediction_log_files": 1,
}  # fmt: skip
_AT_MOST = {"http_port": 65535, "workers": 256, "processes": 1024, "rate_per_s": 1e9, "rate_burst": 10**9,
            "prediction_log_sample": 1, "threads": 1024, "replicas": 1024, "max_replicas": 1024}  # fmt: skip
_MOST = 2**62
"""Of any whole number: what JSON and native code can hold."""
_POSITIVE = {
    "slo_ms", "call_timeout_s", "load_timeout_s", "timeout_s", "cache_ttl_s", "header_timeout_s", "body_timeout_s",
    "idle_timeout_s", "request_timeout_s", "stream_timeout_s", "watch_interval_s",
    "idle_unload_s",
}  # fmt: skip


def check_values(values: Mapping[str, Any], origins: Mapping[str, str]) -> None:
    """Raises `InvalidSetting` for a number out of its range, and a text that its reader would not understand."""
    for key, value in values.items():
        _check_form(key, value, origins[key])
        if key == "device":
            _check_devices(value, origins[key])
        if not isinstance(value, (int, float)):
            continue
        least = _AT_LEAST.get(key)
        if least is not None and not value >= least:
            raise InvalidSetting(f"{key} is out of range", where=origins[key], expected=f"at least {least}", got=value)
        if key in _POSITIVE and not value > 0:
            raise InvalidSetting(f"{key} is out of range", where=origins[key], expected="more than 0", got=value)
        if key == "batch" and value < 1:
            raise InvalidSetting("batch is out of range", where=origins[key], expected="1 or more", got=value)
        most = _AT_MOST.get(key, _MOST if isinstance(value, int) else math.inf)
        if value > most:
            raise InvalidSetting(f"{key} is out of range", where=origins[key], expected=f"at most {most}", got=value)


_UNITS = {"": 1, "B": 1, "KB": 10**3, "MB": 10**6, "GB": 10**9, "TB": 10**12,
          "KIB": 2**10, "MIB": 2**20, "GIB": 2**30, "TIB": 2**40}  # fmt: skip
_SIZE = re.compile(r"(\d+(?:\.\d+)?)\s*([KMGT]?(?:I?B)?)", re.IGNORECASE)


def is_size(key: str) -> bool:
    """Whether a setting is a number of bytes, which may be written with a unit."""
    return key.endswith("_bytes") or key in ("file_size", "memory")


def size_of(text: str, origin: str, key: str) -> int:
    """`"4GiB"`, `"1.5 GB"` or `"4096"` as bytes. Raises `InvalidSetting`."""
    found = _SIZE.fullmatch(text.strip())
    unit = _UNITS.get(found[2].upper()) if found else None
    if found is None or unit is None:
        expected = "bytes, or a size such as 512MiB or 4GB"
        raise InvalidSetting(f"{key}: wrong value", where=origin, expected=expected, got=repr(text))
    return int(float(found[1]) * unit)


def _check_devices(device: str, origin: str) -> None:
    """Several must be of one kind: the same row gets the same answer wherever it is computed."""
    names = [name.strip() for name in device.split(",")]
    kinds = {name.partition(":")[0] for name in names}
    if len(kinds) > 1:
        raise InvalidSetting("device: there are several kinds", where=origin, expected="devices of one kind, such as "
                             "cuda:0,cuda:1", got=repr(device))  # fmt: skip
    if len(set(names)) < len(names):
        raise InvalidSetting("device: one is there twice", where=origin, got=repr(device), fix="set replicas instead")


def converted(cls: type[Any], key: str, value: Any, origin: str) -> Any:
    """The value of a setting of `cls`, as its type has it. Raises `InvalidSetting`."""
    import msgspec

    kind = typing.get_type_hints(cls)[key]
    if isinstance(value, str) and "tuple" in str(kind):
        value = [part for part in map(str.strip, value.split(",")) if part and value.strip() != "none"]
    if isinstance(value, str) and "Mapping" in str(kind):
        pairs = (part.partition("=") for part in value.split(","))
        value = {name.strip(): number.strip() for name, _, number in pairs}
    if isinstance(value, str) and is_size(key):
        value = size_of(value, origin, key)
    try:
        return msgspec.convert(value, kind, strict=not isinstance(value, (str, dict)))
    except msgspec.ValidationError:
        raise InvalidSetting(f"{key}: wrong value", where=origin, expected=words_of(kind), got=repr(value)) from None


_PATH = (re.compile(r"[^\0]+"), "a path")
_SHARE = (re.compile(r"[^=:]+=[1-9][0-9]{0,17}:[0-9]+(\.[0-9]+)?%"), "NAME=VERSION:SHARE%, such as digits=2:5%")
_FORMS = {
    **dict.fromkeys(
        (
            "unix_socket",
            "tls_cert",
            "tls_key",
            "tls_client_ca",
            "tokens_file",
            "access_log_file",
            "metrics_file",
            "prediction_log",
        ),
        _PATH,
    ),
    "unix_socket_mode": (re.compile(r"0?[0-7]{3}"), "permissions in octal, such as 0660"),
    "device": (re.compile(r"\s*[^\s,]+\s*(,\s*[^\s,]+\s*)*"), "a device, or several with commas between"),
    "cors_origins": (re.compile(r"\*|[A-Za-z][A-Za-z0-9+.-]*://[^/?#\s]+"), "origins such as https://a.example, or *"),
    "canary": _SHARE,
    "shadow": _SHARE,
    "allowed_hosts": (re.compile(r"\*|[A-Za-z0-9._-]+|\[[0-9A-Fa-f:.]+\]"), "names without a port, or *"),
}


def _check_form(key: str, value: Any, origin: str) -> None:
    """Holds texts to the form that their reader understands."""
    if key in _FORMS:
        form, expected = _FORMS[key]
        for text in (value,) if isinstance(value, str) else value or ():
            if not form.fullmatch(text):
                raise InvalidSetting(f"{key}: wrong value", where=origin, expected=expected, got=repr(text))


def words_of(kind: Any) -> str:
    """What a setting of this type may hold, for people."""
    parts = typing.get_args(kind)
    if typing.get_origin(kind) is typing.Literal:
        return " or ".join(repr(part) for part in parts)
    if typing.get_origin(kind) in (typing.Union, types.UnionType):
        return " or ".join(words_of(part) for part in parts if part is not type(None))
    known = {bool: "true or false", int: "a whole number", float: "a number", str: "a text"}
    return known.get(kind, "name=number pairs" if "Mapping" in str(kind) else "a list of texts")
