"""Triton's generate extension: a flat JSON object in, the same kind out, once or as server-sent events.

Source: Triton's "generate extension" (provisional there); events as the HTML standard's "server-sent events" has them.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import msgspec
import orjson

from foretell.columns import Batch, Column, Ragged
from foretell.config import ServerSettings
from foretell.errors import InferenceError, InvalidInput, nearest
from foretell.forms.values import to_column
from foretell.serve.codecs.error_reply import error_code, error_text
from foretell.serve.codecs.json_guard import check_json
from foretell.serve.codecs.oip_message import Parameters, shown
from foretell.serve.codecs.oip_parameters import RequestParameters, read_parameters
from foretell.serve.codecs.oip_reply import JsonRows, datatype_of
from foretell.types import ModelSpec

EVENT_STREAM = b"text/event-stream; charset=utf-8"
COMMENT = b":\n\n"
"""An event that says nothing; clients pass over it."""

_SCALARS = (str, bool, int, float, type(None))
_LONGEST_ID = 1024
_MOST_KEYS = 1024


@dataclass(frozen=True, slots=True)
class GenerateRequest:
    """One row, and what is asked of its answer."""

    batch: Batch
    parameters: RequestParameters
    id: str | None


class GenerateCodec:
    """The requests and answers of one model version."""

    def __init__(
        self, name: str, version: str, spec: Callable[[], ModelSpec], where: str, settings: ServerSettings
    ) -> None:
        self._model = orjson.dumps({"model_name": name, "model_version": version})[1:-1]
        self._spec, self._where, self._settings = spec, where, settings

    def decode(self, body: bytes | memoryview) -> GenerateRequest:
        """Keys that name inputs are the row; the others, and what stands in `parameters`, go to the model.

        Where the inputs are not known every key but `id` and `parameters` is one. Raises `InvalidInput`.
        """
        body = bytes(body)
        check_json(body, self._settings)
        given = _object(body)
        spec = self._spec()
        names = {tensor.name for tensor in spec.inputs} if spec.inputs is not None else None
        request_id = _id(given, names)
        parameters = _nested(given, names)
        columns: dict[str, Column] = {}
        for key, value in given.items():
            if names is None or key in names:
                columns[key] = self._column(key, value, spec)
            elif isinstance(value, _SCALARS):
                parameters[key] = value
            else:
                fix = nearest(key[:80], names)
                raise InvalidInput(f"unknown input {shown(key)}", where=self._where, fix=fix)
        for name in names or ():
            if name not in columns:
                raise InvalidInput(f"input {name!r} is missing", where=self._where, got=shown(sorted(given)))
        if not columns:
            raise InvalidInput("the request has no inputs", where=self._where)
        return GenerateRequest(Batch(columns, 1), _checked(read_parameters(parameters)), request_id)

    def encode(self, batch: Batch, request_id: str | None) -> bytes:
        """A piece of the answer as a JSON object: each output as a flat list, a single value without one.

        Raises `InferenceError` for an output that has no JSON form.
        """
        spec = self._spec()
        fields = [] if request_id is None else [b'"id":' + orjson.dumps(request_id)]
        fields.append(self._model)
        for name, column in batch.columns.items():
            values = JsonRows(name, column, datatype_of(name, column, spec), batch.rows).slice(0, batch.rows)
            if batch.rows * _row_size(column) != 1:
                values = b"[" + values + b"]"
            fields.append(orjson.dumps(name) + b":" + values)
        return b"{" + b",".join(fields) + b"}"

    def _column(self, name: str, value: Any, spec: ModelSpec) -> Column:
        where = f"input {name!r} of {self._where}"
        tensor = spec.input(name)
        if tensor is not None and tensor.shape is not None and not isinstance(value, list):
            for _ in tensor.shape:  # a single value where the row has axes
                value = [value]
        try:
            return to_column([value], where=where, spec=tensor)
        except (OverflowError, RecursionError):
            raise InvalidInput("a value is out of range", where=where) from None


def event(data: bytes) -> bytes:
    return b"data: " + data + b"\n\n"


def error_event(error: InferenceError) -> bytes:
    """An error in the place of the next piece: its sentence, its code, and whether trying again may help."""
    return event(orjson.dumps({"error": error_text(error), "code": error_code(error), "retryable": error.retryable}))


def _object(body: bytes) -> dict[str, Any]:
    try:
        given = msgspec.json.decode(body)
    except (msgspec.MsgspecError, RecursionError, UnicodeDecodeError, ValueError) as error:
        raise InvalidInput(f"the request is not valid JSON: {str(error)[:160]}") from None
    if not isinstance(given, dict):
        raise InvalidInput("the request is no object", expected="a JSON object with a key for each input")
    if len(given) > _MOST_KEYS:
        raise InvalidInput("the request has too many keys", expected=f"at most {_MOST_KEYS}", got=len(given))
    return given


def _id(given: dict[str, Any], names: set[str] | None) -> str | None:
    """Takes the id of the request out, unless an input is called so."""
    if "id" not in given or (names is not None and "id" in names):
        return None
    value = given.pop("id")
    if value is not None and (not isinstance(value, str) or len(value) > _LONGEST_ID):
        raise InvalidInput("wrong id", expected=f"text of at most {_LONGEST_ID} characters", got=shown(value))
    return value


def _nested(given: dict[str, Any], names: set[str] | None) -> Parameters:
    """Takes the object `parameters` out, unless an input is called so."""
    if names is not None and "parameters" in names:
        return {}
    value = given.pop("parameters", None)
    if value is None:
        return {}
    if not isinstance(value, Mapping) or not all(isinstance(each, _SCALARS) for each in value.values()):
        raise InvalidInput("wrong parameters", expected="an object of texts, numbers and flags", got=shown(value))
    return dict(value)


def _checked(parameters: RequestParameters) -> RequestParameters:
    if parameters.binary:
        raise InvalidInput("wrong parameter 'binary_data_output'", expected="false: the answer is JSON", got="true")
    if parameters.bulk:
        what = "wrong parameter 'priority'"
        raise InvalidInput(what, expected="0 or 1: streams are no bulk work", got="a lower priority")
    return parameters


def _row_size(column: Column) -> int:
    """Values in one row; rows of different length have no JSON form of tensors, which their encoding tells."""
    return 0 if isinstance(column, Ragged) else math.prod(column.row_shape)
