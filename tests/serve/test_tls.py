"""HTTPS: requests are answered as without, and who shakes hands wrongly, slowly or not at all harms nobody else."""

from __future__ import annotations

import contextlib
import ssl
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import trustme
from certificates import Certificates
from served_models import Echo, Gate, InlineEcho
from serving import Running
from wire import Wire, chunked, http, infer, infer_body, values

from foretell.config import ServerSettings
from foretell.errors import InvalidSetting
from foretell.serve.accepting import Acceptor
from foretell.serve.tls import context_of

Serve = Callable[..., Running]


@pytest.fixture
def made(tmp_path: Path) -> Certificates:
    return Certificates(tmp_path)


@pytest.fixture
def secure(serve: Any, made: Certificates) -> Serve:
    """As `serve`, over TLS."""

    def start(**options: Any) -> Running:
        server: Running = serve(**{**made.settings, **options})
        server.connecting["tls"] = made.client()
        return server

    return start


def test_requests_are_answered_as_without_it(secure: Serve) -> None:
    server = secure(echo=InlineEcho())
    assert server.application.server.listener.url.startswith("https://127.0.0.1:")
    with server.connect() as wire:
        for number in range(5):
            assert values(wire.send(infer("echo", [number])).answer()) == [number]
        wire.send(b"".join(infer("echo", [number]) for number in range(50)))
        assert [values(wire.answer()) for _ in range(50)] == [[float(number)] for number in range(50)]
        body = infer_body([1, 2, 3])
        assert values(wire.send(chunked("/v2/models/echo/infer", [body[:9], body[9:]])).answer()) == [1, 2, 3]
        big = [0.5] * 300_000
        assert values(wire.send(infer("echo", [big], shape=[1, len(big)])).answer()) == big


def test_connections_end_as_without_it(secure: Serve) -> None:
    server = secure(echo=Echo(), max_body_bytes=1000)
    with server.connect() as wire:
        assert values(wire.send(infer("echo", [1], {"Connection": "close"})).answer()) == [1]
        assert wire.closed
    with server.connect() as wire:  # what is refused is read on for a while, so that the client sees the answer
        assert wire.send(http("POST", "/v2/models/echo/infer", b" " * 300_000)).answer().status == 413
        assert wire.closed
    server.until(lambda: server.application.server.connections == 0)


def test_what_is_refused_is_read_on_although_the_client_has_its_answer(secure: Serve) -> None:
    """Whoever writes the whole body before it reads must not be cut off in between."""
    server = secure(echo=Echo(), max_body_bytes=1000)
    with server.connect() as wire:
        head = http("POST", "/v2/models/echo/infer", headers={"Content-Length": 64 * 10_000})
        assert wire.send(head).answer().status == 413
        connection = server.only_connection()
        for _ in range(64):
            wire.send(b" " * 10_000)
            assert server.on_loop(lambda: connection._transport and not connection._transport.is_closing())
        assert wire.closed


def test_the_work_of_a_client_that_left_is_cancelled(secure: Serve) -> None:
    gate = Gate()
    server = secure(gate=gate)
    with server.connect() as first:
        first.send(infer("gate", [1]))
        gate.wait_entered()
        with server.connect() as gone:
            gone.send(infer("gate", [2]))
            server.until(lambda: server.engine("gate").waiting_rows == 1)
        server.until(lambda: server.application.server.connections == 1)
        gate.open_gate()
        assert values(first.answer()) == [1]
    assert gate.seen == [1]


def test_the_end_answers_what_was_accepted(secure: Serve) -> None:
    gate = Gate()
    server = secure(gate=gate)
    with server.connect() as wire:
        wire.send(infer("gate", [1]))
        gate.wait_entered()
        server.stop()
        server.until(lambda: server.application.server.draining)
        gate.open_gate()
        assert values(wire.answer()) == [1]
        assert wire.closed
    server.join()


def test_http_1_1_over_tls_1_2_or_newer(secure: Serve, made: Certificates) -> None:
    server = secure(echo=Echo())
    for version in (ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3):
        context = made.client()
        context.minimum_version = context.maximum_version = version
        context.set_alpn_protocols(["h2", "http/1.1"])
        with server.connect(tls=context) as wire:
            assert isinstance(wire.socket, ssl.SSLSocket)
            assert wire.socket.selected_alpn_protocol() == "http/1.1"
            assert wire.send(http("GET", "/v2")).answer().status == 200
    context = made.client()
    context.set_ciphers("ALL:@SECLEVEL=0")
    with pytest.warns(DeprecationWarning, match="TLSv1_1"):
        context.minimum_version = context.maximum_version = ssl.TLSVersion.TLSv1_1
    with pytest.raises((ssl.SSLError, ConnectionError)):
        server.connect(tls=context)


GARBAGE = {
    "plain HTTP": http("GET", "/v2"),
    "noise": bytes(range(256)) * 10,
    "half a hello": b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03",
    "nothing": b"",
}


@pytest.mark.parametrize("name", GARBAGE)
def test_garbage_instead_of_a_handshake_harms_nobody(secure: Serve, name: str) -> None:
    server = secure(echo=Echo())
    with server.connect(tls=None) as wire:
        wire.send(GARBAGE[name]).finish()
        wire.rest()  # an alert, perhaps; no answer
    assert values(server.ask(infer("echo", [1]))) == [1]


def test_who_speaks_plain_http_is_told_and_served_nothing(secure: Serve, made: Certificates) -> None:
    """A proxy that was told http:// where it is https:// got a closed connection, and its people a mere 502."""
    server = secure(echo=InlineEcho(), tls_client_ca=str(made.ca))
    good = infer("echo", [1])
    for request in (http("GET", "/v2/health/live"), good, http("POST", "/v2", b" " * 300_000), b"PROXY TCP4 a b 1 2"):
        with server.connect(tls=None) as wire:
            answer = wire.send(request + good).answer()
            assert (answer.status, answer.header("connection")) == (400, "close")
            assert answer.error == "this address speaks HTTPS; ask for https://, not for http://"
            assert wire.finish().closed
    with server.connect(tls=None) as wire:
        wire.send(b"G")
        assert wire.answer().status == 400
        wire.send(good[1:]).finish()
        assert wire.rest() == b""
    server.until(lambda: server.application.server.connections == 0)


def test_a_handshake_has_to_end_in_time(secure: Serve) -> None:
    """Both the limit and its end are real: nothing here can pretend that time has passed."""
    server = secure(echo=Echo(), header_timeout_s=0.2)
    with server.connect(tls=None) as silent, server.connect(tls=None) as slow:
        slow.send(GARBAGE["half a hello"])
        for wire in (silent, slow):
            wire.rest()
        assert server.application.server.connections == 0


def test_who_shakes_hands_counts_as_a_client(secure: Serve) -> None:
    server = secure(echo=Echo(), max_connections=2)
    with server.connect() as first:
        assert first.send(http("GET", "/v2")).answer().status == 200
        with server.connect(tls=None) as silent:
            for _ in range(3):
                with server.connect(tls=None) as third:
                    assert third.closed
            assert first.send(http("GET", "/v2")).answer().status == 200
            silent.finish()
            silent.rest()
        (acceptor,) = server.application.server.listener._accepting
        assert isinstance(acceptor, Acceptor)
        server.until(lambda: not acceptor._coming)
        assert values(server.ask(infer("echo", [1]))) == [1]
    assert server.application.server.refused_connections == 3


def test_clients_can_be_made_to_show_a_certificate(secure: Serve, made: Certificates, tmp_path: Path) -> None:
    server = secure(echo=Echo(), tls_client_ca=str(made.ca))
    good = made.client(made.make("client", "someone@example.org"))
    assert values(server.ask(infer("echo", [1]), tls=good)) == [1]
    (tmp_path / "other").mkdir()
    stranger = made.client(Certificates(tmp_path / "other").make("client", "someone@example.org"))
    for context in (made.client(), stranger):
        with contextlib.suppress(ssl.SSLError, ConnectionError), server.connect(tls=context) as wire:
            # With TLS 1.3 the client believes at first that it is in.
            assert wire.send(http("GET", "/v2")).rest() == b""
    assert values(server.ask(infer("echo", [2]), tls=good)) == [2]


def test_certificates_are_taken_anew(secure: Serve, made: Certificates) -> None:
    server = secure(echo=Echo())

    def serial() -> object:
        with server.connect() as wire:
            assert isinstance(wire.socket, ssl.SSLSocket)
            return wire.socket.getpeercert()["serialNumber"]  # type: ignore[index]

    before = serial()
    with server.connect() as wire:
        made.make("server", "localhost")
        server.on_loop(server.application.server.listener.reload)
        assert serial() != before
        assert wire.send(http("GET", "/v2")).answer().status == 200
    renewed = serial()
    made.key.write_text("damaged")
    with pytest.raises(InvalidSetting, match="not a private key"):
        server.on_loop(server.application.server.listener.reload)
    assert serial() == renewed


def test_key_and_certificate_may_share_a_file(serve: Any, made: Certificates) -> None:
    both = made.folder / "both.pem"
    both.write_bytes(made.key.read_bytes() + made.cert.read_bytes())
    server = serve(echo=Echo(), tls_cert=str(both))
    assert server.ask(http("GET", "/v2"), tls=made.client()).status == 200


WRONG: dict[str, tuple[Callable[[Certificates], dict[str, Any]], str]] = {
    "no certificate": (lambda m: {"tls_cert": "gone.pem"}, "tls_cert gone.pem: cannot be read: No such file"),
    "no key": (lambda m: {"tls_key": "gone.key"}, "tls_key gone.key: cannot be read: No such file"),
    "a folder": (lambda m: {"tls_cert": str(m.folder)}, "cannot be read: Is a directory"),
    "swapped": (lambda m: {"tls_cert": str(m.key), "tls_key": str(m.cert)}, "tls_cert .*: not a certificate; expected"),
    "two certificates": (lambda m: {"tls_key": str(m.cert)}, "tls_key .*: not a private key; expected PEM"),
    "no key in the certificate": (lambda m: {"tls_key": None}, "tls_key .*: not a private key; expected PEM"),
    "another key": (
        lambda m: {"tls_key": str(m.make("other", "localhost")[1])},
        "tls_key .*: the key does not belong to the certificate; give the key that .* was made with",
    ),
    "damaged": (lambda m: {"tls_cert": damaged(m.cert)}, "cannot be used"),
    "no authority": (lambda m: {"tls_client_ca": "gone.pem"}, "tls_client_ca gone.pem: cannot be read: No such file"),
    "a key as authority": (lambda m: {"tls_client_ca": str(m.key)}, "tls_client_ca .*: not a certificate"),
    "a passphrase": (lambda m: {"tls_key": locked(m.key)}, "tls_key: the key has a passphrase; expected a key without"),
}  # fmt: skip


def damaged(path: Path) -> str:
    lines = path.read_text().splitlines()
    path.write_text("\n".join([*lines[:3], *lines[5:]]))
    return str(path)


def locked(path: Path) -> str:
    from cryptography.hazmat.primitives import serialization as form

    key = form.load_pem_private_key(path.read_bytes(), None)
    secret = form.BestAvailableEncryption(b"secret")
    path.write_bytes(key.private_bytes(form.Encoding.PEM, form.PrivateFormat.PKCS8, secret))
    return str(path)


@pytest.mark.parametrize("name", WRONG)
def test_what_cannot_be_used_is_told_at_the_start(serve: Any, made: Certificates, name: str) -> None:
    change, sentence = WRONG[name]
    with pytest.raises(InvalidSetting, match=sentence):
        serve(echo=Echo(), **{**made.settings, **change(made)})


def test_without_the_setting_there_is_no_tls() -> None:
    assert context_of(ServerSettings()) is None


def test_a_client_without_the_authority_does_not_trust_it(secure: Serve) -> None:
    server = secure(echo=Echo())
    other = ssl.create_default_context()
    trustme.CA().configure_trust(other)
    with pytest.raises(ssl.SSLCertVerificationError):
        Wire(server.port, tls=other)
    assert values(server.ask(infer("echo", [1]))) == [1]
