"""Settings: frozen, parsed once, each value with its origin.

Order, first wins: flag, `FORETELL_*` in the environment, `model.toml` beside the model, `foretell.toml` in the working
folder, default. Unknown keys are errors that name the nearest known one.
"""

from __future__ import annotations

import dataclasses
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Generic, Literal, TypeVar

from foretell.config_checks import ENV_PREFIX, check_idle, check_values, converted
from foretell.errors import InvalidSetting, nearest
from foretell.server_settings import ServerSettings as ServerSettings  # noqa: PLC0414 (to be had from here)


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelSettings:
    """How one model is opened and run."""

    device: str = "cpu"
    """Where it runs; several of one kind, with commas between, have `replicas` each."""
    precision: str | None = None
    """Numbers the model computes in, such as "fp32"; None: as the artefact has it."""
    optimizations: tuple[str, ...] | None = None
    """Passes to apply when opening; None: every one the runtime has that keeps the answers; (): none."""
    runtime: str | None = None
    """What runs an ONNX file: "onnxruntime", "openvino" or "tensorrt"; None: the first."""
    compile: bool = False
    """Compile a PyTorch model with torch.compile when it is loaded."""
    model_class: str | None = None
    """"module:Class" that weights in a .safetensors file belong to; it is called without arguments."""
    task: str | None = None
    """What a Hugging Face model is for, such as "text-classification"; None: what its folder tells."""
    batch_invariant: bool = False
    """Compute each row in a shape that depends on that row alone, so that neither batch nor door changes its answer."""
    threads: int = 0
    """Threads inside one call of the model; 0: one for each core this process may use, with `batch_invariant` one."""
    max_batch_size: int = 128
    """Most rows of one call that foretell forms."""
    max_queue_size: int = 4096
    """Most rows that wait; more are refused with `Overloaded`."""
    max_streams: int = 8
    """Streams that run at a time on each replica; further ones wait, and count as rows in `max_queue_size`."""
    timeout_s: float | None = None
    """Longest time from acceptance to answer; None: no limit."""
    slo_ms: float | None = None
    """Objective: 99 of 100 answers within this; what would miss it is refused at once. None: none is refused for it."""
    executor: Literal["auto", "inline", "thread", "process"] = "auto"
    """Where calls run: on the event loop, in a thread, in a process of its own; "auto": by measured time."""
    inline_limit_ms: float = 0.3
    """A native model runs on the event loop while its call stays under this ("auto")."""
    replicas: int = 1
    """Instances of the model, on each device."""
    max_replicas: int | None = None
    """As many instances there may be under load, on each device; None: no more than `replicas`."""
    call_timeout_s: float | None = None
    """A replica that takes longer for one call, or one step of a stream, is given up and replaced; None: no limit."""
    load_timeout_s: float = 120.0
    """Longest time a process may take to load the model, or a server that serves meanwhile."""
    cache_size: int = 0
    """Answers kept, in rows; 0: no cache."""
    cache_ttl_s: float | None = None
    retries: int = 2
    """Further tries after an error that the model marks transient."""
    retry_delay_s: float = 0.05
    retry_max_delay_s: float = 2.0
    batch: Literal["any", "none"] | int | None = None
    """Overrides what the artefact tells of its axis of rows; None: believe the artefact."""
    pad: Mapping[str, float] | None = None
    """Value per input that fills rows of different length."""
    warm_up: bool | None = None
    """Whether a row of zeros is answered before the model is ready; None: where that is native code."""
    trust: tuple[str, ...] = ()
    """Types a .skops file may bring beside the ones skops trusts."""
    allow_pickle: bool = False
    sha256: str | None = None
    cache_dir: str | None = None
    """Folder for what was measured; None: .cache/foretell in the home folder."""

    def shared_threads(self, share: int) -> int:
        """Threads of one call, where nobody named a number and `share` is fair. Of a batch-invariant model, one:
        another number elsewhere may change its answers."""
        return self.threads or (1 if self.batch_invariant else share)

    @property
    def devices(self) -> tuple[str, ...]:
        """Each of `device`."""
        return tuple(each.strip() for each in self.device.split(","))

    @property
    def least_replicas(self) -> int:
        """On all devices together."""
        return self.replicas * len(self.devices)

    @property
    def most_replicas(self) -> int:
        """On all devices together."""
        return (self.max_replicas or self.replicas) * len(self.devices)


@dataclass(frozen=True, slots=True, kw_only=True)
class JobSettings:
    """Scoring many rows in this process."""

    batch_size: int | None = None
    """Rows of one call; None: what fits in a few megabytes, see `engine.ahead.rows_per_call`."""
    num_workers: int | None = None
    """Threads of host work that run ahead of the model; 0: none; None: as the model and the data need."""
    processes: int | None = None
    """Processes that score, each with the model; None: one for each core, or for each device."""
    memory: int | None = None
    """Bytes that all processes of a job together may take; None: what the machine has left when the job begins."""
    max_quarantined: int | None = None
    """Rows without an answer that a job may have; None: 100, and beyond that one in a hundred."""
    max_crashes: int = 100
    """Ends of processes that one run of a job bears."""
    row_attempts: int = 2
    """How often a row may end its process before it is left out."""
    check_keys: bool = True
    """Whether a job looks for keys that stand more than once, where columns are named as keys."""
    file_size: int | None = None
    """Bytes of a file of the output, about: smaller parts that are neighbours become one file; 0: none do. None: 128
    MiB; in object storage none do, since each part would be fetched for that."""
    price_per_hour: float | None = None
    """Of this machine, in any currency, for the cost in the report; None: no cost is told."""
    max_dead_letters: int | None = None
    """Events without an answer that a run of a stream may have; None: any number, once one has one; 100 before."""
    max_line_bytes: int = 2**20
    """Of one event of a stream; longer ones end without an answer."""
    commit_interval_s: float = 0.25
    """Longest time between an answer of a stream and its commit."""
    metrics_file: str | None = None
    """Where a job or a stream writes its metrics while it runs, for Prometheus; None: nowhere."""


_SECRETS = frozenset(("token",))
"""Variables that are no settings, since settings are shown. Who needs one reads it by itself."""

SettingsT = TypeVar("SettingsT", ModelSettings, ServerSettings, JobSettings)


@dataclass(frozen=True, slots=True)
class Resolved(Generic[SettingsT]):
    """Settings, and where each value came from ("--flag", "FORETELL_X", a file, "default")."""

    settings: SettingsT
    origins: Mapping[str, str]


@dataclass(frozen=True, slots=True)
class Layer:
    """Values from one place. `origin` is what `foretell config` shows."""

    origin: str
    values: Mapping[str, Any] = field(default_factory=dict)


def resolve(cls: type[SettingsT], layers: Sequence[Layer]) -> Resolved[SettingsT]:
    """Merges `layers`, first wins. Raises `InvalidSetting` for an unknown key, a value that cannot hold, and a setting
    that another one leaves nothing to do."""
    values, origins = _merged(cls, layers)
    settings = cls(**values)
    check_idle(settings, cls(), origins)
    return Resolved(settings, origins)


def check_layer(cls: type[SettingsT], layer: Layer) -> None:
    """Raises `InvalidSetting` for an unknown key or a value that cannot hold, whatever other layers say."""
    _merged(cls, [layer])


def _merged(cls: type[Any], layers: Sequence[Layer]) -> tuple[dict[str, Any], dict[str, str]]:
    known = {f.name for f in dataclasses.fields(cls)}
    values: dict[str, Any] = {}
    origins = dict.fromkeys(known, "default")
    for layer in layers:
        for key, value in layer.values.items():
            if key not in known:
                raise InvalidSetting(f"unknown setting {key!r}", where=layer.origin, fix=nearest(key, known))
            if key not in values:
                values[key], origins[key] = converted(cls, key, value, layer.origin), layer.origin
    check_values(values, origins)
    return values, origins


def settings(cls: type[SettingsT], origin: str = "options", /, **values: Any) -> SettingsT:
    """Settings of one layer, checked like any other."""
    return resolve(cls, [Layer(origin, values)]).settings


def environment(cls: type[SettingsT], environ: Mapping[str, str]) -> list[Layer]:
    """The `FORETELL_*` variables that belong to `cls`, each a layer of its own so that errors name it.

    A variable that belongs to no settings class is an error.
    """
    known = {f.name for f in dataclasses.fields(cls)}
    every = {f.name for kind in (ModelSettings, ServerSettings, JobSettings) for f in dataclasses.fields(kind)}
    layers = []
    for name, text in sorted(environ.items()):
        key = name.removeprefix(ENV_PREFIX).lower()
        if not name.startswith(ENV_PREFIX) or key in _SECRETS:
            continue
        if key in known:
            layers.append(Layer(name, {key: text}))
        elif key not in every:
            hint = nearest(key.upper(), {setting.upper() for setting in every})
            hint = hint.replace("did you mean '", f"did you mean '{ENV_PREFIX}")
            raise InvalidSetting(f"unknown setting {name}", where="environment", fix=hint)
    return layers


def toml_layer(path: Path, section: str | None = None) -> Layer:
    """The settings of a TOML file, or of one table in it; a file that is not there is an empty layer.

    Raises `InvalidSetting` for one that cannot be read, as a link to nowhere.
    """
    if not os.path.lexists(path):
        return Layer(str(path))
    import tomllib

    try:
        table = tomllib.loads(path.read_text("utf-8"))
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise InvalidSetting(f"not valid TOML: {error}", where=str(path)) from error
    except OSError as error:
        raise InvalidSetting(f"cannot be read: {error.strerror}", where=str(path)) from error
    if section is None:
        return Layer(str(path), table)
    unknown = set(table) - {"model", "server", "job"}
    if unknown:
        name = sorted(unknown)[0]
        raise InvalidSetting(f"unknown table [{name}]", where=str(path), fix=nearest(name, {"model", "server", "job"}))
    values = table.get(section, {})
    if not isinstance(values, dict):
        raise InvalidSetting(f"{section} is not a table", where=str(path), expected=f"[{section}]", got=repr(values))
    return Layer(f"{path} [{section}]", values)
