"""What a folder of Hugging Face holds, read before its libraries see it: nothing in it may bring code."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from foretell.errors import InvalidModel, UnsafeModel

_MOST_BYTES = 16 * 2**20
_WEIGHTS = ("model.safetensors", "model.safetensors.index.json")
_PICKLES = ("pytorch_model.bin", "pytorch_model.bin.index.json", "tf_model.h5", "flax_model.msgpack")
_OWN = "sentence_transformers."

STATIC = "StaticEmbedding"
_ENCODER, _CROSS_ENCODER = "SentenceTransformer", "CrossEncoder"

RANKING, ENTITIES = "text-ranking", "token-classification"
TASKS = (
    "text-classification", RANKING, ENTITIES, "feature-extraction", "image-classification", "image-feature-extraction",
)  # fmt: skip
_OTHERS = " or ".join(TASKS)
_BY_PART = (
    ("ForSequenceClassification", "text-classification"),
    ("ForTokenClassification", ENTITIES),
    ("ForImageClassification", "image-classification"),
)
_OF_CROSS_ENCODERS = ("sentence_transformers", "sbert_ce_default_activation_function")
"""Settings that older releases of sentence-transformers have left in the configuration of the network."""
_WORDS = ("tokenizer.json", "tokenizer_config.json", "vocab.txt", "vocab.json", "spiece.model")


def check_folder(path: Path) -> Mapping[str, Any]:
    """The `config.json` of a folder whose weights are plain tensors.

    Raises `UnsafeModel` for code that the folder brings and for weights in a pickle, `InvalidModel` for half a folder.
    """
    config = _json(path / "config.json")
    if not isinstance(config, dict) or not isinstance(config.get("model_type"), str):
        raise InvalidModel("its config.json names no model_type", where=str(path), fix="save it with save_pretrained")
    for name in ("config.json", "tokenizer_config.json", "preprocessor_config.json", "processor_config.json"):
        if _told(path, name).get("auto_map"):
            fix = "have the code in a package of yours, and give the model as module:Class"
            raise UnsafeModel(f"its {name} names code that would be run", where=str(path), got="auto_map", fix=fix)
    if not any((path / name).is_file() for name in _WEIGHTS):
        pickles = [name for name in _PICKLES if (path / name).is_file()]
        if pickles:
            fix = "save it with save_pretrained, whose weights are .safetensors"
            raise UnsafeModel("its weights are no .safetensors", where=str(path), got=pickles[0], fix=fix)
        graphs = [*path.glob("*.onnx"), *path.glob("onnx/*.onnx")]
        fix = f"give the path of {graphs[0].name}, which takes tokens" if graphs else ""
        raise InvalidModel("the folder holds no weights", where=str(path), expected=_WEIGHTS[0], fix=fix)
    return config


def check_modules(path: Path) -> None:
    """The steps of an encoder are those of the library. Raises `UnsafeModel` and `InvalidModel`."""
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
    told = _sentences(path).get("model_type", _ENCODER)
    if told not in (_ENCODER, _CROSS_ENCODER):
        what = "it is no encoder that gives one vector for a text, nor one number for two"
        raise InvalidModel(what, where=str(path), expected=f"{_ENCODER} or {_CROSS_ENCODER}", got=str(told)[:80])
    for module in modules:
        if module["type"].endswith(".Dense"):
            _check_activation(path / module.get("path", ""))
    first, where = str(modules[0]["type"]).rpartition(".")[2], modules[0].get("path", "")
    if first == STATIC:
        check_static(path / where)
    elif first != "Transformer" or where:
        what = "its first step is neither a transformer whose files stand in the folder itself, nor static embeddings"
        fix = "serve it from a Python class" if first != "Transformer" else "save it anew with sentence-transformers"
        raise InvalidModel(what, where=str(path), got=f"{first} in {where or 'the folder itself'!r}", fix=fix)
    if told == _CROSS_ENCODER and len(modules) > 1:
        what, got = "its network is followed by steps of its own", str(modules[1]["type"])[:80]
        raise InvalidModel(what, where=str(path), expected="a network that gives the score itself", got=got)


def check_static(step: Path) -> None:
    """Static embeddings are plain tensors and a tokenizer. Raises `UnsafeModel` and `InvalidModel`."""
    if not (step / _WEIGHTS[0]).is_file():
        if (step / _PICKLES[0]).is_file():
            fix = "save it anew with sentence-transformers"
            raise UnsafeModel("its weights are no .safetensors", where=str(step), got=_PICKLES[0], fix=fix)
        raise InvalidModel("the folder holds no weights", where=str(step), expected=_WEIGHTS[0])
    if not (step / "tokenizer.json").is_file():
        raise InvalidModel("the folder holds no tokenizer", where=str(step), expected="tokenizer.json")


def is_static(path: Path) -> bool:
    """Whether an encoder whose steps were checked begins with static embeddings."""
    return str(_json(path / "modules.json")[0]["type"]).endswith(f".{STATIC}")


def is_cross_encoder(path: Path) -> bool:
    """Whether sentence-transformers has saved it as one that takes two texts."""
    return (path / "modules.json").is_file() and _sentences(path).get("model_type") == _CROSS_ENCODER


def activation_of(config: Mapping[str, Any], path: Path) -> str:
    """What makes the score of a cross-encoder out of its network's number: "Sigmoid" or "Identity". Raises
    `InvalidModel` for others, and for texts that would have to stand before each."""
    saved = _sentences(path)
    if saved.get("default_prompt_name"):
        what = "a prompt stands before its texts, which foretell would leave out"
        raise InvalidModel(what, where=str(path), got=str(saved["default_prompt_name"])[:80])
    within, older = (config.get(name) for name in _OF_CROSS_ENCODERS)
    said = saved.get("activation_fn") or (within.get("activation_fn") if isinstance(within, dict) else older)
    name = str(said or "Sigmoid").rpartition(".")[2]
    if name not in ("Sigmoid", "Identity"):
        what = "its activation is none that foretell has"
        raise InvalidModel(what, where=str(path), expected="Sigmoid or Identity", got=str(said)[:80])
    return name


def _check_activation(step: Path) -> None:
    """The library replaces a function that it does not trust, and so would answer something else."""
    found = _told(step, "config.json").get("activation_function", "torch.")
    if not isinstance(found, str) or not found.startswith("torch."):
        what, expected = "one of its steps uses a function from elsewhere", "one of torch"
        raise UnsafeModel(what, where=str(step), expected=expected, got=repr(found)[:80])


def task_of(config: Mapping[str, Any], wanted: str | None, path: Path) -> str:
    """What the model is for: what is `wanted`, or what its settings and its architecture say. Raises `InvalidModel`."""
    where = str(path)
    if wanted is not None:
        if wanted not in TASKS:
            raise InvalidModel(
                "this task is none that foretell has", where=where, expected=", ".join(TASKS), got=wanted
            )
        return wanted
    if is_cross_encoder(path) or any(name in config for name in _OF_CROSS_ENCODERS):
        return RANKING
    architectures = config.get("architectures")
    names = [str(name) for name in architectures] if isinstance(architectures, list) else []
    for name in names:
        for part, task in _BY_PART:
            if part in name:
                return task
    if all(name.endswith("Model") and not name.endswith("HeadModel") for name in names):
        pictures = (path / "preprocessor_config.json").is_file() and not any((path / n).is_file() for n in _WORDS)
        return "image-feature-extraction" if pictures else "feature-extraction"
    fix = (
        f"export it to ONNX, or serve it from a Python class; weights for another task are asked with --task {_OTHERS}"
    )
    raise InvalidModel("foretell has no task for its head", where=where, got=", ".join(names), fix=fix)


def _sentences(folder: Path) -> Mapping[str, Any]:
    return _told(folder, "config_sentence_transformers.json")


def _told(folder: Path, name: str) -> Mapping[str, Any]:
    """What a file of settings says, if it is there."""
    found = _json(folder / name) if (folder / name).is_file() else {}
    return found if isinstance(found, dict) else {}


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
