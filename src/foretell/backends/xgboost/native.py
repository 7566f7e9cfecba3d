"""One call of XGBoost's C interface. Its Python one takes twice as long for a row, most of it before the call.

See `XGBoosterPredictFromDense` in https://xgboost.readthedocs.io/en/stable/c.html.
"""

from __future__ import annotations

import ctypes
import json
import math
from typing import Any

import numpy as np

from foretell.columns import Array

_CALL: tuple[Any, ...] = (ctypes.c_void_p, ctypes.c_char_p, ctypes.c_char_p, *[ctypes.c_void_p] * 4)


class Predict:
    """Answers of a Booster [rows] or [rows, groups] to FP32 rows [rows, features]; from any thread.

    `missing`: the value that means that there is none, beside NaN. `stop`: iterations to use, 0 for all. `margin`: what
    the trees add up to, before the objective's last step.
    """

    def __init__(self, booster: Any, *, missing: float, stop: int, margin: bool) -> None:
        from xgboost.libpath import find_lib_path

        library = ctypes.CDLL(find_lib_path()[0])
        self._run, self._error = library.XGBoosterPredictFromDense, library.XGBGetLastError
        self._run.argtypes = _CALL
        self._error.restype = ctypes.c_char_p
        self._booster = booster  # which closes its handle when it goes
        told = {"type": int(margin), "training": False, "iteration_begin": 0, "iteration_end": stop, "missing": missing,
                "strict_shape": False, "cache_id": 0}  # fmt: skip
        self._options = json.dumps(told).encode()

    def __call__(self, rows: Array) -> Array:
        """Raises `ValueError` with what the library says."""
        shape, dims, values = ctypes.POINTER(ctypes.c_uint64)(), ctypes.c_uint64(), ctypes.POINTER(ctypes.c_float)()
        data = {"data": [rows.ctypes.data, True], "shape": list(rows.shape), "typestr": rows.dtype.str, "version": 3}
        failed = self._run(
            self._booster.handle,
            json.dumps(data).encode(),
            self._options,
            None,
            ctypes.byref(shape),
            ctypes.byref(dims),
            ctypes.byref(values),
        )
        if failed:
            raise ValueError(first_line(self._error().decode("utf-8", "replace")))
        sizes = shape[: dims.value]
        found = np.empty(sizes, np.float32)
        ctypes.memmove(found.ctypes.data, values, 4 * math.prod(sizes))
        return found


def first_line(text: str) -> str:
    """What XGBoost says, without the time and the place in its source."""
    line = text.strip().partition("\n")[0]
    return line.split(": ", 1)[-1] if line.startswith("[") else line
