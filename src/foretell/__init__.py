"""One trained model, one answer: online, in batch and on a stream.

Importing this package imports no framework and no NumPy: each name below is imported when it is first used.
"""

import os
from importlib import import_module
from typing import TYPE_CHECKING

if os.name != "posix":
    raise ImportError("foretell runs on Linux and macOS, and on Windows in WSL 2; Windows itself has not what it needs")

if TYPE_CHECKING:
    from foretell.batch.library import score
    from foretell.columns import Batch, Bytes, Dense, Ragged
    from foretell.errors import (
        Cancelled,
        DeadlineExceeded,
        InferenceError,
        InvalidInput,
        InvalidModel,
        InvalidSetting,
        MissingExtra,
        ModelError,
        ModelNotFound,
        NotReady,
        OutOfMemory,
        Overloaded,
        ReplicaLost,
        RowError,
        TransientError,
        Unavailable,
        UnsafeModel,
    )
    from foretell.events.library import stream
    from foretell.model import Context, Model
    from foretell.optimize import optimize_for_inference
    from foretell.predictor import BasePredictor, Predictor
    from foretell.types import DataType, Identity, ModelSpec, TensorSpec

__version__ = "0.1.0"

__all__ = [
    "BasePredictor",
    "Batch",
    "Bytes",
    "Cancelled",
    "Context",
    "DataType",
    "DeadlineExceeded",
    "Dense",
    "Identity",
    "InferenceError",
    "InvalidInput",
    "InvalidModel",
    "InvalidSetting",
    "MissingExtra",
    "Model",
    "ModelError",
    "ModelNotFound",
    "ModelSpec",
    "NotReady",
    "OutOfMemory",
    "Overloaded",
    "Predictor",
    "Ragged",
    "ReplicaLost",
    "RowError",
    "TensorSpec",
    "TransientError",
    "Unavailable",
    "UnsafeModel",
    "__version__",
    "optimize_for_inference",
    "score",
    "stream",
]

_HOME = {
    "batch.library": ("score",),
    "events.library": ("stream",),
    "columns": ("Batch", "Bytes", "Dense", "Ragged"),
    "model": ("Context", "Model"),
    "optimize": ("optimize_for_inference",),
    "predictor": ("BasePredictor", "Predictor"),
    "types": ("DataType", "Identity", "ModelSpec", "TensorSpec"),
}


if not TYPE_CHECKING:  # else a type checker would take any name

    def __getattr__(name: str) -> object:
        if name not in __all__:
            raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
        home = next((module for module, names in _HOME.items() if name in names), "errors")
        value = globals()[name] = getattr(import_module(f"{__name__}.{home}"), name)
        return value


def __dir__() -> list[str]:
    return sorted(__all__)
