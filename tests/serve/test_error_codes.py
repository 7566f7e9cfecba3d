"""Every error has a code that programs can tell apart, beside the sentence for people."""

from __future__ import annotations

from typing import Any

import pytest
from served_models import Echo, Poison
from serving import served
from wire import http, infer

from foretell.columns import Batch
from foretell.config import ModelSettings
from foretell.errors import InferenceError, ModelError, NotReady, Overloaded, ReplicaLost, TransientError
from foretell.model import Context
from foretell.serve.codecs.error_reply import error_code
from foretell.serve.messages import HttpError


@pytest.mark.parametrize(
    ("request_", "status", "code"),
    [
        (http("GET", "/nowhere"), 404, "not_found"),
        (infer("nobody", [1]), 404, "not_found"),
        (http("PUT", "/v2/models/echo"), 405, "method_not_allowed"),
        (infer("echo", ["text"]), 400, "invalid_input"),
        (http("POST", "/v2/models/echo/infer", b"{"), 400, "invalid_input"),
        (b"nonsense\r\n\r\n", 400, "bad_request"),
        (infer("poison", [666]), 500, "model_error"),
    ],
)
def test_an_error_has_a_sentence_and_a_code(serve: Any, request_: bytes, status: int, code: str) -> None:
    answer = serve(echo=Echo(), poison=Poison()).ask(request_)
    assert (answer.status, answer.json) == (status, {"error": answer.error, "code": code})


def test_what_only_http_has_is_called_as_its_status() -> None:
    codes = [error_code(HttpError(status, "no")) for status in (413, 429, 503)]
    assert codes == ["content_too_large", "too_many_requests", "service_unavailable"]


class Raises(Echo):
    def __init__(self, error: InferenceError) -> None:
        super().__init__()
        self.error = error

    def predict(self, batch: Batch, ctx: Context) -> Batch:
        raise self.error


class Own(ModelError):
    """Of a model, which says of itself what it likes."""

    code = "Not one\nword"


@pytest.mark.parametrize(
    ("error", "status", "code"),
    [
        (Overloaded("later"), 429, "overloaded"),
        (NotReady("not yet"), 503, "not_ready"),
        (ReplicaLost("gone"), 503, "replica_lost"),
        (TransientError("again"), 503, "transient"),
        (Own("no"), 500, "model_error"),
    ],
)
def test_what_may_be_tried_again_is_told_apart(serve: Any, error: InferenceError, status: int, code: str) -> None:
    answer = serve(served(Raises(error), "raises", settings=ModelSettings(retries=0))).ask(infer("raises", [0]))
    assert (answer.status, answer.json["code"]) == (status, code)
