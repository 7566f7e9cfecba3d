"""`foretell serve` as people run it: every form of model, an orderly end, and one sentence when it cannot start."""

from __future__ import annotations

import json
import os
import signal
import socket
import sys
import threading
import urllib.request
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import onnx_build
import pytest
from program import Server, run
from wire import Wire, http, infer, infer_body, values

Serve = Callable[..., Server]


def get(server: Server, path: str) -> Any:
    with urllib.request.urlopen(f"http://127.0.0.1:{server.port}{path}", timeout=20) as reply:
        return json.load(reply)


def ask(server: Server, model: str, **tensor: Any) -> Any:
    body = json.dumps({"inputs": [tensor]}).encode()
    with Wire(server.port) as wire:
        answer = wire.send(http("POST", f"/v2/models/{model}/infer", body)).answer()
        assert answer.status == 200, answer.body
        return {output["name"]: output["data"] for output in answer.json["outputs"]}


def test_every_form_of_model_in_one_server(folder: Path, serve: Serve) -> None:
    import skops.io

    flowers, names, classifier = onnx_build.iris()
    skops.io.dump(classifier, folder / "flowers.skops")
    for version, factor in (("1", "3"), ("10", "5")):
        place = folder / "repo" / "scaled" / version
        place.mkdir(parents=True)
        (place / "model.onnx").write_bytes((folder / "iris.onnx").read_bytes())
        (place / "model.toml").write_text(f"max_batch_size = {factor}")
    server = serve("iris.onnx", "flowers.skops", "models.py:Double", "loud=models:shout", "second=iris.onnx", "repo")

    one = flowers[60].tolist()
    tensor = {"name": "X", "shape": [1, 4], "datatype": "FP32", "data": one}
    for model in ("iris", "second", "scaled", "scaled/versions/1", "scaled/versions/10"):
        assert ask(server, model, **tensor)["label"] == [names[60]], model
    skops_input = get(server, "/v2/models/flowers")["inputs"][0]
    answer = ask(server, "flowers", **{**tensor, "name": skops_input["name"], "datatype": skops_input["datatype"]})
    assert answer["label"] == [names[60]]
    assert ask(server, "Double", name="x", shape=[1, 2], datatype="FP64", data=[1.5, 2]) == {"output": [3.0, 4.0]}
    assert list(ask(server, "loud", name="text", shape=[2], datatype="BYTES", data=["a", "ö"]).values()) == [["A", "Ö"]]
    assert get(server, "/v2/models/scaled")["versions"] == ["1", "10"]
    assert get(server, "/v2/models/scaled/config")["max_batch_size"] == 5
    assert get(server, "/v2/models/scaled/versions/1/config")["max_batch_size"] == 3
    assert get(server, "/v2/health/ready")["ready"] is True
    assert any("iris version 1 (onnx): X FP32[-1, 4]" in line for line in server.said)
    server.stop()
    assert server.end() == 0


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_the_end_under_load_loses_no_request(serve: Serve, number: int) -> None:
    server = serve("iris.onnx")
    request = http(
        "POST", "/v2/models/iris/infer",
        json.dumps({"inputs": [{"name": "X", "shape": [1, 4], "datatype": "FP32", "data": [6, 3, 4, 1]}]}).encode(),
    )  # fmt: skip
    answered = threading.Semaphore(0)
    problems: list[object] = []

    def client() -> None:
        try:
            with Wire(server.port) as wire:
                while True:
                    answer = wire.send(request).answer()
                    assert answer.status == 200, answer
                    answered.release()
                    if answer.header("connection") == "close":
                        return
        except BaseException as error:
            problems.append(error)

    clients = [threading.Thread(target=client) for _ in range(16)]
    for one in clients:
        one.start()
    for _ in range(500):
        assert answered.acquire(timeout=30)
    server.stop(number)
    for one in clients:
        one.join(30)
    assert problems == []
    assert server.end() == 0
    assert any("stopping" in line for line in server.said)
    with pytest.raises(ConnectionRefusedError):
        socket.create_connection(("127.0.0.1", server.port), 5)


def test_a_slow_request_is_finished_before_the_end(folder: Path, serve: Serve) -> None:
    pipe = folder / "pipe"
    os.mkfifo(pipe)
    server = serve("models.py:Waits", env={"PIPE": str(pipe)})
    with Wire(server.port) as wire, Wire(server.port) as probe:
        wire.send(infer("Waits", [[1, 2]], shape=[1, 2]))
        with open(pipe, "wb") as gate:  # opens when the model reads
            assert probe.send(http("GET", "/v2/health/ready")).answer().status == 200
            server.stop()
            server.wait_for("stopping")
            assert probe.send(http("GET", "/v2/health/ready")).answer().status == 503
            gate.write(b"go")
        answer = wire.answer()
        assert values(answer) == [1, 2]
        assert answer.header("connection") == "close"
    assert server.end() == 0


def test_a_model_may_meddle_with_its_process(folder: Path, serve: Serve) -> None:
    """A signal to look again that comes while models load, and standard streams that a call closes."""
    (folder / "meddles.py").write_text(
        "import os, signal, sys\n"
        "class Meddles:\n"
        "    def __init__(self):\n"
        "        os.kill(os.getpid(), signal.SIGHUP)\n"
        "    def predict(self, x):\n"
        "        sys.stdout.close()\n"
        "        sys.stderr.close()\n"
        "        return {'y': x}\n"
    )
    tokens = folder / "tokens.toml"
    tokens.touch(0o600)
    server = serve("meddles.py:Meddles", "--tokens-file", tokens, env={"FORETELL_TOKEN": "0123456789abcdef"})
    server.wait_for("read again: tokens")
    head = {"Authorization": "Bearer 0123456789abcdef"}
    with Wire(server.port) as wire:
        assert values(wire.send(http("POST", "/v2/models/Meddles/infer", infer_body([1.0]), head)).answer()) == [1]
    server.stop()
    assert server.end() == 0


def with_open_files(least: int, most: int) -> list[str]:
    """Runs a program that has so many, and may ask for so many."""
    script = f"import os, resource as r, sys; r.setrlimit(r.RLIMIT_NOFILE, ({least}, {most}))"
    return [sys.executable, "-c", f"{script}; os.execv(sys.argv[1], sys.argv[1:])"]


def test_as_many_clients_as_there_is_room_for(folder: Path, serve: Serve) -> None:
    """A limit of open files that can be raised is; below one that cannot, clients are told to come back."""
    server = serve("iris.onnx", "--max-connections", 200, through=with_open_files(64, 1024))
    server.stop()
    assert server.end() == 0
    assert not [line for line in server.said if "clients at a time" in line]
    server = serve("iris.onnx", through=with_open_files(64, 128))
    (warning,) = [line for line in server.said if "clients at a time" in line]
    room = int(warning.split()[1])
    assert 0 < room < 128
    with ExitStack() as stack:
        wires = [stack.enter_context(Wire(server.port)) for _ in range(room + 1)]
        answers = [wire.send(http("GET", "/v2/health/live")).answer() for wire in wires]
    assert [answer.status for answer in answers] == [200] * room + [503]
    assert answers[-1].header("retry-after") == "1"


def test_a_port_that_is_taken(folder: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        done = run("serve", "models.py:Double", "--http-port", port, cwd=folder)
    assert done.returncode == 1
    (line,) = done.stderr.splitlines()
    assert line.startswith(f"foretell: cannot listen on 127.0.0.1:{port}: ")
    assert line.endswith("choose another --host or --http-port")
    assert done.stdout == ""


def broken(folder: Path) -> None:
    """Model files that are not what their names say."""
    good = (folder / "iris.onnx").read_bytes()
    (folder / "text.onnx").write_text("hello")
    (folder / "empty.onnx").write_bytes(b"")
    (folder / "half.onnx").write_bytes(good[: len(good) // 2])
    (folder / "random.onnx").write_bytes(bytes(range(256)) * 20)
    (folder / "text.skops").write_text("hello")
    (folder / "weights.pkl").write_bytes(b"\x80\x04N.")
    (folder / "weights.h5").write_bytes(b"\x89HDF")
    (folder / "fails.py").write_text("raise OSError('disk on fire')")
    (folder / "nothing").mkdir()
    (folder / "wrong" / "m" / "v1").mkdir(parents=True)
    (folder / "mixed" / "m" / "1").mkdir(parents=True)
    (folder / "mixed" / "m" / "1" / "model.onnx").write_text("hello")


@pytest.mark.parametrize(
    ("source", "words"),
    [
        ("text.onnx", "text.onnx"), ("empty.onnx", "empty.onnx"), ("half.onnx", "half.onnx"),
        ("random.onnx", "random.onnx"), ("text.skops", "text.skops"), ("weights.pkl", "weights.pkl"),
        ("weights.h5", "weights.h5"), ("missing.onnx", "missing.onnx"), ("nothing", "nothing"), ("wrong", "v1"),
        ("mixed", "model.onnx"), ("fails.py:Model", "disk on fire"), ("models.py:Breaks", "no weights"),
        ("models.py:Missing", "Missing"), ("no_such_module:Model", "no_such_module"),
        ("m=missing.onnx", "missing.onnx"),
        ("https://example.com/model.onnx", "example.com"),
    ],
)  # fmt: skip
def test_a_model_that_cannot_be_served(folder: Path, source: str, words: str) -> None:
    broken(folder)
    done = run("serve", "models.py:Double", source, "--http-port", 0, cwd=folder)
    assert done.returncode == 1, done.stderr
    (line,) = done.stderr.splitlines()
    assert line.startswith("foretell: ")
    assert words in line
    assert done.stdout == ""
