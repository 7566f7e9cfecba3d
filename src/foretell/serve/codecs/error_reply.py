"""What a remote caller is told of an error: one line, not too long, without the places and addresses it names."""

from __future__ import annotations

import re

import orjson

from foretell.errors import InferenceError, ModelError
from foretell.serve.messages import REASONS, HttpError

_LONGEST_ERROR = 1500
_LONGEST_REASON = 500
_FOLDERS = re.compile(r"(?<![\w.:/])/(?:[^\s/:\"']+/)+")
_ADDRESS = re.compile(r" at 0x[0-9A-Fa-f]+")
_CODE = re.compile(r"[a-z][a-z0-9_]{0,63}")
_OF_MODELS = frozenset(("model_error", "out_of_memory", "transient", "not_ready", "replica_lost", "internal"))
"""Codes of errors that may hold what a model or a runtime said: it may name files, and objects in memory."""


def error_body(error: InferenceError) -> bytes:
    """An error as the protocol has it, and its code for programs."""
    return orjson.dumps({"error": error_text(error), "code": error_code(error)})


def error_code(error: InferenceError) -> str:
    """One word: of an error that only HTTP has, the name of its status. Classes of a model's own may say anything."""
    if isinstance(error, HttpError):
        return REASONS.get(error.status, b"Unknown").decode().lower().replace(" ", "_")
    code: object = error.code
    return code if isinstance(code, str) and _CODE.fullmatch(code) else ModelError.code


def error_text(error: InferenceError) -> str:
    """One line, not too long, whatever a model put into it."""
    line = " ".join(str(error)[: 4 * _LONGEST_ERROR].split())
    if error.code in _OF_MODELS:
        line = _without_places(line)
    text = line if len(line) <= _LONGEST_ERROR else f"{line[:_LONGEST_ERROR]}..."
    return text.encode("utf-8", "replace").decode()


def reason_text(error: InferenceError) -> str:
    """Why a model cannot be loaded: folders of this machine are nobody's business. All of it is in the log."""
    where = "" if "/" in error.where or "\\" in error.where else error.where
    whole = InferenceError(error.what, where=where, expected=error.expected, got=error.got, fix=error.fix)
    text = _without_places(" ".join(str(whole).split()))
    return text if len(text) <= _LONGEST_REASON else text[: _LONGEST_REASON - 3] + "..."


def _without_places(text: str) -> str:
    """Of a path the last part is left, as people would name the file."""
    return _ADDRESS.sub("", _FOLDERS.sub("", text))
