"""Every route of the HTTP door, for tests that try something on each of them: a new route is tried by itself."""

from __future__ import annotations

from collections.abc import Iterator

from served_models import Echo
from streaming_models import Streaming

from foretell.backends.opened import Opened
from foretell.catalog import Served
from foretell.config import ModelSettings
from foretell.engine.engine import Engine
from foretell.model import Model
from foretell.serve.openapi import document

STREAM_PY = b"""
from collections.abc import Iterator


def spell(text: str) -> Iterator[str]:
    yield from text.split()
"""
"""A model that streams: the words of a text."""


def _routes() -> Iterator[str]:
    """Method and path of each, for the models `m`, and `s`, which streams; as the OpenAPI document tells, of which
    `tests/serve/test_openapi.py` shows that it names every route and no other."""

    def served(model: Model, name: str) -> Served:
        return Served(
            name, "1", Engine(model, ModelSettings(), name=name), Opened(model, name, "", "", "python", None, ())
        )

    models = [served(Echo(), "m"), served(Streaming(), "s")]
    for path, item in document(models, needs_token=True, repository=True)["paths"].items():
        for method in item:
            # What a test takes out shall not be what the others ask for.
            name = "other" if path.endswith("/unload") else "m"
            yield f"{method.upper()} {path.replace('{model_name}', name)}"
    yield "GET /v2/"


ROUTES = sorted(_routes())
PATHS = sorted({request.split()[1] for request in ROUTES})
POSTS = [request.split()[1] for request in ROUTES if request.startswith("POST")]

FIXED = {
    "/": "open", "/v2": "open", "/v2/": "open", "/v2/health/live": "open", "/v2/health/ready": "open",
    "/metrics": "metrics", "/openapi.json": "infer",
}  # fmt: skip
"""Scopes of the routes that are there whatever models there are."""
SCOPES = {
    **{f"GET {path}": scope for path, scope in FIXED.items()},
    **{f"GET /v2/models/{model}{rest}": "infer" for model in ("m", "s", "m/versions/1", "s/versions/1")
       for rest in ("", "/ready", "/config")},
    "POST /v2/models/m/infer": "infer", "POST /v2/models/m/versions/1/infer": "infer",
    **{f"POST /v2/models/s{version}/{verb}": "infer" for version in ("", "/versions/1")
       for verb in ("generate", "generate_stream")},
    "POST /v2/repository/index": "manage", "POST /v2/repository/models/m/load": "manage",
    "POST /v2/repository/models/other/unload": "manage",
}  # fmt: skip
"""What a caller needs for each of them. Written by hand: what a route asks for is a decision."""
