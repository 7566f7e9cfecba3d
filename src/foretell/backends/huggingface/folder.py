"""What a folder of Hugging Face holds, read before its libraries see it: nothing in it may bring code."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from foretell.errors import InvalidModel, UnsafeModel

_MOST_BYTES = 16 * 2**20
_WEIGHTS = ("model.safetensors", "model.safetensors.index.json")
_PICKLES = ("pytorch_model.bin", "pytorch_model.bin.index.json", "tf_model.h5", "flax_model.msgpack")
_OWN = "sentence_transformers."

TASKS = ("text-classification", "feature-extraction", "image-classification")
_BY_ENDING = (
    ("ForSequenceClassification", "text-classification"),
    ("ForImageClassification", "image-classification"),
)


def check_folder(path: Path) -> Mapping[str, Any]:
    """The `config.json` of a folder whose weights are plain tensors.

    Raises `UnsafeModel` for code that the folder brings and for weights in a pickle, `InvalidModel` for half a folder.
    """
    config = _json(path / "config.json")
    if not isinstance(config, dict) or not isinstance(config.get("model_type"), str):
        raise InvalidModel("its config.json names no model_type", where=str(path), fix="save it with save_pretrained")
    for name in ("config.json", "tokenizer_config.json", "preprocessor_config.json"):
        found = _json(path / name) if (path / name).is_file() else {}
        if isinstance(found, dict) and found.get("auto_map"):
            fix = "have the code in a package of yours, and give the model as module:Class"
            raise UnsafeModel(f"its {name} names code that would be run", where=str(path), got="auto_map", fix=fix)
    if not any((path / name).is_file() for name in _WEIGHTS):
        pickles = [name for name in _PICKLES if (path / name).is_file()]
        if pickles:
            fix = "save it with save_pretrained, whose weights are .safetensors"
            raise UnsafeModel("its weights are no .safetensors", where=str(path), got=pickles[0], fix=fix)
        raise InvalidModel("the folder holds no weights", where=str(path), expected=_WEIGHTS[0])
    return config


def check_modules(path: Path) -> None:
    """The steps of a sentence encoder are those of the library. Raises `UnsafeModel` and `InvalidModel`."""
    modules = _json(path / "modules.json")
    if not isinstance(modules, list) or not modules:
        raise InvalidModel("its modules.json lists no steps", where=str(path))
    for module in modules:
        kind = module.get("type") if isinstance(module, dict) else None
        folder = module.get("path", "") if isinstance(module, dict) else ""
        if not isinstance(kind, str) or not kind.startswith(_OWN):
            fix = "use the steps that sentence-transformers has"
            raise UnsafeModel("one of its steps is code from elsewhere", where=str(path), got=repr(kind)[:80], fix=fix)
        if not isinstance(folder, str) or Path(folder).is_absolute() or ".." in Path(folder).parts:
            raise UnsafeModel("one of its steps lies outside", where=str(path), got=repr(folder)[:80])


def task_of(config: Mapping[str, Any], wanted: str | None, where: str) -> str:
    """What the model is for: what is `wanted`, or what its architecture says. Raises `InvalidModel`."""
    if wanted is not None:
        if wanted not in TASKS:
            raise InvalidModel(
                "this task is none that foretell has", where=where, expected=", ".join(TASKS), got=wanted
            )
        return wanted
    architectures = config.get("architectures")
    names: Sequence[Any] = architectures if isinstance(architectures, list) else ()
    for name in names:
        for ending, task in _BY_ENDING:
            if str(name).endswith(ending):
                return task
    if all(str(name).endswith("Model") for name in names):
        return "feature-extraction"
    got = ", ".join(map(str, names))
    raise InvalidModel("what it is for is not known", where=where, got=got, fix=f"name it: --task {' or '.join(TASKS)}")


def _json(path: Path) -> Any:
    try:
        with path.open("rb") as file:
            data = file.read(_MOST_BYTES + 1)
        if len(data) > _MOST_BYTES:
            raise InvalidModel("the file is too large", where=str(path), expected=f"at most {_MOST_BYTES} bytes")
        return json.loads(data)
    except OSError as error:
        raise InvalidModel("the file cannot be read", where=str(path), got=error.strerror or error) from error
    except (ValueError, RecursionError) as error:
        raise InvalidModel(f"no JSON: {error}", where=str(path)) from error
