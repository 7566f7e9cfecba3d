"""Ten thousand requests of all kinds, under way at the same time: each gets the answer that it would get alone."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable
from typing import Any

import numpy as np
from oip_requests import binary, body
from served_models import Echo, Gate, InlineEcho, Pair, Params, Poison
from serving import Running, served
from wire import http, infer

from foretell.config import ModelSettings

CONNECTIONS = 200
EACH = 50
WAIT_S = 60.0
Reply = tuple[int, dict[str, str], bytes]
Check = Callable[[Reply], bool]


def test_each_has_its_own_answer(serve: Any) -> None:
    gate = Gate()
    models = {"echo": Echo(), "inline": InlineEcho(), "pair": Pair(), "params": Params(), "poison": Poison()}
    room = ModelSettings(max_queue_size=50_000)
    server = serve(*(served(model, name, settings=room) for name, model in [*models.items(), ("gate", gate)]))
    asked = [[request(connection * EACH + at) for at in range(EACH)] for connection in range(CONNECTIONS)]
    replies = asyncio.run(ask_all(server, gate, [[each for each, _ in some] for some in asked]))
    wrong = [(connection, at) for connection in range(CONNECTIONS) for at in range(EACH)
             if not asked[connection][at][1](replies[connection][at])]  # fmt: skip
    assert wrong == []
    assert sum(map(len, replies)) == CONNECTIONS * EACH == 10_000
    assert sorted(gate.seen) == list(range(CONNECTIONS)) and max(gate.batches) > 1
    assert all(server.engine(name).waiting_rows == 0 for name in (*models, "gate"))


async def ask_all(server: Running, gate: Gate, requests: list[list[bytes]]) -> list[list[Reply]]:
    """Every connection asks all it has to; the first request of each waits until all of them are there."""
    streams = [await asyncio.open_connection("127.0.0.1", server.port) for _ in requests]

    async def ask(number: int) -> list[Reply]:
        reader, writer = streams[number]
        writer.write(infer("gate", [number]) + b"".join(requests[number]))
        if (await reply(reader))[0] != 200:
            raise RuntimeError("the gate did not answer")
        return [await reply(reader) for _ in requests[number]]

    async def open_gate() -> None:
        while server.engine("gate").waiting_rows + len(gate.seen) < len(requests):
            await asyncio.sleep(0.01)
        gate.open_gate()

    async with asyncio.timeout(WAIT_S):
        *replies, _ = await asyncio.gather(*map(ask, range(len(requests))), open_gate())
    for _, writer in streams:
        writer.close()
        await writer.wait_closed()
    return [each for each in replies if each is not None]


async def reply(reader: asyncio.StreamReader) -> Reply:
    head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1").split("\r\n")
    headers = {name.lower(): value for name, _, value in (line.partition(": ") for line in head[1:-2])}
    return int(head[0].split(" ")[1]), headers, await reader.readexactly(int(headers["content-length"]))


def request(number: int) -> tuple[bytes, Check]:
    """A request of its own, and what its reply must be."""
    rng = np.random.default_rng(number)
    rows, width = int(rng.integers(1, 5)), int(rng.integers(1, 6))
    return KINDS[number % len(KINDS)](number, rng.normal(size=(rows, width)).astype(np.float32))


def tensor(name: str, array: np.ndarray, kind: str = "FP32", **more: Any) -> dict[str, Any]:
    data = {} if more else {"data": array.ravel().tolist()}
    return {"name": name, "shape": list(array.shape), "datatype": kind, **data, **more}


def ask(model: str, content: bytes, headers: dict[str, object] | None = None) -> bytes:
    return http("POST", f"/v2/models/{model}/infer", content, headers)


def in_json(number: int, array: np.ndarray) -> tuple[bytes, Check]:
    model = ("echo", "inline")[number // len(KINDS) % 2]

    def right(found: Reply) -> bool:
        told = json.loads(found[2])
        (output,) = told["outputs"]
        same = np.array_equal(np.array(output["data"], np.float32), array.ravel())
        return found[0] == 200 and told["id"] == str(number) and output["shape"] == list(array.shape) and same

    return ask(model, body(tensor("x", array), id=str(number))), right


def in_binary(number: int, array: np.ndarray) -> tuple[bytes, Check]:
    blob = array.tobytes()
    head = {"id": str(number), "inputs": [tensor("x", array, parameters={"binary_data_size": len(blob)})],
            "outputs": [{"name": "y", "parameters": {"binary_data": True}}]}  # fmt: skip

    def right(found: Reply) -> bool:
        cut = int(found[1]["inference-header-content-length"])
        return found[0] == 200 and json.loads(found[2][:cut])["id"] == str(number) and found[2][cut:] == blob

    return ask(("inline", "echo")[number // len(KINDS) % 2], *binary(head, blob)), right


def of_two(number: int, array: np.ndarray) -> tuple[bytes, Check]:
    numbers, texts = array[:, :1].repeat(2, 1), [f"text {number} {row} ä" for row in range(len(array))]
    asked = body(tensor("a", numbers), {"name": "t", "shape": [len(texts)], "datatype": "BYTES", "data": texts})

    def right(found: Reply) -> bool:
        told = {each["name"]: each["data"] for each in json.loads(found[2])["outputs"]}
        double = np.array_equal(np.array(told["double"], np.float32), (numbers * 2).ravel())
        return found[0] == 200 and double and told["text"] == [text.upper() for text in texts]

    return ask("pair", asked), right


def with_parameters(number: int, array: np.ndarray) -> tuple[bytes, Check]:
    given = {"n": number % 4, "s": str(number % 3)}

    def right(found: Reply) -> bool:
        (output,) = json.loads(found[2])["outputs"]
        return found[0] == 200 and [json.loads(each) for each in output["data"]] == [given] * len(array)

    return ask("params", body(tensor("x", array[:, :1]), parameters=given)), right


def poisoned(number: int, array: np.ndarray) -> tuple[bytes, Check]:
    bad = number // len(KINDS) == 600  # one of all: the search for more of them in one batch may end before it has them
    return infer("poison", [666 if bad else number]), lambda found: (
        (found[0], json.loads(found[2])["code"]) == (500, "model_error") if bad
        else found[0] == 200 and json.loads(found[2])["outputs"][0]["data"] == [number])  # fmt: skip


def of_a_wrong_shape(number: int, array: np.ndarray) -> tuple[bytes, Check]:
    def right(found: Reply) -> bool:
        return found[0] == 400 and "input 'x'" in json.loads(found[2])["error"]

    return ask("echo", body({"name": "x", "shape": [number + 2, 2], "datatype": "FP32", "data": [1]})), right


def about_a_model(number: int, array: np.ndarray) -> tuple[bytes, Check]:
    return http("GET", "/v2/models/pair"), lambda found: found[0] == 200 and json.loads(found[2])["name"] == "pair"


def of_no_model(number: int, array: np.ndarray) -> tuple[bytes, Check]:
    return infer(f"none{number}", [1]), lambda found: found[0] == 404 and f"none{number}" in found[2].decode()


KINDS = (in_json, in_binary, of_two, with_parameters, poisoned, of_a_wrong_shape, about_a_model, of_no_model)
