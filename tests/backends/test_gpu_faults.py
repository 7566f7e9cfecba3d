"""A GPU that computes nothing more: the replica is lost, whatever row it was. No GPU is needed to see most of that."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable

import pytest
import torch

from foretell.backends.onnx.errors import run_error
from foretell.backends.torch.device import Carrier, failure
from foretell.errors import InferenceError, ModelError, ReplicaLost

_SAID = "CUDA failure {}: {} ; GPU=0 ; hostname=worker-7 ; file=/build/cuda/gpu_data_transfer.cc ; line=63 ; expr=x"


@pytest.mark.parametrize(
    ("code", "said", "kind"),
    [
        (700, "an illegal memory access was encountered", ReplicaLost),
        (710, "device-side assert triggered", ReplicaLost),
        (719, "unspecified launch failure", ReplicaLost),
        (2, "out of memory", ModelError),
        (1, "invalid argument", ModelError),
    ],
)
def test_onnx_runtime_tells_what_ends_a_gpu_by_its_number(code: int, said: str, kind: type[InferenceError]) -> None:
    text = f"[ONNXRuntimeError] : 1 : FAIL : {_SAID.format(code, said)}"
    error = run_error(RuntimeError(text), "net")
    assert type(error) is kind
    assert said in str(error)
    for inside in ("worker-7", "gpu_data_transfer", "expr="):
        assert inside not in str(error)


def carrier_of(monkeypatch: pytest.MonkeyPatch, synchronize: Callable[[object], None]) -> Carrier:
    """Of a GPU that is not there: what it says to whoever waits for it is told."""
    with monkeypatch.context() as only_here:
        only_here.setattr(torch.cuda, "synchronize", lambda _: None)
        carrier = Carrier(torch.device("cuda:0"))
    monkeypatch.setattr(torch.cuda, "synchronize", synchronize)
    return carrier


def test_pytorch_is_asked_whether_the_gpu_still_answers(monkeypatch: pytest.MonkeyPatch) -> None:
    def dead(_: object) -> None:
        raise torch.AcceleratorError("CUDA error: device-side assert triggered")

    error = RuntimeError("CUDA error: device-side assert triggered")
    lost = failure(error, str(error), carrier_of(monkeypatch, dead), "net")
    assert type(lost) is ReplicaLost
    assert "device-side assert" in lost.what
    alive = failure(RuntimeError("shapes differ"), "shapes differ", carrier_of(monkeypatch, lambda _: None), "net")
    assert type(alive) is ModelError
    assert type(failure(error, str(error), None, "net")) is ModelError


def test_memory_that_is_too_small_is_no_lost_gpu(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(MemoryError, match="tried to allocate"):
        failure(
            torch.OutOfMemoryError("..."), "tried to allocate 2 GiB", carrier_of(monkeypatch, lambda _: None), "net"
        )


_INDEX = """
import numpy as np, torch
from foretell import Predictor
from foretell.errors import ReplicaLost

with Predictor(torch.nn.Embedding(4, 2).eval(), device="cuda", example=np.zeros(2, np.int64)) as predictor:
    for index in (9, 1):
        try:
            predictor.predict(np.array([index, 0]))
        except ReplicaLost:
            print("lost")
"""


@pytest.mark.skipif(not torch.cuda.is_available(), reason="there is no GPU here")
def test_an_index_that_is_too_large_ends_a_gpu() -> None:
    """In a process of its own: no other test could use the GPU after it."""
    done = subprocess.run([sys.executable, "-c", _INDEX], capture_output=True, text=True, check=False, timeout=120)
    assert done.stdout.split() == ["lost", "lost"], done.stderr


_WHOLE = """
import torch
from foretell.backends.torch import device

device._has = lambda precision, place: True  # asks a GPU, which is not there
told = []
for name in (None, "bf16", "fp32"):
    device.precision_of(name, torch.device("cuda:0"))
    told += [torch.backends.cudnn.allow_tf32]
print(*told, torch.backends.cuda.matmul.allow_tf32)
"""


def test_fp32_of_pytorch_on_a_gpu_has_all_of_its_bits() -> None:
    """A setting of the process, so in one of its own."""
    done = subprocess.run([sys.executable, "-c", _WHOLE], capture_output=True, text=True, check=False, timeout=120)
    assert done.stdout.split() == ["True", "True", "False", "False"], done.stderr
