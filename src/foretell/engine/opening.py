"""What a further replica must be, and what settings may ask of a model."""

from __future__ import annotations

from collections.abc import Sequence

from foretell.config import ModelSettings
from foretell.engine.pool import Open
from foretell.errors import InferenceError, InvalidSetting, NotReady, Unavailable, said
from foretell.model import Model

_ASKED = {"device": "a device beside the first"}


def loaded(open_again: Open, device: str, where: str) -> Model:
    """A further model of the artefact, loaded. Raises `InferenceError`; what was begun is closed."""
    model: Model | None = None
    try:
        model = open_again()
        model.load(device)
    except (Exception, SystemExit) as error:  # a model ends its loading, not who loads it
        if model is not None:
            model.close()
        if isinstance(error, InferenceError):
            raise
        raise NotReady(f"loading failed: {said(error)}", where=where) from error
    return model


def keep_known(model: Model, known: Model) -> None:
    """Tells a model in a process of its own what calls of the one before it have shown of its outputs."""
    if model.apart and model.spec.outputs is None:
        model.spec = model.spec.with_changes(outputs=known.spec.outputs, labels=known.spec.labels)
        model.bare_output = known.bare_output


def check_devices(model: Model, devices: Sequence[str], where: str) -> None:
    """A model without a `load` of its own cannot have heard of any device."""
    device = ", ".join(devices)
    if device != "cpu" and type(model).load is Model.load:
        fix = "use cpu, or give the model a method load(self, device)"
        raise Unavailable("the model knows of no devices", where=where, expected="cpu", got=device, fix=fix)


def check_replicas(settings: ModelSettings, model: Model, opens_again: bool, where: str) -> None:
    """Raises `InvalidSetting` where settings ask for what a model that is loaded cannot have: further replicas, or a
    process of its own."""
    if settings.executor == "process" and not model.apart:
        what = "executor = process needs a model that can be opened again"
        raise InvalidSetting(what, where=where, got="a live object", fix="name it by its path or module:name")
    least, most = settings.replicas, settings.max_replicas or settings.replicas
    if most < least:
        expected = f"at least {least}"
        raise InvalidSetting("max_replicas is less than replicas", where=where, expected=expected, got=most)
    asked = {"replicas": least > 1, "max_replicas": most > 1, "device": len(settings.devices) > 1,
             "call_timeout_s": settings.call_timeout_s is not None}  # fmt: skip
    for name in [name for name, is_asked in asked.items() if is_asked]:
        if not opens_again:
            what = f"{_ASKED.get(name, name)} needs a model that can be opened again"
            raise InvalidSetting(what, where=where, fix="name it by its path or module:name")
        if model.spec.stateful and name != "call_timeout_s":
            what = f"{_ASKED.get(name, name)}: a stateful model has one replica"
            raise InvalidSetting(what, where=where, fix="leave it out")
