"""Pickles: opening one runs whatever code its author put in, so it takes an opt-in and the digest of the file."""

from __future__ import annotations

import io
import pickle
from dataclasses import replace
from pathlib import Path
from typing import Any

from foretell.backends.artefact_file import Artefact
from foretell.backends.live_object import open_object
from foretell.backends.opened import Opened
from foretell.backends.sklearn.model import with_versions
from foretell.config import ModelSettings
from foretell.errors import InferenceError, InvalidModel, UnsafeModel
from foretell.extras import needs


def open_pickle(path: Path, settings: ModelSettings) -> Opened:
    """Opens a .pkl or .joblib with `settings.allow_pickle` and a matching `settings.sha256`; else `UnsafeModel`.

    The file is read once: the bytes that were digested are the bytes that are opened.
    """
    if not settings.allow_pickle or settings.sha256 is None:
        missing = "--allow-pickle and --sha256" if not settings.allow_pickle else "--sha256"
        fix = f"if you trust its author, give {missing} with the digest that the author tells; or save it with skops"
        raise UnsafeModel("a pickle can run any code when it is opened", where=str(path), fix=fix)
    artefact = Artefact.read(path)
    artefact.check_digest(settings.sha256)
    value, _ = with_versions(lambda: _load(artefact), path.name)
    if isinstance(value, (dict, list, tuple)):
        inside = ", ".join(str(name)[:20] for name in list(value)[:5]) if isinstance(value, dict) else len(value)
        what, got = "it holds more than a model", f"a {type(value).__name__} of {inside}"
        fix = "write the model alone, its other parts into a pipeline with it; or serve a Python class that loads it"
        raise InvalidModel(what, where=str(path), expected="one model", got=got, fix=fix)
    opened = open_object(value, replace(settings, sha256=None), source=str(path))
    opened = replace(opened, name=path.stem, permission="allow_pickle")
    return replace(opened, digest=artefact.digest, size_bytes=len(artefact.data))


def _load(artefact: Artefact) -> Any:
    """joblib reads its own files and plain pickles; without it, only the latter."""
    data, where = io.BytesIO(artefact.data), str(artefact.path)
    try:
        if artefact.path.suffix.lower() != ".joblib":
            return pickle.load(data)  # noqa: S301 (the user agreed to this very file)
        with needs("joblib", "sklearn", "opening a .joblib file"):
            import joblib
        return joblib.load(data)
    except InferenceError:
        raise
    except (Exception, SystemExit) as error:
        text = f"it cannot be unpickled: {type(error).__name__}: {error}"
        raise InvalidModel(text, where=where, fix="have what it was made with installed") from error
