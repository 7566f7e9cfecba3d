"""An ONNX Runtime session as the settings ask for it; nothing is taken silently instead."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from foretell.backends.cpu import cpu_precisions
from foretell.backends.onnx.errors import clean, load_error
from foretell.backends.onnx.quiet import onnxruntime
from foretell.backends.onnx_format.file import OnnxFile
from foretell.config import ModelSettings
from foretell.cores import usable_cores
from foretell.errors import InvalidSetting, Unavailable, nearest

PASSES = ("graph_optimization", "kernel_fusion")
QUANTIZATION = "quantization"
_PROVIDERS = {"cpu": "CPUExecutionProvider", "cuda": "CUDAExecutionProvider"}
_TENSORRT = "TensorrtExecutionProvider"
_FATAL_ONLY = 4
_QUANTIZED = frozenset({"int8"})
"""Precisions that ONNX Runtime itself makes of fp32; the others are OpenVINO's."""


@dataclass(frozen=True, slots=True)
class Session:
    """A session, and how its calls are made without the checks of Python, see `run_of`."""

    runtime: Any
    run: Callable[[list[str], Mapping[str, Any], None], Sequence[Any]]


def passes_of(settings: ModelSettings) -> tuple[str, ...]:
    """The runtime's passes that will be applied, in order. Raises `InvalidSetting` for one that does not exist.

    Beside them stands `QUANTIZATION`; where it stands alone, all of the runtime's are meant, too.
    """
    wanted = settings.optimizations
    if wanted is None or wanted == (QUANTIZATION,):
        return PASSES
    for name in wanted:
        if name not in (*PASSES, QUANTIZATION):
            expected = " and ".join((*PASSES, QUANTIZATION))
            fix = nearest(name, (*PASSES, QUANTIZATION))
            raise InvalidSetting(f"there is no optimisation {name!r} of ONNX models", expected=expected, fix=fix)
    if "kernel_fusion" in wanted:
        return PASSES  # the runtime fuses only what it has simplified
    return ("graph_optimization",) if wanted else ()


def check_precision(settings: ModelSettings, actual: str) -> None:
    """Raises `Unavailable` unless the precision asked for is the one the artefact has, or made of it here."""
    wanted = None if settings.precision is None else settings.precision.lower()
    if wanted in (None, actual) or (wanted == "int8" and actual == "fp32"):
        return
    fix = f"leave precision unset, or give a model exported in {settings.precision}"
    made = cpu_precisions() if actual == "fp32" and settings.devices == ("cpu",) else frozenset()
    here = [actual, *sorted(made & _QUANTIZED if settings.runtime else made)]
    raise Unavailable("the model has another precision", expected=", ".join(here), got=settings.precision, fix=fix)


def check_device(device: str, runtime: str | None = None) -> tuple[str, int]:
    """The runtime's provider and the number of the device. Raises `Unavailable` where this machine lacks it.

    `runtime`: "tensorrt" for NVIDIA's own compiler, of devices "cuda" only.
    """
    kind, _, number = device.partition(":")
    available = onnxruntime.get_available_providers()
    known = kind in _PROVIDERS and (not number or (kind != "cpu" and number.isascii() and number.isdigit()))
    if runtime == "tensorrt":
        _check_tensorrt(kind, available)
    if not known or _PROVIDERS[kind] not in available:
        here = ", ".join(name for name, provider in _PROVIDERS.items() if provider in available)
        what = f"device {device!r} is not there"
        fix = "install onnxruntime-gpu on a machine with an NVIDIA GPU" if known else ""
        raise Unavailable(what, expected=here, got=f"a runtime with {', '.join(available)}", fix=fix)
    return (_TENSORRT if runtime == "tensorrt" else _PROVIDERS[kind]), int(number or 0)


def open_session(source: Path | bytes, found: OnnxFile, settings: ModelSettings, device: str, where: str) -> Session:
    """`source`: the file, or what it holds. Raises `Unavailable` for a device that is not there or does not start,
    `InvalidModel` for the rest."""
    provider, number = check_device(device, settings.runtime)
    providers: list[Any] = [provider]
    if provider != _PROVIDERS["cpu"]:
        # What TensorRT does not take, CUDA computes.
        onto = dict.fromkeys((provider, _PROVIDERS["cuda"]))
        providers = [*((each, _options_of(each, number)) for each in onto), _PROVIDERS["cpu"]]
    try:
        given = source if isinstance(source, bytes) else str(source)
        session = onnxruntime.InferenceSession(given, _options(settings), providers=providers, enable_fallback=0)
    except Exception as error:
        if provider != _PROVIDERS["cpu"] and ("CUDA" in str(error) or "TensorRT" in str(error)):
            raise Unavailable(f"device {device!r} does not start: {clean(str(error))}") from error
        raise load_error(error, found, where) from error
    if provider not in session.get_providers():
        got = ", ".join(session.get_providers())
        fix = "check that the CUDA, cuDNN and TensorRT libraries fit onnxruntime-gpu"
        raise Unavailable(f"device {device!r} does not start", expected=provider, got=got, fix=fix)
    return Session(session, run_of(session))


def _options_of(provider: str, number: int) -> Mapping[str, str]:
    """Of a GPU. fp32 is computed in fp32: by itself CUDA takes TF32, of ten bits, where the processor has it."""
    device = {"device_id": str(number)}
    return device if provider == _TENSORRT else {**device, "use_tf32": "0"}


def _check_tensorrt(kind: str, available: Sequence[str]) -> None:
    if kind != "cuda":
        fix = "set device to cuda, or leave runtime out"
        raise Unavailable("runtime tensorrt computes on GPUs of NVIDIA only", got=f"device {kind!r}", fix=fix)
    if _TENSORRT not in available:
        fix = "install onnxruntime-gpu and TensorRT on a machine with an NVIDIA GPU"
        raise Unavailable("runtime tensorrt is not there", got=f"a runtime with {', '.join(available)}", fix=fix)


def run_of(session: Any) -> Callable[[list[str], Mapping[str, Any], None], Sequence[Any]]:
    """`session.run` without the checks that it makes in Python before every call.

    They are for values of other sessions, for names that are missing and for runtimes that fall back to another
    device, which `predict` has seen to or which `open_session` has turned off; on a small model they take as long as
    the model. Where the runtime keeps its own session elsewhere, its public method is what there is.
    """
    run: Callable[[list[str], Mapping[str, Any], None], Sequence[Any]]
    run = getattr(getattr(session, "_sess", None), "run", None) or session.run
    return run


def threads_of(settings: ModelSettings) -> int:
    """Inside a call."""
    return settings.shared_threads(usable_cores())


def _options(settings: ModelSettings) -> Any:
    options = onnxruntime.SessionOptions()
    level = onnxruntime.GraphOptimizationLevel
    options.graph_optimization_level = {
        (): level.ORT_DISABLE_ALL,
        PASSES[:1]: level.ORT_ENABLE_BASIC,
        PASSES: level.ORT_ENABLE_ALL,
    }[passes_of(settings)]
    options.intra_op_num_threads = threads_of(settings)
    options.inter_op_num_threads = 1
    options.execution_mode = onnxruntime.ExecutionMode.ORT_SEQUENTIAL
    # Threads that spin between calls take the cores from the server and from other models; within a call they help.
    options.add_session_config_entry("session.intra_op.allow_spinning", "1")
    options.add_session_config_entry("session.force_spinning_stop", "1")
    # What goes wrong is raised, and said once, by us.
    options.log_severity_level = _FATAL_ONLY
    return options
