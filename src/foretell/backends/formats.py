"""The kinds of artefact there are backends for: how each is known, and what opens it.

Nothing here imports a framework; a new backend adds its line to `FORMATS`.
"""

from __future__ import annotations

import importlib
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from foretell.backends.opened import Opened
    from foretell.config import ModelSettings

_HEAD_BYTES = 4096


@dataclass(frozen=True, slots=True)
class Format:
    """One kind of artefact: files with one of `suffixes`, or folders that hold one of the files `marks`.

    `opens`: "module:function" from a path and settings to `Opened`. `tell`: where other files have such a name too,
    bytes near the start of those that are models. `threads`: whether its runtime lets the setting `threads` decide.
    """

    framework: str
    opens: str
    suffixes: tuple[str, ...] = ()
    marks: tuple[str, ...] = ()
    tell: bytes = b""
    threads: bool = False

    def open(self, path: Path, settings: ModelSettings) -> Opened:
        """Raises what the backend raises: `InvalidModel`, `UnsafeModel`, `InvalidSetting`, `Unavailable`,
        `MissingExtra`."""
        module, _, name = self.opens.partition(":")
        function: Callable[[Path, ModelSettings], Opened] = getattr(importlib.import_module(module), name)
        return function(path, settings)


FORMATS = (
    Format("onnx", "foretell.backends.onnx_file:open_onnx", (".onnx",), threads=True),
    Format("openvino", "foretell.backends.openvino.opening:open_ir", (".xml",), tell=b"<net ", threads=True),
    Format("scikit-learn", "foretell.backends.sklearn.skops_file:open_skops", (".skops",)),
    Format("pytorch", "foretell.backends.torch.opening:open_torch", (".pt2", ".pt", ".pth"), threads=True),
    Format("pytorch", "foretell.backends.torch.opening:open_weights", (".safetensors",), threads=True),
    Format(
        "xgboost", "foretell.backends.xgboost.opening:open_xgboost", (".ubj", ".json"), tell=b"learner", threads=True
    ),
    Format(
        "lightgbm",
        "foretell.backends.lightgbm.opening:open_lightgbm",
        (".txt",),
        tell=b"\nmax_feature_idx=",
        threads=True,
    ),
    Format("catboost", "foretell.backends.catboost.opening:open_catboost", (".cbm",), threads=True),
    Format(
        "tensorflow", "foretell.backends.tensorflow.opening:open_saved_model", marks=("saved_model.pb",), threads=True
    ),
    Format("keras", "foretell.backends.keras.opening:open_keras", (".keras",)),
    Format("jax", "foretell.backends.jax.opening:open_jax", (".jax",)),
    Format(
        "sentence-transformers",
        "foretell.backends.huggingface.opening:open_sentences",
        marks=("modules.json",),
        threads=True,
    ),
    Format(
        "transformers",
        "foretell.backends.huggingface.opening:open_transformers",
        marks=("config.json",),
        tell=b'"model_type"',
        threads=True,
    ),
    Format("pickle", "foretell.backends.pickle_file:open_pickle", (".pkl", ".pickle", ".joblib")),
)
SUFFIXES = tuple(suffix for each in FORMATS for suffix in each.suffixes)


def format_of(path: Path) -> Format | None:
    """The format that the name of a file, or what a folder holds, says; None where there is none."""
    if path.is_dir():
        return next((each for each in FORMATS if any(_marks(path / mark, each.tell) for mark in each.marks)), None)
    suffix = path.suffix.lower()
    return next((each for each in FORMATS if suffix in each.suffixes), None)


def is_artefact(path: Path) -> bool:
    """Whether a file or folder that nobody has named is a model: its suffix alone may be anybody's.

    Raises `OSError` where it cannot be looked up.
    """
    found = format_of(path)
    if found is None or not found.tell or path.is_dir():
        return found is not None
    return _tells(path, found.tell)


def _marks(path: Path, tell: bytes) -> bool:
    return path.is_file() and (not tell or _tells(path, tell))


def _tells(path: Path, tell: bytes) -> bool:
    with path.open("rb") as file:
        return tell in file.read(_HEAD_BYTES)
