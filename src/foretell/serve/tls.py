"""TLS: certificate and key from their files."""

from __future__ import annotations

import ssl
from pathlib import Path

from foretell.config import ServerSettings
from foretell.errors import InvalidSetting


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
