"""OpenVINO as the settings ask for it: one graph, compiled for calls on all threads, and for calls at the same time."""

from __future__ import annotations

import queue
import threading
from collections.abc import Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from foretell.backends.crowd import Crowd
from foretell.backends.openvino.errors import load_error
from foretell.backends.openvino.quiet import openvino
from foretell.columns import Array
from foretell.config import ModelSettings
from foretell.cores import usable_cores
from foretell.errors import Unavailable
from foretell.types import DataType

if TYPE_CHECKING:
    from collections.abc import Iterator

Ports = tuple[Sequence[tuple[str, DataType]], Sequence[tuple[str, DataType]]]
"""Names and types of the inputs and of the outputs, in order."""

_HINTS = {"fp32": "f32", "bf16": "bf16", "fp16": "f16", "int8": "f32"}
"""Of what a quantized graph leaves as it is, the last."""
_LABELS = ["model_info", "labels"]
_REQUESTS = 2
"""Of calls that share all threads, one computes, and the next has its numbers in place."""


def read_graph(path: Path, frontend: str) -> Any:
    """The model in the file. Raises `InvalidModel`.

    `frontend`: "ir" or "onnx". No other is asked: given the choice, OpenVINO tries every format it knows on the file.
    """
    try:
        reader = openvino.frontend.FrontEndManager().load_by_framework(frontend)
        # Mapped into memory, weights would change under a model that runs, or end its process, when their file does.
        return reader.convert(reader.load(str(path), enable_mmap=False))
    except Exception as error:
        raise load_error(error, str(path)) from error


def class_names(graph: Any) -> list[tuple[str, ...]]:
    """What an IR says its classes are called: in one text, with spaces between."""
    if not graph.has_rt_info(_LABELS):
        return []
    return [tuple(graph.get_rt_info(_LABELS).astype(str).split())]


def calls_of(
    graph: Any, settings: ModelSettings, precision: str, ports: Ports, where: str, *, again: bool
) -> Crowd[Calls]:
    """Calls of the graph, whose threads one call has to itself, or, where it may be compiled `again` when there are
    many, a thread each. Raises `InvalidModel`. `precision`: a key of `_HINTS`."""
    cores, threads = usable_cores(), settings.shared_threads(usable_cores())
    if settings.threads or threads == 1:  # as many threads for a call as somebody named, whatever happens beside it
        streams = max(1, cores // threads)
        model = _compiled(graph, threads, streams, precision, where)
        # On one processor OpenVINO keeps to itself what fails in the thread that calls it: the sizes of two inputs that
        # do not fit, say. What stands in the outputs then is the last answer, and it may write beyond its memory.
        apart = cores == 1 or threads * streams == 1
        return Crowd(Calls(model, ports, max(_REQUESTS, streams), apart=apart), calls_at_once=streams)
    wide = Calls(_compiled(graph, threads, 1, precision, where), ports, _REQUESTS)
    if not again:
        return Crowd(wide)

    def narrow() -> Calls:
        return Calls(_compiled(graph, 1, threads, precision, where), ports, threads)

    return Crowd(wide, narrow, calls_at_once=threads)


def _compiled(graph: Any, threads: int, streams: int, precision: str, where: str) -> Any:
    """`threads`: of each of `streams`, which compute at the same time.

    Raises `Unavailable` where the runtime would compute in another precision, as it does without a word.
    """
    options = {
        # Else it takes bf16 by itself where the processor has it, and answers change with the machine.
        "INFERENCE_PRECISION_HINT": _HINTS[precision],
        # Else it rounds what compressed weights are multiplied with to 8 bits.
        "DYNAMIC_QUANTIZATION_GROUP_SIZE": 0,
        "INFERENCE_NUM_THREADS": threads * streams,
        "NUM_STREAMS": streams,
        # Processes that share the machine would all pin their threads to the same cores.
        "ENABLE_CPU_PINNING": False,
    }
    try:
        compiled = openvino.Core().compile_model(graph, "CPU", options)
        got = compiled.get_property("INFERENCE_PRECISION_HINT").to_string()
    except Exception as error:
        raise load_error(error, where) from error
    if got != _HINTS[precision]:
        what, fix = f"OpenVINO does not compute in {precision} on this processor", "leave precision unset"
        raise Unavailable(what, where=where, expected=_HINTS[precision], got=got, fix=fix)
    return compiled


class Calls:
    """Calls of one compiled model from any number of threads, as many at a time as there may be requests."""

    def __init__(self, model: Any, ports: Ports, requests: int, *, apart: bool = False) -> None:
        """`apart`: in threads of the runtime's own, never in that of the caller."""
        self._model, (self._inputs, self._outputs), self._most = model, ports, requests
        self._apart = apart
        self._free: queue.SimpleQueue[Any] = queue.SimpleQueue()
        self._lock, self._made = threading.Lock(), 0

    def __call__(self, feeds: Mapping[str, Array]) -> dict[str, Array]:
        """Answers that nobody else writes to. Raises what the runtime raises."""
        with self._request() as request:
            for at, (name, datatype) in enumerate(self._inputs):
                request.set_input_tensor(at, _tensor(feeds[name], datatype))
            if self._apart:
                request.start_async()
                request.wait()
            else:
                request.infer()
            answers = enumerate(self._outputs)
            return {name: _array(request.get_output_tensor(at), kind) for at, (name, kind) in answers}

    @contextmanager
    def _request(self) -> Iterator[Any]:
        request = self._taken()
        try:
            yield request
        finally:
            self._free.put(request)

    def _taken(self) -> Any:
        try:
            return self._free.get_nowait()
        except queue.Empty:
            pass
        with self._lock:
            if self._made < self._most:
                request = self._model.create_infer_request()
                self._made += 1
                return request
        return self._free.get()


def _tensor(data: Array, datatype: DataType) -> Any:
    """The array itself, which stays alive as long as the tensor; a copy of one that may not be written to, which
    OpenVINO does not share though it would only read it."""
    if datatype is DataType.BF16:
        return openvino.Tensor(data, data.shape, openvino.Type.bf16)
    return openvino.Tensor(data, shared_memory=data.flags.writeable)


def _array(tensor: Any, datatype: DataType) -> Array:
    """A copy: the memory is the request's, which writes its next answer there."""
    found = np.array(tensor.data)
    return found.view(np.uint16) if datatype is DataType.BF16 else found
