"""The OpenAPI document: every route, and for each model that is served what it takes and answers.

Source: OpenAPI Specification 3.1, whose schemas are JSON Schema (draft 2020-12).
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any
from urllib.parse import quote

import foretell
from foretell.catalog import Known
from foretell.serve.codecs.oip_schema import reply_schema, request_schema
from foretell.types import ModelSpec

Doc = dict[str, Any]

_TEXT = {"type": "string"}
_ERROR = {"type": "object", "required": ["error", "code"], "additionalProperties": False, "properties": {
    "error": {"type": "string", "description": "One sentence, for people."},
    "code": {"type": "string", "pattern": "^[a-z][a-z0-9_]*$", "description": "One word, for programs."}}}  # fmt: skip
_LIVE = {"type": "object", "required": ["live", "ready"], "properties": {
    "live": {"type": "boolean"}, "ready": {"type": "boolean"}}}  # fmt: skip
_TENSOR = {
    "type": "object",
    "required": ["name", "datatype", "shape"],
    "properties": {
        "name": _TEXT,
        "datatype": {"type": "string", "description": "Empty where nobody knows it yet."},
        "shape": {"type": "array", "items": {"type": "integer", "minimum": -1}},
    },
}
_SCHEMAS: Doc = {
    "Error": _ERROR,
    "Overview": {"type": "object", "required": ["status", "server", "models", "metrics", "openapi"], "properties": {
        "status": {"const": "alive"}, "server": _TEXT, "metrics": _TEXT, "openapi": _TEXT,
        "models": {"type": "object", "additionalProperties": _TEXT}}},
    "Server": {"type": "object", "required": ["name", "version", "extensions"], "properties": {
        "name": _TEXT, "version": _TEXT, "extensions": {"type": "array", "items": _TEXT}}},
    "Live": _LIVE,
    "ModelReady": {"type": "object", "required": ["name", "ready"], "properties": {
        "name": _TEXT, "ready": {"type": "boolean"}}},
    "Tensor": _TENSOR,
    "Model": {"type": "object", "required": ["name", "versions", "platform", "inputs", "outputs"], "properties": {
        "name": _TEXT, "versions": {"type": "array", "items": _TEXT}, "platform": _TEXT,
        "inputs": {"type": "array", "items": {"$ref": "#/components/schemas/Tensor"}},
        "outputs": {"type": "array", "items": {"$ref": "#/components/schemas/Tensor"}}}},
    "Config": {"type": "object", "required": ["name", "max_batch_size", "input", "output"], "properties": {
        "name": _TEXT, "max_batch_size": {"type": "integer", "minimum": 0},
        "input": {"type": "array"}, "output": {"type": "array"},
        "foretell": {"type": "object", "description": "What the server decides by itself, as it stands now."}}},
    "Index": {"type": "array", "items": {"type": "object", "required": ["name"], "properties": {
        "name": _TEXT, "version": _TEXT, "state": _TEXT, "reason": _TEXT}}},
    "IndexRequest": {"type": "object", "properties": {"ready": {"type": "boolean"}}},
    "LoadRequest": {"type": "object", "properties": {"parameters": {"type": "object", "maxProperties": 0}}},
    "UnloadRequest": {"type": "object", "properties": {"parameters": {"type": "object", "properties": {
        "unload_dependents": {"type": "boolean"}}, "additionalProperties": False}}},
}  # fmt: skip

_EXPLAIN = {
    "name": "Foretell-Explain", "in": "header", "schema": {"enum": ["true", "false", "1", "0"]},
    "description": "Whether the answer tells why it took its time.",
}  # fmt: skip
_JSON_LENGTH = {
    "name": "Inference-Header-Content-Length", "in": "header", "schema": {"type": "integer", "minimum": 0},
    "description": "Bytes of JSON before the binary data.",
}  # fmt: skip
_NAME = {"name": "model_name", "in": "path", "required": True, "schema": _TEXT}


def document(models: Iterable[Known], *, needs_token: bool, repository: bool) -> Doc:
    """`repository`: whether models can be loaded and unloaded by call."""
    paths: Doc = {
        "/": {"get": _get("overview", "What is there", "Overview")},
        "/v2": {"get": _get("server", "Name, version and extensions", "Server")},
        "/v2/health/live": {"get": _get("live", "Whether the server runs", "Live")},
        "/v2/health/ready": {"get": _ready("ready", "Whether every model answers", "Live")},
        "/metrics": {"get": _operation("metrics", "Metrics for Prometheus", {"text/plain": {"schema": _TEXT}})},
        "/openapi.json": {"get": _operation("openapi", "This document", _json({"type": "object"}))},
    }
    if repository:
        paths |= _repository()
    schemas = dict(_SCHEMAS)
    for served in models:
        _add_model(paths, schemas, served)
    found: Doc = {
        "openapi": "3.1.0",
        "info": {
            "title": "foretell", "version": foretell.__version__,
            "description": "Predictions, in the Open Inference Protocol. NaN and the infinities travel as the tokens "
            "NaN, Infinity and -Infinity. GET paths answer HEAD, all paths OPTIONS. A path may end in a slash.",
        },
        "paths": paths,
        "components": {"schemas": schemas},
    }  # fmt: skip
    if needs_token:
        found["components"]["securitySchemes"] = {"token": {"type": "http", "scheme": "bearer"}}
        for path, item in paths.items():
            for operation in item.values():
                operation["security"] = [] if path in _OPEN else [{"token": []}]
    return found


_OPEN = frozenset(("/", "/v2", "/v2/health/live", "/v2/health/ready"))


def _add_model(paths: Doc, schemas: Doc, served: Known) -> None:
    """The routes of one version. The newest one, for which `paths` has to come last, also has those without one. Of
    one that has never been in memory nobody knows yet what it takes."""
    name, version, spec = served.name, served.version, served.spec or ModelSpec()
    key = f"{_safe(name)}.{version}"
    schemas[f"{key}.Request"] = request_schema(spec)
    schemas[f"{key}.Reply"] = reply_schema(name, version, spec)
    base = f"/v2/models/{quote(name, safe='')}"
    for path, tag in ((base, _safe(name)), (f"{base}/versions/{version}", key)):
        paths[path] = {"get": _get(f"{tag}.metadata", f"What {name} takes and gives", "Model")}
        paths[f"{path}/ready"] = {"get": _ready(f"{tag}.ready", f"Whether {name} answers", "ModelReady")}
        paths[f"{path}/config"] = {"get": _get(f"{tag}.config", f"How {name} runs", "Config")}
        if not served.only_streams:
            paths[f"{path}/infer"] = {"post": _infer(f"{tag}.infer", name, key)}
        if spec.streams:
            paths[f"{path}/generate"] = {"post": _generate(f"{tag}.generate", name, _json({"type": "object"}))}
            events: Doc = {"text/event-stream": {"schema": _TEXT}}
            paths[f"{path}/generate_stream"] = {"post": _generate(f"{tag}.generate_stream", name, events)}


def _infer(operation_id: str, name: str, key: str) -> Doc:
    binary = {
        "application/octet-stream": {"schema": {"type": "string", "contentMediaType": "application/octet-stream"}}
    }
    made = _operation(operation_id, f"Predictions of {name}", {**_json(_ref(f"{key}.Reply")), **binary})
    made["parameters"] = [_EXPLAIN, _JSON_LENGTH]
    made["requestBody"] = {"required": True, "content": {**_json(_ref(f"{key}.Request")), **binary}}
    return made


def _generate(operation_id: str, name: str, content: Doc) -> Doc:
    """The body is one row: a key for each input, and parameters."""
    made = _operation(operation_id, f"What {name} gives, item by item", content)
    made["requestBody"] = {"required": True, "content": _json({"type": "object"})}
    return made


def _repository() -> Doc:
    index = _operation("repository.index", "Models that are loaded, and those that could be", _json(_ref("Index")))
    paths: Doc = {"/v2/repository/index": {"post": {**index, **_body("IndexRequest")}}}
    for verb, schema in (("load", "LoadRequest"), ("unload", "UnloadRequest")):
        call = _operation(f"repository.{verb}", f"{verb.title()} a model", _json(_ref("ModelReady")))
        made = {**call, "parameters": [_NAME], **_body(schema)}
        paths[f"/v2/repository/models/{{model_name}}/{verb}"] = {"post": made}
    return paths


def _body(schema: str) -> Doc:
    return {"requestBody": {"required": False, "content": _json(_ref(schema))}}


def _get(operation_id: str, summary: str, schema: str) -> Doc:
    return _operation(operation_id, summary, _json(_ref(schema)))


def _ready(operation_id: str, summary: str, schema: str) -> Doc:
    made = _get(operation_id, summary, schema)
    made["responses"]["503"] = {"description": "Not now", "content": _json({"anyOf": [_ref(schema), _ref("Error")]})}
    return made


def _operation(operation_id: str, summary: str, content: Doc) -> Doc:
    error = {"description": "What was wrong, in one sentence", "content": _json(_ref("Error"))}
    answer = {"description": summary, "content": content}
    return {"operationId": operation_id, "summary": summary, "responses": {"200": answer, "default": error}}


def _json(schema: Doc) -> Doc:
    return {"application/json": {"schema": schema}}


def _ref(name: str) -> Doc:
    return {"$ref": f"#/components/schemas/{name}"}


def _safe(name: str) -> str:
    """As the keys of a document may be; other characters by their number."""
    return "".join(c if c.isascii() and (c.isalnum() or c in "_-") else f"-{ord(c):x}-" for c in name)
