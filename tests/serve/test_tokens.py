"""Who may come in: with tokens and without, on loopback and elsewhere, and what is told to whom."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Callable
from pathlib import Path

import pytest
from served_models import Echo, InlineEcho
from serving import Running
from token_files import add, bearer
from wire import Answer, Wire, http, infer, infer_body, values

from foretell.config import ServerSettings
from foretell.errors import InvalidSetting
from foretell.serve.guard import Guard
from foretell.serve.messages import Reply
from foretell.serve.routes import Route
from foretell.serve.tokens import Tokens

Serve = Callable[..., Running]
SECRET = "a-secret-of-the-environment"
OPEN = ("/", "/v2", "/v2/health/live", "/v2/health/ready")
INFER = ("/v2/models/echo", "/v2/models/echo/ready", "/v2/models/echo/config", "/v2/models/echo/versions/1")


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "tokens.toml"


def with_management(server: Running) -> Running:
    """A route that changes what is served, as far as who may come in is concerned."""
    app = server.application
    route = Route({b"POST": lambda e: e.respond(Reply(b"{}"))}, "manage", app.guard.check_of("manage"))
    server.on_loop(lambda: app._routes.__setitem__(b"/manage", route))
    return server


def get(server: Running, path: str, headers: dict[str, str] | None = None) -> Answer:
    return server.ask(http("GET", path, headers=headers))


def manage(server: Running, headers: dict[str, str] | None = None) -> int:
    return server.ask(http("POST", "/manage", b"{}", headers)).status


def test_without_tokens_everything_is_open_on_loopback(serve: Serve) -> None:
    server = with_management(serve(echo=Echo()))
    for path in (*OPEN, *INFER, "/metrics"):
        assert get(server, path).status == 200, path
    assert values(server.ask(infer("echo", [1]))) == [1]
    assert manage(server) == 200
    assert server.application.guard.lines("x", encrypted=False) == []


def test_without_tokens_nobody_manages_from_another_address(serve: Serve) -> None:
    server = with_management(serve(echo=Echo(), host="0.0.0.0"))
    for path in (*OPEN, *INFER, "/metrics"):
        assert get(server, path).status == 200, path
    assert values(server.ask(infer("echo", [1]))) == [1]
    assert manage(server) == 401  # though this client is on loopback: the server is not bound to it
    assert manage(server, bearer(SECRET)) == 401
    first, second = server.application.guard.lines("0.0.0.0", encrypted=False)
    assert "anybody who reaches 0.0.0.0 may ask for predictions" in first
    assert "nobody may manage" in second


def test_one_token_closes_everything_but_health_and_what_the_server_is(serve: Serve, file: Path) -> None:
    secrets = {scope: add(file, scope, scope) for scope in ("infer", "metrics", "manage")}
    server = with_management(serve(echo=Echo(), tokens_file=str(file)))
    for path in OPEN:
        assert get(server, path).status == 200, path
    needs = {**dict.fromkeys(INFER, "infer"), "/metrics": "metrics", "/nowhere": "infer", "/v2/models/no": "infer"}
    for path, needed in needs.items():
        assert get(server, path).status == 401, path
        for scope, secret in secrets.items():
            right = 404 if "no" in path else 200
            assert get(server, path, bearer(secret)).status == (right if scope == needed else 403), (path, scope)
    assert server.ask(infer("echo", [1])).status == 401
    assert values(server.ask(infer("echo", [1], bearer(secrets["infer"])))) == [1]
    assert [manage(server), manage(server, bearer(secrets["infer"]))] == [401, 403]
    assert manage(server, bearer(secrets["manage"])) == 200


def test_who_has_no_token_learns_nothing_of_the_models(serve: Serve) -> None:
    server = serve(echo=Echo(), token=SECRET)
    assert get(server, "/").json["models"] == {}
    for method in ("GET", "POST", "PUT", "OPTIONS", "DELETE"):
        known, unknown = (server.ask(http(method, f"/v2/models/{name}/infer", b"{}")) for name in ("echo", "nothing"))
        assert known.status == unknown.status == 401
        assert (known.body, known.header("allow")) == (unknown.body, None)


def test_a_token_in_the_environment_may_do_everything(serve: Serve, file: Path) -> None:
    other = add(file, "other", "infer")
    server = with_management(serve(echo=Echo(), tokens_file=str(file), token=SECRET))
    for path in (*INFER, "/metrics"):
        assert get(server, path, bearer(SECRET)).status == 200
    assert manage(server, bearer(SECRET)) == 200
    assert get(server, INFER[0], bearer(other)).status == 200
    assert SECRET not in repr(server.application.settings)


WRONG = [
    "Bearer x", "Bearer", "Bearer ", "bearer", "Basic dXNlcjpwYXNz", f"Bearer {SECRET}x", f"Bearer {SECRET[:-1]}",
    f"Bearer {SECRET} {SECRET}", f"Bearer{SECRET}", SECRET, f"Token {SECRET}", "Bearer " + "x" * 5000,
    f'Bearer "{SECRET}"', f"Bearer {SECRET},", "Bearer \xff\xfe", f"Bearer\t{SECRET}",
]  # fmt: skip


def test_every_wrong_token_gets_the_same_answer(serve: Serve) -> None:
    server = serve(echo=Echo(), token=SECRET)
    answers = [get(server, INFER[0], {"Authorization": value}) for value in WRONG]
    for answer in answers:
        assert (answer.status, answer.error) == (401, "the token is not valid")
        assert answer.header("www-authenticate") == 'Bearer realm="foretell", error="invalid_token"'
    missing = get(server, INFER[0])
    assert missing.status == 401
    assert missing.error == "this needs a token; expected a header Authorization: Bearer TOKEN"
    assert missing.header("www-authenticate") == 'Bearer realm="foretell"'


def test_the_right_token_is_taken_in_every_spelling_of_the_header(serve: Serve) -> None:
    server = serve(echo=Echo(), token=SECRET)
    for name, value in (("authorization", "bearer"), ("AUTHORIZATION", "BEARER"), ("Authorization", "Bearer  ")):
        assert get(server, INFER[0], {name: f"{value} {SECRET}"}).status == 200


def test_a_scope_that_is_missing_is_named(serve: Serve, file: Path) -> None:
    secret = add(file, "a", "infer")
    answer = get(serve(echo=Echo(), tokens_file=str(file)), "/metrics", bearer(secret))
    assert (answer.status, answer.error) == (403, "the token does not have the scope 'metrics'")
    challenge = 'Bearer realm="foretell", error="insufficient_scope", scope="metrics"'
    assert answer.header("www-authenticate") == challenge


def test_each_request_of_a_connection_is_checked_on_its_own(serve: Serve, file: Path) -> None:
    infers, metrics = add(file, "a", "infer"), add(file, "b", "metrics")
    server = serve(echo=InlineEcho(), tokens_file=str(file))
    with server.connect() as wire:
        for _ in range(3):
            for secret, status in ((infers, 200), (metrics, 403), ("wrong", 401), (infers, 200)):
                assert wire.send(infer("echo", [1], bearer(secret))).answer().status == status
            assert wire.send(infer("echo", [1])).answer().status == 401
        wire.send(infer("echo", [1], bearer(infers)) + infer("echo", [2]) + infer("echo", [3], bearer(infers)))
        assert [wire.answer().status for _ in range(3)] == [200, 401, 200]
    counted = get(server, "/metrics", bearer(metrics)).body.decode()
    assert re.search(r"^foretell_http_unauthorized_total 10\.0$", counted, re.MULTILINE)


def test_a_token_that_is_taken_away_no_longer_counts_on_open_connections(serve: Serve, file: Path) -> None:
    old = add(file, "old", "infer")
    server = serve(echo=InlineEcho(), tokens_file=str(file))
    with server.connect() as wire:
        for _ in range(3):
            assert wire.send(infer("echo", [1], bearer(old))).answer().status == 200
        file.unlink()
        fresh = add(file, "new", "infer")
        assert wire.send(infer("echo", [1], bearer(old))).answer().status == 200
        server.on_loop(server.application.reload)
        assert wire.send(infer("echo", [1], bearer(old))).answer().status == 401
        assert wire.send(infer("echo", [1], bearer(fresh))).answer().status == 200
        file.write_text("damaged")
        with pytest.raises(InvalidSetting, match="not valid TOML"):
            server.on_loop(server.application.reload)
        assert wire.send(infer("echo", [1], bearer(fresh))).answer().status == 200


def test_a_file_without_tokens_lets_nobody_in(serve: Serve, file: Path) -> None:
    file.touch(0o600)
    server = serve(echo=Echo(), tokens_file=str(file))
    assert [get(server, path).status for path in (INFER[0], "/metrics", OPEN[0])] == [401, 401, 200]


@pytest.mark.parametrize("how", ["large", "chunked", "expect"])
def test_a_body_is_not_read_from_who_may_not_send_it(serve: Serve, how: str) -> None:
    server = serve(echo=Echo(), token=SECRET)
    headers = {
        "large": {"Content-Length": 1_000_000}, "chunked": {"Transfer-Encoding": "chunked"},
        "expect": {"Content-Length": 10, "Expect": "100-continue"},
    }[how]  # fmt: skip
    for path in ("/v2/models/echo/infer", "/nowhere"):
        for extra, status in (({}, 401), (bearer("wrong" * 5), 401)):
            with server.connect() as wire:
                wire.send(http("POST", path, headers={**headers, **extra}))
                assert wire._one(head=False).status == status
                assert wire.finish().closed
    if how == "expect":
        body = infer_body([1])
        head = http("POST", "/v2/models/echo/infer", headers={**headers, "Content-Length": len(body), **bearer(SECRET)})
        with server.connect() as wire:
            assert wire.send(head).interim().status == 100
            assert values(wire.send(body).answer()) == [1]


def test_a_large_body_with_a_token_is_read(serve: Serve) -> None:
    server = serve(echo=Echo(), token=SECRET)
    data = [0.5] * 100_000
    assert values(server.ask(infer("echo", [data], bearer(SECRET), shape=[1, len(data)]))) == data


def test_pages_of_other_origins_may_not_manage(serve: Serve) -> None:
    server = with_management(serve(echo=Echo(), cors_origins=("https://console.example",)))
    for origin, status in (
        ("http://localhost", 200), ("https://console.example", 200), ("HTTPS://Console.Example", 200),
        ("https://evil.example", 403), ("null", 403), ("http://localhost:1", 403), ("", 403),
    ):  # fmt: skip
        assert manage(server, {"Origin": origin}) == status, origin
    for site, status in (("none", 200), ("same-origin", 200), ("same-site", 403), ("cross-site", 403)):
        assert manage(server, {"Sec-Fetch-Site": site}) == status, site
    assert values(server.ask(infer("echo", [1], {"Origin": "https://evil.example"}))) == [1]
    anyone = with_management(serve(echo=Echo(), cors_origins=("*",)))
    assert manage(anyone, {"Origin": "https://evil.example"}) == 403
    assert manage(anyone, {"Origin": "*"}) == 403


def test_the_start_says_who_may_come_in(file: Path) -> None:
    add(file, "a", "infer")
    add(file, "b", "infer")

    def lines(local: bool, encrypted: bool, mode: int = 0o600) -> list[str]:
        file.chmod(mode)
        settings = ServerSettings(tokens_file=str(file))
        guard = Guard(settings, Tokens(str(file)), lambda: 0.0, lambda: local)
        return guard.lines("10.0.0.1", encrypted=encrypted)

    (line,) = lines(local=True, encrypted=False)
    assert line == "predictions, metrics and management need a token (2 known); health is open"
    assert lines(local=False, encrypted=True) == [line]
    _, warning = lines(local=False, encrypted=False)
    assert "unencrypted" in warning
    _, warning = lines(local=True, encrypted=False, mode=0o644)
    assert warning == f"warning: tokens_file {file}: others may read it; chmod 600 it"


def test_secrets_are_not_in_the_file(file: Path) -> None:
    secret = add(file, "a", "infer")
    assert re.fullmatch(r"ftl_[A-Za-z0-9_-]{43}", secret)
    text = file.read_text()
    assert secret not in text
    assert hashlib.sha256(secret.encode()).hexdigest() in text
    assert file.stat().st_mode & 0o777 == 0o600
    assert add(file, "b", "infer") != secret
    assert len(Tokens(str(file))) == 2


DIGEST = "0" * 64
GOOD = f'[[token]]\nname = "a"\nsha256 = "{DIGEST}"\nscopes = ["infer"]\n'
BROKEN = {
    "no TOML": ("x", "not valid TOML"),
    "no text": (b"\xff", "not valid TOML"),
    "something else": ("[server]\nport = 1", "there is something else than tokens; expected .*, got server"),
    "one table": ('[token]\nname = "a"', r"there is something else than tokens; expected \[\[token\]\] for each"),
    "no tables": ("token = [1]", "token 1: not a table"),
    "an unknown key": (GOOD + "scope = 1", "token 1: unknown key 'scope'; did you mean 'scopes'?"),
    "no name": (GOOD.replace('name = "a"\n', ""), "token 1: name: wrong value"),
    "a strange name": (GOOD.replace('"a"', '"a b"'), "token 1: name: wrong value; expected letters, digits"),
    "a short digest": (GOOD.replace(DIGEST, "00"), "token 1: sha256: wrong value; expected 64 hexadecimal digits"),
    "no scope": (GOOD.replace('"infer"', ""), "token 1: scopes: wrong value; expected some of infer, manage, metrics"),
    "an unknown scope": (GOOD.replace("infer", "admin"), "token 1: scopes: wrong value"),
    "scopes in one text": (GOOD.replace('["infer"]', '"infer"'), "token 1: scopes: wrong value"),
    "no rate": (GOOD + "rate_per_s = 0", "token 1: rate_per_s: wrong value; expected a number from 1e-06 to 1e\\+09"),
    "an endless rate": (GOOD + "rate_per_s = inf", "token 1: rate_per_s: wrong value"),
    "a rate that is none": (GOOD + "rate_per_s = nan", "token 1: rate_per_s: wrong value"),
    "half a burst": (GOOD + "rate_per_s = 1\nburst = 1.5", "token 1: burst: wrong value"),
    "a burst without a rate": (GOOD + "burst = 1", "token 1: burst would do nothing; add rate_per_s"),
    "a name twice": (GOOD + GOOD.replace(DIGEST, "1" * 64), "token 2: another token has the same name"),
    "a secret twice": (GOOD + GOOD.replace('"a"', '"b"'), "token 2: another token has the same digest"),
    "too large": ("#" * 2**20 + "\n", "the file is too large; expected at most 1048576 bytes"),
}


@pytest.mark.parametrize("name", BROKEN)
def test_a_file_that_is_wrong_is_refused_with_a_sentence(file: Path, name: str) -> None:
    text, sentence = BROKEN[name]
    file.write_bytes(text if isinstance(text, bytes) else text.encode())
    file.chmod(0o600)
    with pytest.raises(InvalidSetting, match=re.escape(f"tokens_file {file}") + ".*" + sentence):
        Tokens(str(file))


def test_a_secret_in_place_of_its_digest_is_not_shown(file: Path) -> None:
    file.write_text(GOOD.replace(DIGEST, "my-secret"))
    file.chmod(0o600)
    with pytest.raises(InvalidSetting, match="sha256: wrong value") as caught:
        Tokens(str(file))
    assert "my-secret" not in str(caught.value)


@pytest.mark.parametrize("mode", [0o620, 0o602, 0o666])
def test_a_file_that_others_may_change_is_refused(file: Path, mode: int) -> None:
    add(file, "a", "infer")
    file.chmod(mode)
    with pytest.raises(InvalidSetting, match="others may write to it, and so let themselves in; chmod 600 it"):
        Tokens(str(file))
    with pytest.raises(InvalidSetting, match="others may write to it"):
        add(file, "b", "infer")


def test_what_is_no_file_is_refused_at_once(tmp_path: Path) -> None:
    import os

    os.mkfifo(tmp_path / "pipe", 0o600)
    for path, sentence in ((tmp_path / "pipe", "not a file"), (tmp_path, "cannot be read|not a file")):
        with pytest.raises(InvalidSetting, match=sentence):
            Tokens(str(path))
    with pytest.raises(InvalidSetting, match="cannot be read: No such file or directory"):
        Tokens(str(tmp_path / "gone"))


@pytest.mark.parametrize("secret", ["", "short", "with space in it 1234", "x" * 15, "ümlaut-ümlaut-ümlaut"])
def test_a_secret_in_the_environment_has_to_be_one(secret: str) -> None:
    with pytest.raises(InvalidSetting, match="FORETELL_TOKEN: not a token; expected at least 16 characters") as caught:
        Tokens(None, secret)
    assert not secret or secret not in str(caught.value).replace("FORETELL_TOKEN", "")


def test_tokens_hold_on_a_unix_socket_too(serve: Serve, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    server = with_management(serve(echo=Echo(), unix_socket="door.sock"))
    assert manage(server) == 200
    closed = with_management(serve(echo=Echo(), unix_socket="closed.sock", token=SECRET))
    assert manage(closed) == 401
    with Wire(0, path="closed.sock") as wire:
        assert values(wire.send(infer("echo", [1], bearer(SECRET))).answer()) == [1]
