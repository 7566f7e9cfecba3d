"""One order of adding up in the matrix products of the CPU, whatever the place of a row in memory.

MKL chooses by the alignment of each row, so that two equal rows of one call may differ in their last bit. Its mode of
"conditional numerical reproducibility" does not (Intel oneMKL Developer Guide, "Obtaining Numerically Reproducible
Results"). It has to be chosen before the first product of the process.
"""

from __future__ import annotations

import ctypes
from pathlib import Path

import torch

from foretell.errors import Unavailable

_BRANCH, _OFF, _AUTO = 1, 1, 2  # MKL_CBWR_BRANCH, MKL_CBWR_BRANCH_OFF, MKL_CBWR_AUTO of mkl_types.h
_LIBRARIES = ("libtorch_cpu.so", "torch_cpu.dll")


def fix_order(where: str) -> None:
    """Raises `Unavailable` where this process has computed already in another order. Without MKL nothing is done."""
    library = _mkl()
    if library is None or library.mkl_serv_cbwr_get(_BRANCH) != _OFF:
        return
    if library.mkl_serv_cbwr_set(_AUTO) != 0:
        what = "batch_invariant has to be chosen before PyTorch computes anything in this process"
        fix = (
            "start Python with MKL_CBWR=AUTO in the environment, or name the model by its file with executor='process'"
        )
        raise Unavailable(what, where=where, fix=fix)


def _mkl() -> ctypes.CDLL | None:
    folder = Path(torch.__file__).parent / "lib"
    path = next((folder / name for name in _LIBRARIES if (folder / name).is_file()), None)
    if path is None or not torch.backends.mkl.is_available():
        return None
    library = ctypes.CDLL(str(path))
    return library if hasattr(library, "mkl_serv_cbwr_set") else None
