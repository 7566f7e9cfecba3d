"""The OpenAPI document is true: it is valid, names every route and no other, and requests made from it are answered as
it says."""

from __future__ import annotations

import functools
import json
import math
import random
import re
from collections.abc import Iterator
from typing import Any

import pytest
from jsonschema import Draft202012Validator
from openapi_spec_validator import validate
from served_models import Constant, Echo, Gate, Pair, Params, Poison, Scores, Untold
from serving import Running
from streaming_models import Streaming
from wire import Answer, http, infer

from foretell.columns import Dense
from foretell.types import DataType, TensorSpec

ODD = "mein Modell ö"
KINDS = [kind for kind in DataType if kind not in (DataType.FP16, DataType.BF16)]


def document(server: Running) -> dict[str, Any]:
    answer = server.ask(http("GET", "/openapi.json"))
    assert (answer.status, answer.header("content-type")) == (200, "application/json")
    check_valid(answer.body)
    found: dict[str, Any] = answer.json
    return found


@functools.cache
def check_valid(text: bytes) -> None:
    """Cached, because it takes seconds for a document of many models, and most tests here have the same one."""
    validate(json.loads(text))


def fits(value: Any, schema: dict[str, Any], whole: dict[str, Any]) -> None:
    Draft202012Validator({**schema, "components": whole["components"]}).validate(value)


def schema_of(operation: dict[str, Any], status: int, whole: dict[str, Any]) -> dict[str, Any]:
    responses = operation["responses"]
    schema: dict[str, Any] = responses.get(str(status), responses["default"])["content"]["application/json"]["schema"]
    return schema


def resolved(schema: dict[str, Any], whole: dict[str, Any]) -> dict[str, Any]:
    return whole["components"]["schemas"][schema["$ref"].rpartition("/")[2]] if "$ref" in schema else schema


def inferences(found: dict[str, Any], ending: str = "/infer") -> Iterator[tuple[str, dict[str, Any], dict[str, Any]]]:
    """Path, operation and schema of the request, of each model that tells its inputs."""
    for path, item in found["paths"].items():
        if path.endswith(ending) and "untold" not in path:
            body = item["post"]["requestBody"]["content"]["application/json"]
            yield path, item["post"], resolved(body["schema"], found)


def made(schema: dict[str, Any], rng: random.Random) -> Any:
    """A value that fits a schema of the document."""
    if "const" in schema:
        return schema["const"]
    if "enum" in schema:
        return rng.choice(schema["enum"])
    if "anyOf" in schema:
        return made(schema["anyOf"][0], rng)
    low, high = schema.get("minimum", 0), schema.get("maximum", 5)
    match schema["type"]:
        case "boolean":
            return rng.random() < 0.5
        case "integer":
            return rng.choice([low, high, rng.randint(low, high)])
        case "number":
            return rng.choice([low / 2, high / 2, rng.uniform(-1, 1), 0])  # twice as much a model may not bear
        case "string":
            return rng.choice(["", "word", 'ü " \\ \n'])
    raise NotImplementedError(schema)


def tensor_of(schema: dict[str, Any], rows: int, rng: random.Random) -> dict[str, Any]:
    """An input; what JSON Schema cannot say, that data fits shape, its description does."""
    parts = schema["properties"]
    shape = [
        rows if each.get("description") == "Rows." else made(each, rng)
        for each in parts["shape"].get("prefixItems", [])
    ]
    data = [made(parts["data"]["items"], rng) for _ in range(math.prod(shape))]
    return {"name": made(parts["name"], rng), "shape": shape, "datatype": made(parts["datatype"], rng), "data": data}


def request_of(schema: dict[str, Any], rng: random.Random) -> dict[str, Any]:
    items, rows = schema["properties"]["inputs"]["items"], rng.randint(1, 4)
    inputs = [tensor_of(each, rows, rng) for each in items.get("anyOf", [items])]
    rng.shuffle(inputs)
    return {"inputs": inputs, **({"id": "an id"} if rng.random() < 0.5 else {})}


def post(server: Running, path: str, body: Any) -> Answer:
    return server.ask(http("POST", path, json.dumps(body).encode()))


@pytest.fixture
def many(serve: Any) -> Running:
    """A server of one model of each kind of inputs."""
    models: dict[str, Any] = {f"echo-{kind.value}": Echo(kind, (None, 2)) for kind in KINDS}
    more = {"plain": Echo(DataType.FP32, ()), "whole": Echo(DataType.INT64, (2, None), batch=None), "free": Echo()}
    server: Running = serve(
        **models, **more, pair=Pair(), untold=Untold(), scores=Scores(), params=Params(), **{ODD: Echo()}
    )
    return server


def test_it_names_every_route_and_no_other(many: Running) -> None:
    found, application = document(many), many.application
    fixed = {path.decode().rstrip("/") or "/": route for path, route in application._fixed.items()}
    verbs = {"": "get", "/ready": "get", "/config": "get", "/infer": "post"}
    pattern = "".join(re.findall(r"\(([a-z_|]+)\)\)\?/\?$", _model_pattern()))
    streams = {"generate", "generate_stream"}  # of models that stream, see below
    assert {verb.strip("/") for verb in verbs} - {""} | streams == set(pattern.split("|")), (
        "a route that this test does not know"
    )
    wanted = {(path, method.decode().lower()) for path, route in fixed.items() for method in route.methods}
    for name in many.catalog.names():
        for base in (name, f"{name}/versions/1"):
            path = "/v2/models/" + base.replace(" ", "%20").replace("ö", "%C3%B6")
            wanted |= {(path + verb, method) for verb, method in verbs.items()}
    assert {(path, method) for path, item in found["paths"].items() for method in item} == wanted
    for path, item in found["paths"].items():
        allowed = many.ask(http("OPTIONS", path)).header("allow") or ""
        assert {method.upper() for method in item} == set(allowed.split(", ")) - {"HEAD", "OPTIONS"}, path


def test_models_that_stream_have_routes_of_their_own(serve: Any) -> None:
    paths = document(serve(count=Streaming()))["paths"]
    verbs = {path.removeprefix("/v2/models/count/") for path in paths if path.startswith("/v2/models/count/")}
    assert {"generate", "generate_stream", "versions/1/generate", "versions/1/generate_stream"} <= verbs
    assert "infer" not in verbs
    assert "text/event-stream" in paths["/v2/models/count/generate_stream"]["post"]["responses"]["200"]["content"]


def _model_pattern() -> str:
    from foretell.serve import routes

    return routes._MODEL.pattern.decode()


def test_every_get_answers_as_it_says(many: Running) -> None:
    found = document(many)
    for path, item in found["paths"].items():
        if "get" not in item:
            continue
        answer = many.ask(http("GET", path))
        assert answer.status == 200, path
        content = item["get"]["responses"]["200"]["content"]
        kind = (answer.header("content-type") or "").partition(";")[0]
        assert list(content) == [kind]
        if kind == "application/json":
            fits(answer.json, content[kind]["schema"], found)


@pytest.mark.parametrize("seed", range(2))
def test_requests_made_from_it_are_answered_as_it_says(many: Running, seed: int) -> None:
    rng, found = random.Random(seed), document(many)
    asked = 0
    for path, operation, schema in inferences(found):
        request = request_of(schema, rng)
        fits(request, schema, found)
        answer = post(many, path, request)
        assert answer.status == 200, (path, request, answer.body)
        fits(answer.json, schema_of(operation, 200, found), found)
        asked += 1
    assert asked == 2 * (len(many.catalog.names()) - 1)


def test_requests_that_do_not_fit_are_refused_as_it_says(many: Running) -> None:
    rng, found = random.Random(1), document(many)
    refused = 0
    for path, operation, schema in inferences(found, "/versions/1/infer"):
        whole = request_of(schema, rng)
        first = whole["inputs"][0]
        kind = schema["properties"]["inputs"]["items"]
        value = kind["properties"]["data"]["items"]["anyOf"][0] if "properties" in kind else {}
        if value.get("maximum", 0) > 1e300:
            value = {}  # twice as much is an infinity, which travels as a token
        wrong: list[Any] = [
            {}, {"inputs": []}, {**whole, "id": 1}, {**whole, "inputs": whole["inputs"] * 2},
            {**whole, "outputs": [{"name": "no such output"}]},
            *[{**whole, "inputs": [{**first, **change}, *whole["inputs"][1:]]} for change in (
                {"name": "no such input"}, {"datatype": "FP16"}, {"shape": [*first["shape"], 1]}, {"shape": [-1]},
                {"data": [{}] * len(first["data"])},
                *([{"data": [value["maximum"] * 2] * len(first["data"])}] if "maximum" in value else []),
            )],
        ]  # fmt: skip
        validator = Draft202012Validator({**schema, "components": found["components"]})
        for request in wrong:
            if request.get("inputs") == whole["inputs"] * 2 and "maxItems" not in schema["properties"]["inputs"]:
                continue
            assert not validator.is_valid(request), (path, request)
            answer = post(many, path, request)
            assert answer.status == 400, (path, request, answer.body)
            fits(answer.json, schema_of(operation, 400, found), found)
            refused += 1
    assert refused > 100


def test_chosen_outputs_and_classes_fit(many: Running) -> None:
    found = document(many)
    schema = schema_of(found["paths"]["/v2/models/scores/infer"]["post"], 200, found)
    tensor = {"name": "x", "shape": [2, 3], "datatype": "FP32", "data": [1, 2, 3, 3, 2, 1]}
    for outputs in ([{"name": "plain"}], [{"name": "scores", "parameters": {"classification": 2}}]):
        answer = post(many, "/v2/models/scores/infer", {"inputs": [tensor], "outputs": outputs})
        assert [each["name"] for each in answer.json["outputs"]] == [outputs[0]["name"]]
        fits(answer.json, schema, found)
    explained = many.ask(infer("free", [1], {"Foretell-Explain": "true"}))
    fits(explained.json, schema_of(found["paths"]["/v2/models/free/infer"]["post"], 200, found), found)


def test_a_row_without_an_answer_fits(serve: Any) -> None:
    import numpy as np

    column = Dense(np.array([1.0]), np.array([False]))
    server = serve(null=Constant({"y": (TensorSpec("y", DataType.FP64, ()), column)}))
    found, answer = document(server), server.ask(infer("null", [1]))
    assert answer.json["outputs"][0]["data"] == [None]
    fits(answer.json, schema_of(found["paths"]["/v2/models/null/infer"]["post"], 200, found), found)


def test_a_model_that_learns_what_it_gives(serve: Any) -> None:
    server = serve(untold=Untold())
    before = document(server)["components"]["schemas"]["untold.1.Request"]["properties"]["inputs"]
    assert "maxItems" not in before
    answer = server.ask(infer("untold", [1]))
    found = document(server)
    fits(answer.json, schema_of(found["paths"]["/v2/models/untold/infer"]["post"], 200, found), found)


def test_errors_fit(serve: Any) -> None:
    server = serve(poison=Poison(), gate=Gate())
    found = document(server)
    operation = found["paths"]["/v2/models/poison/infer"]["post"]
    for answer in (server.ask(infer("poison", [666])), server.ask(http("POST", "/v2/models/poison/infer", b"{"))):
        fits(answer.json, schema_of(operation, answer.status, found), found)
    server.application.server.welcomes = False
    answer = server.ask(http("GET", "/v2/health/ready"))
    assert answer.status == 503
    fits(answer.json, schema_of(found["paths"]["/v2/health/ready"]["get"], 503, found), found)
    server.application.server.welcomes = True


def test_types_without_a_json_form_have_to_be_binary(serve: Any) -> None:
    server = serve(half=Echo(DataType.FP16, (1,)))
    schema = document(server)["components"]["schemas"]["half.1.Request"]["properties"]["inputs"]["items"]
    assert schema["required"] == ["name", "shape", "datatype", "parameters"]


def test_a_change_of_the_catalogue_shows(serve: Any) -> None:
    server = serve(one=Echo())
    assert "/v2/models/one/infer" in document(server)["paths"]
    server.change(lambda catalog: catalog.remove("one", "1"))
    assert not any("one" in path for path in document(server)["paths"])
