"""A share of what names no version goes to a canary, and nothing else changes."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from served_models import Echo
from serving import Running, served
from stream_client import ask_stream
from streaming_models import Streaming
from wire import Answer, http, infer

from foretell.config import ServerSettings, settings
from foretell.errors import InvalidSetting

Serve = Callable[..., Running]


def two(serve: Serve, share: str, *more: str, **options: Any) -> Running:
    """A server with a canary: version 3 of three."""
    versions = [served(Echo(), "echo", version) for version in ("1", "2", "3", *more)]
    return serve(*versions, canary=(f"echo=3:{share}",), **options)


def by(answer: Answer) -> str:
    assert answer.status == 200, answer.body
    version: str = answer.json["model_version"]
    return version


def answered(server: Running, requests: list[bytes]) -> list[str]:
    with server.connect() as wire:
        return [by(wire.send(request).answer()) for request in requests]


def test_the_share_is_the_canarys_and_the_rest_the_highest_others(serve: Serve) -> None:
    server = two(serve, "25%")
    versions = answered(server, [infer("echo", [1])] * 800)
    assert set(versions) == {"2", "3"} and 100 < versions.count("3") < 300, "200, of which 8 deviations are 98"
    text = server.application.metrics()
    for version in ("2", "3"):
        counted = f'foretell_requests_total{{model="echo",version="{version}",outcome="ok"}} {versions.count(version)}'
        assert counted in text


@pytest.mark.parametrize(("share", "version"), [("0%", "2"), ("100%", "3")])
def test_all_and_nothing(serve: Serve, share: str, version: str) -> None:
    server = two(serve, share)
    assert set(answered(server, [infer("echo", [1])] * 30)) == {version}
    for named in ("1", "2", "3"):
        assert by(server.ask(infer(f"echo/versions/{named}", [1]))) == named
    config = server.ask(http("GET", "/v2/models/echo/config")).json["foretell"]["canary"]
    assert config == {"version": "3", "share": float(share[:-1]) / 100, "there": True}


def test_a_request_id_always_goes_to_the_same_version(serve: Serve) -> None:
    first, second = two(serve, "50%"), two(serve, "50%")
    requests = [infer("echo", [1], {"X-Request-Id": f"caller-{number}"}) for number in range(60)]
    versions = answered(first, requests)
    assert set(versions) == {"2", "3"}
    assert answered(first, requests) == versions == answered(second, requests)


def test_streams_are_shared_out_too(serve: Serve) -> None:
    server = serve(served(Streaming(), "count", "1"), served(Streaming(), "count", "2"), canary=("count=2:100%",))
    assert by(server.ask(ask_stream("count", {"x": 1}, "generate"))) == "2"


def test_a_canary_that_goes_leaves_all_to_the_others_and_may_come_back(serve: Serve) -> None:
    server = two(serve, "100%")
    assert by(server.ask(infer("echo", [1]))) == "3"
    gone = server.catalog.resolve("echo", "3")
    server.change(lambda catalog: catalog.remove("echo", "3"))
    assert by(server.ask(infer("echo", [1]))) == "2"
    assert server.ask(http("GET", "/v2/models/echo/config")).json["foretell"]["canary"]["there"] is False
    server.change(lambda catalog: catalog.put(served(Echo(), "echo", "4")))
    assert by(server.ask(infer("echo", [1]))) == "4", "a new version is no canary"
    server.change(lambda catalog: catalog.put(gone))
    assert by(server.ask(infer("echo", [1]))) == "3"
    for version in ("1", "2", "4"):
        engine = server.catalog.resolve("echo", version).engine
        server.change(lambda catalog, version=version: catalog.remove("echo", version))  # type: ignore[misc]
        engine.close()
    assert by(server.ask(infer("echo", [1]))) == "3", "the only one answers all"


def test_each_version_has_its_lines_in_the_prediction_log(serve: Serve, tmp_path: Any) -> None:
    path = tmp_path / "log.jsonl"
    server = two(serve, "50%", prediction_log=str(path))
    versions = answered(server, [infer("echo", [1])] * 40)
    server.close()
    text = path.read_text()
    assert text.count('"version":"3"') == versions.count("3") and text.count('"version":"2"') == versions.count("2")


@pytest.mark.parametrize(
    ("canary", "said"),
    [
        ("other=2:5%", "there is no model 'other'"),
        ("echo=7:5%", "model 'echo' has no such version; expected version 1, 2, got 7"),
        ("echo=2:101%", "the share of model 'echo' is out of range"),
        ("alone=1:5%", "model 'alone' has no other version"),
    ],
)
def test_what_cannot_be_is_said_at_the_start(serve: Serve, canary: str, said: str) -> None:
    models = [served(Echo(), "echo", "1"), served(Echo(), "echo", "2"), served(Echo(), "alone", "1")]
    with pytest.raises(InvalidSetting, match=said):
        serve(*models, canary=(canary,))


def test_a_model_has_one_canary(serve: Serve) -> None:
    with pytest.raises(InvalidSetting, match="has two canaries"):
        serve(*(served(Echo(), "echo", version) for version in "123"), canary=("echo=2:5%", "echo=3:5%"))


@pytest.mark.parametrize("canary", ["echo", "echo=2", "echo=2:5", "echo=x:5%", "echo=2:-5%", "echo=2:nan%"])
def test_what_has_no_form_is_refused(canary: str) -> None:
    with pytest.raises(InvalidSetting, match="canary: wrong value; expected NAME=VERSION:SHARE%"):
        settings(ServerSettings, canary=(canary,))
