"""Class of holes: unsafe deserialisation on the wire. Nothing a client sends is ever unpickled, on any route."""

from __future__ import annotations

import base64
import gzip
import os
import pickle
import socket
from pathlib import Path
from typing import Any

import msgspec
import pytest
from repositories import Managed
from routes import PATHS
from wire import chunked, http

from foretell.remote import channel as remote_channel
from foretell.remote.messages import reply_decoder, request_decoder
from foretell.workers.channel import Channel
from foretell.workers.messages import TooLong, to_supervisor, to_worker


class Planted:
    """Leaves a mark where it is unpickled."""

    def __reduce__(self) -> Any:
        return (os.mkdir, ("planted",))


PICKLES = [pickle.dumps(Planted(), protocol) for protocol in (0, 2, 5)]
CONTENT_TYPES = (
    "application/octet-stream", "application/vnd.bentoml+pickle", "application/x-pickle", "application/python-pickle",
    "application/x-python-serialize", "application/json", "multipart/form-data; boundary=x", "text/yaml",
)  # fmt: skip
HEADERS: list[dict[str, object]] = [
    *({"Content-Type": kind} for kind in CONTENT_TYPES),
    {"Payload-Container": "NdarrayContainer", "Payload-Meta": '{"format": "pickle5"}', "Batch-Size": 1},
    {"Args-Number": 1, "Content-Type": "application/vnd.bentoml.multiple_outputs"},
    {"X-Pickle": "1", "Accept": "application/x-pickle"},
    {"Inference-Header-Content-Length": 0},
    {"Content-Encoding": "pickle"},
]


@pytest.mark.parametrize("path", PATHS)
def test_a_pickle_is_refused_under_every_header(server: Managed, folder: Path, path: str) -> None:
    for headers in HEADERS:
        for body in PICKLES:
            answer = server.ask(http("POST", path, body, headers))
            assert answer.status >= 400, (headers, answer)
            assert answer.error
    for request in (
        http("POST", path, gzip.compress(PICKLES[0]), {"Content-Encoding": "gzip"}), chunked(path, PICKLES)
    ):  # fmt: skip
        assert server.ask(request).status >= 400, request
    for request in (  # JSON whatever it says: what nobody asks for is passed over
        http("POST", path, b'{"parameters":{"__reduce__":["os.system",["id"]]},"py/object":"os.system"}'),
        http("POST", path, b'{"inputs":[{"name":"x","shape":[1],"datatype":"BYTES","data":["%b"]}]}'
             % base64.b64encode(PICKLES[0])),
    ):  # fmt: skip
        assert server.ask(request).status < 500, request
    assert not (folder / "work/planted").exists()


def test_a_pickle_in_place_of_a_tensor_is_bytes(server: Managed, folder: Path) -> None:
    """An array of NumPy objects is a pickle too; here a tensor is its numbers and nothing else."""
    head = b'{"inputs":[{"name":"x","shape":[1,1],"datatype":"%b","parameters":{"binary_data_size":%d}}]}'
    for datatype in (b"FP32", b"BYTES", b"object", b"O", b"PICKLE"):
        text = head % (datatype, len(PICKLES[0]))
        headers = {"Inference-Header-Content-Length": len(text)}
        assert server.ask(http("POST", "/v2/models/m/infer", text + PICKLES[0], headers)).status == 400
    assert not (folder / "work/planted").exists()


@pytest.mark.parametrize("content", [*PICKLES, b"", b"\0" * 64, b"{}", b'{"type":"start"}', b"\xc1" * 20])
async def test_a_pickle_on_an_internal_socket_is_no_message(folder: Path, content: bytes) -> None:
    """Between the supervisor and its workers."""
    for decode in (to_worker.decode, to_supervisor.decode):
        ours, theirs = socket.socketpair()
        line: Channel[Any] = await Channel.over(ours, decode)
        with theirs:
            theirs.sendall(len(content).to_bytes(4) + content)
            with pytest.raises(msgspec.DecodeError):
                await line.receive()
            theirs.sendall(b"\x80\x04\x95\xff" + content)
            with pytest.raises(TooLong):  # a pickle's first bytes are a length beyond all messages
                await line.receive()
        line.close()
    assert not (folder / "work/planted").exists()


@pytest.mark.parametrize("content", [*PICKLES, b"", b"\0" * 64, b"{}", b"\xc1" * 20])
def test_a_pickle_on_the_socket_of_a_replica_is_no_message(folder: Path, content: bytes) -> None:
    for decoder in (request_decoder, reply_decoder):
        ours, theirs = socket.socketpair()
        with ours, theirs:
            theirs.sendall(len(content).to_bytes(4, "little") + content)
            message = remote_channel.Channel(ours).receive(1.0)
            assert message is not None
            with pytest.raises(msgspec.DecodeError):
                decoder.decode(message)
        ours, theirs = socket.socketpair()
        with ours, theirs:
            theirs.sendall(b"\xff\xff\xff\x7f" + content)
            with pytest.raises(remote_channel.Garbage):
                remote_channel.Channel(ours).receive(1.0)
    assert not (folder / "work/planted").exists()
