"""Where a PyTorch model computes, in which numbers, and on how many threads."""

from __future__ import annotations

import threading
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

import torch

from foretell.backends.torch.tensors import array_of
from foretell.columns import Array
from foretell.errors import InferenceError, ModelError, ReplicaLost, Unavailable

_START_ANEW = "try again; with executor = process, foretell starts another process by itself"
_PRECISIONS = {"fp32": torch.float32, "bf16": torch.bfloat16, "fp16": torch.float16}


def check_device(device: str) -> torch.device:
    """Raises `Unavailable` for a device that is not there."""
    kind, _, number = device.partition(":")
    here = ["cpu", *(f"cuda:{each}" for each in range(torch.cuda.device_count()))]
    known = kind in ("cpu", "cuda") and (not number or (kind == "cuda" and number.isascii() and number.isdigit()))
    wanted = "cpu" if kind == "cpu" else f"cuda:{int(number or 0)}" if known else device
    if not known or wanted not in here:
        got = f"PyTorch {torch.__version__} with {', '.join(here)}"
        fix = "install a build of torch for CUDA on a machine with an NVIDIA GPU" if kind == "cuda" else ""
        raise Unavailable(f"device {device!r} is not there", expected=" or ".join(here), got=got, fix=fix)
    return torch.device(wanted)


def precision_of(name: str | None, device: torch.device) -> torch.dtype | None:
    """The numbers that a precision means on `device`; None: as the model has them. Raises `Unavailable`."""
    if name is None:
        return None
    there = ["fp32", *(each for each in ("bf16", "fp16") if _has(each, device))]
    if name.lower() not in there:
        what = f"PyTorch does not compute in {name} on this {device.type}"
        raise Unavailable(what, expected=" or ".join(there), got=name, fix="leave precision unset")
    if name.lower() == "fp32" and device.type == "cuda":
        compute_whole()
    return _PRECISIONS[name.lower()]


def compute_whole() -> None:
    """fp32 on GPUs is fp32: by itself PyTorch takes TF32, of ten bits, for convolutions. Holds for all of the process,
    as PyTorch has it."""
    torch.backends.cudnn.allow_tf32 = torch.backends.cuda.matmul.allow_tf32 = False


def _has(precision: str, device: torch.device) -> bool:
    """Whether its units compute in it: what is only imitated is slower than float32."""
    if device.type == "cuda":
        with torch.cuda.device(device):
            return precision == "fp16" or torch.cuda.is_bf16_supported(including_emulation=False)
    if precision == "bf16":
        return bool(torch.cpu._is_avx512_bf16_supported() or torch.cpu._is_amx_tile_supported())
    return bool(getattr(torch.cpu, "_is_amx_fp16_supported", lambda: False)())


def bring(module: torch.nn.Module, place: torch.device) -> None:
    """Moves to `place` what the module holds, and what the graph of a program, or the code of TorchScript, makes while
    it runs: the device on which it was exported or traced is written into each step that makes a tensor, and into those
    that look at one; where TorchScript was frozen, its weights are, too."""
    for graph in [each for each in module.modules() if isinstance(each, torch.fx.GraphModule)]:
        for node in graph.graph.nodes:
            node.args, node.kwargs = torch.fx.node.map_aggregate(
                (node.args, node.kwargs), lambda value: place if isinstance(value, torch.device) else value
            )
        graph.recompile()
    for node in _constants(module):
        if isinstance(node.output().type(), torch.DeviceObjType):
            node.s_("value", str(place))
        elif isinstance(node.output().type(), torch.TensorType):
            node.t_("value", node.t("value").to(place))
    module.to(place)


def _constants(module: torch.nn.Module) -> Iterator[Any]:
    """Those with a value in the code of TorchScript, before its first call."""
    for script in [each._c for each in module.modules() if isinstance(each, torch.jit.ScriptModule)]:
        for name in script._method_names():
            nodes = script._get_method(name).graph.findAllNodes("prim::Constant")
            yield from (node for node in nodes if node.hasAttribute("value"))


def use_threads(number: int) -> None:
    """Of the calling thread, which PyTorch keeps apart from the others; asking is far cheaper than telling."""
    if torch.get_num_threads() != number:
        torch.set_num_threads(number)


class Carrier:
    """Brings tensors to a GPU and answers back: from pinned memory, on a stream of its own for each thread that calls,
    so that the copies of one call run beside the work of another. (PyTorch keeps memory for each stream.)"""

    def __init__(self, device: torch.device) -> None:
        self._device = device
        self._mine = threading.local()
        torch.cuda.synchronize(device)  # the weights were brought there on another stream

    def gone(self) -> bool:
        """Whether the GPU computes nothing more in this process: after a wrong address or a failed assertion in one of
        its programs, such as an index that is too large, it refuses whatever is asked until the process ends."""
        try:
            torch.cuda.synchronize(self._device)
        except RuntimeError:
            return True
        return False

    def run(self, call: Any, tensors: Iterable[torch.Tensor], named: Any) -> Mapping[str, Array]:
        stream = getattr(self._mine, "stream", None)
        if stream is None:
            stream = self._mine.stream = torch.cuda.Stream(self._device)
        with torch.cuda.device(self._device), torch.cuda.stream(stream):
            there = [tensor.pin_memory().to(self._device, non_blocking=True) for tensor in tensors]
            answers: dict[str, torch.Tensor] = named(call(*there))
            back = {name: self._back(tensor) for name, tensor in answers.items()}
        stream.synchronize()
        return {name: array_of(tensor, name) for name, tensor in back.items()}

    def _back(self, tensor: torch.Tensor) -> torch.Tensor:
        if tensor.device.type == "cpu":
            return tensor
        place = torch.empty(tensor.shape, dtype=tensor.dtype, pin_memory=True)
        return place.copy_(tensor, non_blocking=True)


def failure(error: Exception, said: str, carrier: Carrier | None, where: str) -> InferenceError:
    """What a failed call means. `said`: what PyTorch said of it, in a line. Raises `MemoryError` where memory was too
    small, of the processor or of a GPU."""
    if isinstance(error, torch.OutOfMemoryError) or "DefaultCPUAllocator" in str(error):
        raise MemoryError(said) from error
    if carrier is not None and carrier.gone():
        return ReplicaLost(f"its GPU computes nothing more in this process: {said}", where=where, fix=_START_ANEW)
    return ModelError(f"PyTorch failed: {said}", where=where)


def floats_of(tensors: Sequence[torch.Tensor]) -> torch.dtype | None:
    """The type of a model's weights."""
    return next((tensor.dtype for tensor in tensors if tensor.is_floating_point()), None)
