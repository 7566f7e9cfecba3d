"""What a caller needs for each route."""

from __future__ import annotations

import pytest
from served_models import Echo
from serving import Running

SCOPES = {
    "/": "open", "/v2": "open", "/v2/": "open", "/v2/health/live": "open", "/v2/health/ready": "open",
    "/metrics": "metrics", "/v2/models/echo": "infer", "/v2/models/echo/ready": "infer",
    "/v2/models/echo/config": "infer", "/v2/models/echo/infer": "infer", "/v2/models/echo/versions/1/infer": "infer",
}  # fmt: skip


@pytest.mark.parametrize("path", SCOPES)
def test_every_route_says_who_may_come_in(serve: object, path: str) -> None:
    server: Running = serve(echo=Echo())  # type: ignore[operator]
    route = server.on_loop(lambda: server.application._find(path.encode()))
    assert route.scope == SCOPES[path]
