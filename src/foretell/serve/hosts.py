"""Which hosts a request may name: no web page reaches the server under a name of its own (DNS rebinding)."""

from __future__ import annotations

import re

from foretell.serve.messages import HttpError

LOCAL = frozenset((b"localhost", b"127.0.0.1", b"[::1]"))
ANY = "*"
_AUTHORITY = re.compile(rb"(\[[0-9A-Fa-f:.]{2,45}\]|[A-Za-z0-9._-]{1,255})(?::\d{0,5})?")
_ABSOLUTE = re.compile(rb"[A-Za-z][A-Za-z0-9+.-]*://([^/?#]*)")
_HEALTH = frozenset((b"/v2/health/live", b"/v2/health/ready"))
_MOST_REMEMBERED = 256


class Hosts:
    """The check of every head that has not been seen before; a head that is remembered has passed it."""

    def __init__(self, allowed: frozenset[bytes] | None, *, probes: bool = False) -> None:
        """`allowed`: names without ports, lower case; None: any. `probes`: health may be asked for by any name."""
        self._allowed, self._open = allowed, _HEALTH if probes else frozenset()
        self.passed: set[bytes | None] = set()
        """Values of Host that are good. At most 256; a full set starts again."""

    def check(self, host: bytes | None, url: bytes, version: str) -> None:
        """Raises `HttpError` 400 where it is not clear which host is meant, 421 where it is not one of ours.

        A URL may name the host, too; then that is the one that counts (RFC 9112, 3.2.2), and both have to be good.
        """
        anyone = url.partition(b"?")[0] in self._open
        if host is None:
            if version != "1.0":
                raise HttpError(400, "there is no Host header; HTTP/1.1 needs one")
        else:
            self._check_one(host, anyone)
            if len(self.passed) >= _MOST_REMEMBERED:
                self.passed.clear()
            if not anyone:
                self.passed.add(host)
        found = _ABSOLUTE.match(url)
        if found is not None:
            self._check_one(found[1], anyone)

    def _check_one(self, authority: bytes, anyone: bool) -> None:
        found = _AUTHORITY.fullmatch(authority)
        if found is None:
            raise HttpError(400, "the Host is not valid; expected a name or an address, and perhaps a port")
        if self._allowed is not None and not anyone and found[1].lower().removesuffix(b".") not in self._allowed:
            name = found[1][:80].decode()
            raise HttpError(421, f"this server does not answer for the host {name!r}; see the setting allowed_hosts")


def hosts_of(allowed_hosts: tuple[str, ...], host: str, *, local: bool, tcp: bool = True) -> Hosts:
    """The check for a server that listens on `host`; `local`: only programs on this machine reach it.

    On loopback the local names are good, and `host` itself. A page cannot be made to open a Unix socket, and who opens
    another address to the network knows its names: there, only `allowed_hosts` restricts, and health is open to whoever
    comes by an address that nobody knew beforehand, as the probes of Kubernetes do.
    """
    if ANY in allowed_hosts or (not allowed_hosts and not (local and tcp)):
        return Hosts(None)
    names = {name.lower().removesuffix(".").encode() for name in allowed_hosts}
    if local and tcp:
        own = f"[{host}]" if ":" in host else host
        names |= LOCAL | {own.lower().encode()}
    return Hosts(frozenset(names), probes=tcp and not local)
