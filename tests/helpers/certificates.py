"""Certificates, made for one test."""

from __future__ import annotations

import ssl
from pathlib import Path
from typing import Any

import trustme


class Certificates:
    """An authority, a certificate for localhost with its key, and a client's, as files in `folder`."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.authority = trustme.CA()
        self.cert, self.key = self.make("server", "localhost")
        self.ca = folder / "ca.pem"
        self.authority.cert_pem.write_to_path(str(self.ca))

    def make(self, stem: str, *names: str) -> tuple[Path, Path]:
        """Files of a certificate for `names` and of its key."""
        cert, key = self.folder / f"{stem}.pem", self.folder / f"{stem}.key"
        leaf = self.authority.issue_cert(*names)
        cert.write_bytes(b"".join(blob.bytes() for blob in leaf.cert_chain_pems))
        leaf.private_key_pem.write_to_path(str(key))
        return cert, key

    @property
    def settings(self) -> dict[str, Any]:
        """The settings of a server."""
        return {"tls_cert": str(self.cert), "tls_key": str(self.key)}

    def client(self, certificate: tuple[Path, Path] | None = None) -> ssl.SSLContext:
        """What a client needs that trusts the authority."""
        context = ssl.create_default_context(cafile=str(self.ca))
        if certificate is not None:
            context.load_cert_chain(*certificate)
        return context
