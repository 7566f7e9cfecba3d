"""Every route of the HTTP door, for tests that try something on each of them."""

from __future__ import annotations

FIXED = {
    "/": "open", "/v2": "open", "/v2/": "open", "/v2/health/live": "open", "/v2/health/ready": "open",
    "/metrics": "metrics",
}  # fmt: skip
"""Scopes of the routes that are there whatever models there are."""
SCOPES = {
    **{f"GET {path}": scope for path, scope in FIXED.items()},
    "GET /v2/models/m": "infer", "GET /v2/models/m/ready": "infer", "GET /v2/models/m/config": "infer",
    "GET /v2/models/m/versions/1": "infer", "GET /v2/models/m/versions/1/ready": "infer",
    "GET /v2/models/m/versions/1/config": "infer",
    "POST /v2/models/m/infer": "infer", "POST /v2/models/m/versions/1/infer": "infer",
    "POST /v2/repository/index": "manage", "POST /v2/repository/models/m/load": "manage",
    "POST /v2/repository/models/other/unload": "manage",
}  # fmt: skip
"""Method and path of one request to every route, with the model `m`, and what a caller needs for it."""
PATHS = sorted({request.split()[1] for request in SCOPES})
