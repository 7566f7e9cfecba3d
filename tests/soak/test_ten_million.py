"""Ten million requests and five hundred reloads in one server: every one is answered well, and memory has no slope.

`wrk` asks, since no client in Python is as fast as the server; a few clients in Python look at every answer.
"""

from __future__ import annotations

import re
import shutil
import subprocess
from pathlib import Path

import numpy as np
import pytest
from program import Server
from reloading import Process, Reloading
from repositories import put, times
from wire import infer_body

_REQUESTS = 10_000_000
_RELOADS = 500
_CONNECTIONS, _SLICE_S = 64, 5
_READERS = 2
_FIRST = 0.2
"""Of the requests; until then the allocator has seen what there is to see."""
_MOST_GROWTH_BYTES = 8 * 2**20
_TEXT = (
    b'{"inputs":[{"name":"x","shape":[1,1],"datatype":"FP32","parameters":{"binary_data_size":4}}],'
    b'"parameters":{"binary_data_output":true}}'
)
_DONE = re.compile(r"(\d+) requests in")


def scripts(folder: Path) -> list[Path]:
    """One row in JSON, the same with an id for each request, as bytes, and in JSON of ever another size."""
    body, blob = folder / "body", folder / "blob"
    body.write_bytes(infer_body([1]))
    blob.write_bytes(_TEXT + np.float32(1).tobytes())
    read = 'local file = io.open("{}", "rb")\nwrk.method, wrk.body = "POST", file:read("*a")\n'
    count = "local count = 0\nrequest = function()\n  count = count + 1\n"
    texts = {
        "json": read.format(body),
        "ids": read.format(body)
        + count
        + '  wrk.headers["X-Request-Id"] = "soak-" .. count\n  return wrk.format()\nend\n',
        "binary": read.format(blob) + f'wrk.headers["Inference-Header-Content-Length"] = "{len(_TEXT)}"\n',
        "sizes": read.format(body)
        + count
        + '  return wrk.format(nil, nil, nil, wrk.body .. (" "):rep(count % 99))\nend\n',
    }
    made = [folder / f"{name}.lua" for name in texts]
    for path, text in zip(made, texts.values(), strict=True):
        path.write_text(text)
    return made


def ask(server: Server, script: Path) -> int:
    """How many requests it answered in `_SLICE_S`, all of them well."""
    url = f"http://127.0.0.1:{server.port}/v2/models/m/infer"
    done = subprocess.run(
        ["wrk", "-t1", f"-c{_CONNECTIONS}", f"-d{_SLICE_S}s", "--timeout", "30s", "-s", str(script), url],
        capture_output=True, text=True, check=True, timeout=60 + _SLICE_S,
    )  # fmt: skip
    assert "Non-2xx" not in done.stdout, done.stdout
    assert "Socket errors" not in done.stdout, done.stdout
    found = _DONE.search(done.stdout)
    assert found is not None, done.stdout
    return int(found[1])


@pytest.mark.soak
@pytest.mark.timeout(3600)
def test_memory_has_no_slope(tmp_path: Path) -> None:
    if shutil.which("wrk") is None:
        pytest.fail("wrk is not installed: make soak needs it (apt install wrk, brew install wrk)")
    file = put(tmp_path / "repo/m/1/model.onnx", times(1))
    kinds = scripts(tmp_path)
    server = Server("repo", cwd=tmp_path)
    try:
        process, reloading = Process(server), Reloading(server, file, _READERS)
        memory: list[int] = []
        asked = reloads = turn = 0
        with reloading.traffic():
            while asked < _REQUESTS:
                asked += ask(server, kinds[turn % len(kinds)])
                turn += 1
                while reloads < _RELOADS * min(1.0, asked / _REQUESTS):
                    reloading.reload(1)
                    reloads += 1
                if asked > _FIRST * _REQUESTS:
                    memory.append(process.memory_bytes)
        process.settled()
        middle = len(memory) // 2
        assert max(memory[middle:]) - max(memory[:middle]) < _MOST_GROWTH_BYTES, memory
        assert process.metric("queue_rows") == 0
        server.stop()
        assert server.end() == 0
    finally:
        server.kill()
