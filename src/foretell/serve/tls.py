"""TLS: certificate and key from their files, and handshakes that a slow or wrong client can only spoil for itself."""

from __future__ import annotations

import asyncio
import socket
import ssl
from collections.abc import Callable
from pathlib import Path

from foretell.config import ServerSettings
from foretell.errors import InvalidSetting

_AT_ONCE = 64
"""Clients taken in before those that are in get their turn."""
_PAUSE_S = 0.5
_SHUTDOWN_S = 5.0


def context_of(settings: ServerSettings) -> ssl.SSLContext | None:
    """What handshakes need; None where TLS is not set. Raises `InvalidSetting` for files that cannot be used."""
    if not settings.tls_cert:
        return None
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.options |= ssl.OP_NO_RENEGOTIATION
    context.set_alpn_protocols(["http/1.1"])
    certificate, key = Path(settings.tls_cert), Path(settings.tls_key or settings.tls_cert)
    _check_readable("tls_cert", certificate)
    _check_readable("tls_key", key)
    try:
        context.load_cert_chain(certificate, key, password=_no_password)
    except ssl.SSLError as error:
        raise _unusable(error, certificate, key) from None
    if settings.tls_client_ca:
        authority = Path(settings.tls_client_ca)
        _check_readable("tls_client_ca", authority)
        try:
            context.load_verify_locations(authority)
        except ssl.SSLError:
            raise InvalidSetting("not a certificate", where=f"tls_client_ca {authority}", expected="PEM") from None
        context.verify_mode = ssl.CERT_REQUIRED
    return context


def _check_readable(name: str, path: Path) -> None:
    try:
        with path.open("rb") as file:
            file.read(1)
    except OSError as error:
        raise InvalidSetting(f"cannot be read: {error.strerror}", where=f"{name} {path}") from None


def _no_password() -> str:
    """Without this, OpenSSL would ask the terminal."""
    raise InvalidSetting("the key has a passphrase", where="tls_key", expected="a key without one")


def _unusable(error: ssl.SSLError, certificate: Path, key: Path) -> InvalidSetting:
    if error.reason == "KEY_VALUES_MISMATCH":
        return InvalidSetting("the key does not belong to the certificate", where=f"tls_key {key}",
                              fix=f"give the key that {certificate} was made with")  # fmt: skip
    if b"CERTIFICATE-----" not in certificate.read_bytes():
        return InvalidSetting("not a certificate", where=f"tls_cert {certificate}", expected="PEM")
    if b"PRIVATE KEY-----" not in key.read_bytes():
        return InvalidSetting("not a private key", where=f"tls_key {key}", expected="PEM")
    reason = (error.reason or "damaged").lower().replace("_", " ")
    return InvalidSetting(f"cannot be used: {reason}", where=f"tls_cert {certificate} with tls_key {key}")


class TlsAcceptor:
    """Takes clients in and hands them on after their handshake; until then they count, and have `timeout_s` for it.

    The loop's own servers say nothing of handshakes that are under way, so nobody could count them.
    """

    def __init__(
        self,
        bound: socket.socket,
        context: ssl.SSLContext,
        factory: Callable[[], asyncio.Protocol],
        has_room: Callable[[int], bool],
        timeout_s: float,
    ) -> None:
        self.context = context
        self._bound, self._factory, self._has_room, self._timeout_s = bound, factory, has_room, timeout_s
        self._shaking: set[asyncio.Task[None]] = set()
        self._loop = asyncio.get_running_loop()
        self._paused: asyncio.TimerHandle | None = None
        self._loop.add_reader(bound, self._accept)

    def close(self) -> None:
        """Takes no more clients; who has not finished its handshake is let go."""
        if self._paused is not None:
            self._paused.cancel()
        self._loop.remove_reader(self._bound)
        for task in self._shaking:
            task.cancel()

    def _accept(self) -> None:
        for _ in range(_AT_ONCE):
            try:
                client, _ = self._bound.accept()
            except (BlockingIOError, InterruptedError, ConnectionAbortedError):
                return
            except OSError:  # no descriptor is left: others have to close first
                self._loop.remove_reader(self._bound)
                self._paused = self._loop.call_later(_PAUSE_S, self._loop.add_reader, self._bound, self._accept)
                return
            if not self._has_room(len(self._shaking)):
                client.close()
                continue
            client.setblocking(False)
            task = self._loop.create_task(self._shake_hands(client))
            self._shaking.add(task)
            task.add_done_callback(self._shaking.discard)

    async def _shake_hands(self, client: socket.socket) -> None:
        try:
            await self._loop.connect_accepted_socket(
                self._factory, client, ssl=self.context, ssl_handshake_timeout=self._timeout_s,
                ssl_shutdown_timeout=_SHUTDOWN_S,
            )  # fmt: skip
        except OSError:  # garbage, silence, a client without the right certificate: there is nobody to tell
            client.close()
