"""Which backend takes a live object."""

from __future__ import annotations

import importlib
from functools import partial
from typing import Any

from foretell.backends.model_settings import refuse_tuning
from foretell.backends.opened import Opened
from foretell.backends.python.callable_model import CallableModel
from foretell.backends.python.signature import required
from foretell.backends.python.source import Found
from foretell.config import ModelSettings
from foretell.errors import InvalidModel, InvalidSetting
from foretell.model import Model

_REFUSED = {
    "onnxruntime": ("a session does not give its model back", "give the path of the .onnx file"),
    "onnx": ("an ONNX model in memory is not opened", "save it, and give the path of the .onnx file"),
    "tensorflow": ("an object of TensorFlow is no file", "save it by tf.saved_model.save, and give the folder"),
}

_LIVE = {
    "torch": ("pytorch", "foretell.backends.torch.module:live_model"),
    "xgboost": ("xgboost", "foretell.backends.xgboost.opening:live_xgboost"),
    "lightgbm": ("lightgbm", "foretell.backends.lightgbm.opening:live_lightgbm"),
    "catboost": ("catboost", "foretell.backends.catboost.opening:live_catboost"),
    "keras": ("keras", "foretell.backends.keras.opening:live_keras"),
}
"""By package: what its models are called, and "module:function" that makes a model of a live object of it, from the
object, the settings, where it comes from, and rows as an example."""
_FINAL = {"xgboost", "lightgbm", "catboost"}
"""Packages whose classes are taken as they are: what a class of somebody's own makes of them, it has to answer."""
_ACCEPTED = (
    "a path, 'module:name', a foretell.Model, a fitted scikit-learn estimator, a model of "
    f"{', '.join(_LIVE)}, a callable over arrays, or an object with predict"
)


def open_object(
    value: object,
    settings: ModelSettings,
    *,
    example: object = None,
    found: Found | None = None,
    source: str = "",
) -> Opened:
    """Opens a live object, or one that `python_source` found. Raises `InvalidModel` for what is no model."""
    if settings.sha256 is not None:
        raise InvalidSetting("sha256 belongs to a file", got=source or f"a live {type(value).__name__}")
    name = found.name if found is not None else _name(value)
    where = source or name
    model, framework = _model(value, name, where, settings, example)
    return Opened(
        model=model,
        name=name,
        digest=found.digest if found is not None else "",
        source=source or f"live object {name}",
        framework=framework,
        size_bytes=found.size_bytes if found is not None else None,
        passes=(),
    )


def is_estimator(value: object) -> bool:
    """Whether a class of scikit-learn is among its ancestors; asks without importing scikit-learn."""
    return "sklearn" in _frameworks(type(value))


def _model(value: object, name: str, where: str, settings: ModelSettings, example: object) -> tuple[Model, str]:
    if isinstance(value, type) and (issubclass(value, Model) or hasattr(value, "__foretell_model__")):
        value = _instance(value, where)
    hook = getattr(value, "__foretell_model__", None)
    if callable(hook) and not isinstance(value, type):
        value = hook(settings)
        if not isinstance(value, Model):
            expected, got = "a foretell.Model", type(value).__name__
            raise InvalidModel("its __foretell_model__ gave no model", where=where, expected=expected, got=got)
        return value, getattr(value, "framework", "python")
    if isinstance(value, Model):
        refuse_tuning(settings, "a Model of your own")
        if settings.batch is not None or settings.pad is not None:
            raise InvalidSetting("batch and pad of a Model stand in its spec", where=where, fix="change the spec")
        return value, "python"
    _check_kind(value, where)
    if (package := _package(value)) is not None:
        framework, place = _LIVE[package]
        module, _, name_of_function = place.partition(":")
        return getattr(importlib.import_module(module), name_of_function)(value, settings, where, example), framework
    if is_estimator(value):
        from foretell.backends.sklearn.model import SklearnModel

        return SklearnModel.live(value, settings, where), "scikit-learn"
    refuse_tuning(settings, "a Python model")
    return CallableModel(value, name, settings, example=example), "python"


def _check_kind(value: object, where: str) -> None:
    """Raises `InvalidModel` for everything but an estimator, a callable, an object with `predict` or such a class."""
    kind = value if isinstance(value, type) else type(value)
    frameworks = _frameworks(kind)
    if isinstance(value, type):
        if "sklearn" in frameworks:
            raise InvalidModel(f"{kind.__name__} is a class", where=where, expected="a fitted estimator")
        if not _has_method(value) and "__call__" not in dir(value):
            raise InvalidModel("the class has no method predict", where=where, expected="predict(self, ...)")
        if needed := required(value):
            fix = "give them defaults, or name an object of the class"
            raise InvalidModel("its constructor needs arguments", where=where, got=", ".join(needed), fix=fix)
    elif "sklearn" in frameworks or _package(value) is not None:
        return
    for framework in frameworks:
        if framework in _REFUSED:
            what, fix = _REFUSED[framework]
            raise InvalidModel(what, where=where, got=f"{kind.__module__}.{kind.__qualname__}", fix=fix)
    if not callable(value) and not _has_method(value):
        raise InvalidModel("this is no model", where=where, expected=_ACCEPTED, got=type(value).__name__)


def _package(value: object) -> str | None:
    """The package whose backend takes this object: of the classes it descends from, the nearest one's."""
    if isinstance(value, type):
        return None
    packages = [ancestor.__module__.partition(".")[0] for ancestor in type(value).__mro__]
    found = next((package for package in packages if package in _LIVE), None)
    return None if found in _FINAL and packages[0] != found else found


def _has_method(value: object) -> bool:
    return any(callable(getattr(value, name, None)) for name in ("predict", "stream"))


def _frameworks(kind: type) -> set[str]:
    return {ancestor.__module__.partition(".")[0] for ancestor in kind.__mro__}


def _instance(kind: type, where: str) -> Any:
    try:
        return kind()
    except Exception as error:
        text = f"instantiating it failed with {type(error).__name__}: {error}"
        raise InvalidModel(text, where=where, fix="give it a constructor without arguments, or an object") from error


def _name(value: object) -> str:
    while isinstance(value, partial):
        value = value.func
    name = getattr(value, "__name__", None)
    if not isinstance(name, str):
        name = type(value).__name__
    return "model" if name == "<lambda>" else name
