"""Where the door listens: TCP addresses, with or without TLS, or a Unix socket."""

from __future__ import annotations

import asyncio
import contextlib
import errno
import ipaddress
import os
import socket
import stat
import sys
from collections.abc import Callable, Sequence
from pathlib import Path

from foretell.config import ServerSettings
from foretell.errors import InvalidSetting, Unavailable
from foretell.serve.accepting import Acceptor, Entrance
from foretell.serve.tls import context_of

_BACKLOG = 4096
_MOST_PATH_BYTES = 107 if sys.platform == "linux" else 103
_LIVE_WITHIN_S = 1.0
_OTHER_PATH = "choose another --unix-socket"

Factory = Callable[[], asyncio.Protocol]


class Listener:
    """The open sockets of a door, and what accepts clients from them.

    `shared`: other processes accept from the same sockets, and a Unix socket is not this one's to remove.
    """

    def __init__(self, settings: ServerSettings, sockets: list[socket.socket], *, shared: bool = False) -> None:
        self._settings, self._sockets, self._shared = settings, sockets, shared
        self._accepting: list[asyncio.Server | Acceptor] = []
        self._path = Path(settings.unix_socket) if settings.unix_socket else None
        self._inode = os.stat(self._path).st_ino if self._path else 0
        self.address: tuple[str, int] = ("", 0)
        """Host and port; for a Unix socket its path and 0; for no sockets "" and 0."""
        if sockets:
            self.address = sockets[0].getsockname()[:2] if self._path is None else (str(self._path), 0)
        self.local = all(_is_local(each) for each in sockets)
        """Whether only programs on this machine can reach it."""

    @property
    def url(self) -> str:
        """For people, and for clients where it is TCP."""
        host, port = self.address
        if self._path is not None:
            return f"unix:{host}"
        scheme = "https" if self._settings.tls_cert else "http"
        return f"{scheme}://{f'[{host}]' if ':' in host else host}:{port}"

    async def start(self, factory: Factory, entrance: Entrance) -> None:
        """Takes clients in from now on, as `entrance` says.

        Raises `InvalidSetting` for a certificate or key that cannot be used.
        """
        loop = asyncio.get_running_loop()
        try:
            context = context_of(self._settings)
        except InvalidSetting:
            self.close()
            raise
        for each in self._sockets:
            if context is not None or self._shared:
                self._accepting.append(Acceptor(each, context, factory, entrance, self._settings.header_timeout_s))
            elif self._path is not None:
                self._accepting.append(await loop.create_unix_server(factory, sock=each, backlog=_BACKLOG))
            else:
                self._accepting.append(await loop.create_server(factory, sock=each, backlog=_BACKLOG))

    def reload(self) -> None:
        """Takes the certificate, the key and the client CA from their files again, for handshakes from now on.

        Raises `InvalidSetting`, and goes on with what it had.
        """
        context = context_of(self._settings)
        for each in self._accepting:
            if isinstance(each, Acceptor) and context is not None:
                each.context = context

    async def last_call(self) -> None:
        """Whoever waits at the door comes in."""
        await asyncio.sleep(0)
        for each in self._accepting:
            if isinstance(each, Acceptor):
                await each.last_call()

    def close(self) -> None:
        """Takes no more clients, and removes its own Unix socket."""
        for accepting in self._accepting:
            accepting.close()
        for each in self._sockets:
            each.close()
        if self._path is not None and not self._shared:
            with contextlib.suppress(OSError):
                if os.stat(self._path).st_ino == self._inode:  # somebody else's is not ours to remove
                    self._path.unlink()


def bind(settings: ServerSettings) -> list[socket.socket]:
    """Listening sockets for `settings`; clients wait in them until a `Listener` takes them in.

    Raises `Unavailable` where the address is not to be had, `InvalidSetting` for a path that cannot be a socket.
    """
    reserved = reserve(settings)
    listen(reserved, settings)
    return reserved


def reserve(settings: ServerSettings) -> list[socket.socket]:
    """Sockets with their addresses, which refuse clients until `listen`. Raises as `bind`."""
    if settings.unix_socket:
        return [_bind_unix(settings.unix_socket, int(settings.unix_socket_mode, 8))]
    host, port = settings.host, settings.http_port
    bound: list[socket.socket] = []
    try:
        found = socket.getaddrinfo(host or None, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
        for family, _, _, _, address in dict.fromkeys(found):
            # Where any free port will do, it is the same one at every address.
            port = port or (bound[0].getsockname()[1] if bound else 0)
            bound.append(_bind_tcp(family, (address[0], port, *address[2:])))
    except OSError as error:
        _close_all(bound)
        raise _cannot(settings, error) from error
    return bound


def listen(reserved: Sequence[socket.socket], settings: ServerSettings) -> None:
    """Lets clients come to what `reserve` gave. Raises `Unavailable`, and closes them all."""
    try:
        for each in reserved:
            each.listen(_BACKLOG)
    except OSError as error:  # somebody else listens there since
        _close_all(reserved)
        raise _cannot(settings, error) from error


def _cannot(settings: ServerSettings, error: OSError) -> Unavailable:
    reason = error.strerror or str(error)
    if settings.unix_socket:
        return Unavailable(f"cannot listen on unix:{settings.unix_socket}: {reason}", fix=_OTHER_PATH)
    place = f"{settings.host}:{settings.http_port}"
    return Unavailable(f"cannot listen on {place}: {reason}", fix="choose another --host or --http-port")


def _close_all(sockets: Sequence[socket.socket]) -> None:
    for each in sockets:
        each.close()


def _bind_tcp(family: int, place: tuple[object, ...]) -> socket.socket:
    bound = socket.socket(family, socket.SOCK_STREAM)
    try:
        if os.name == "posix":  # elsewhere it would let two servers have one port
            bound.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if family == socket.AF_INET6:
            bound.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
        bound.bind(place)
    except OSError:
        bound.close()
        raise
    bound.setblocking(False)
    return bound


def _bind_unix(path: str, mode: int) -> socket.socket:
    """Bound, with its permissions, before it listens: nobody can connect in between."""
    if not hasattr(socket, "AF_UNIX"):
        raise Unavailable("this system has no Unix sockets", where="unix_socket", fix="choose a --host")
    size = len(os.fsencode(path))
    if size > _MOST_PATH_BYTES:
        expected = f"at most {_MOST_PATH_BYTES} bytes, as the system has it"
        raise InvalidSetting("the path is too long", where=f"unix_socket {path!r}", expected=expected, got=size)
    _make_way(path)
    bound = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    try:
        bound.bind(path)
        os.chmod(path, mode)
    except OSError as error:
        bound.close()
        raise Unavailable(f"cannot listen on unix:{path}: {error.strerror}", fix=_OTHER_PATH) from error
    bound.setblocking(False)
    return bound


def _make_way(path: str) -> None:
    """Removes the socket that a dead server has left. Raises `Unavailable` for anything else that is there."""
    try:
        if not stat.S_ISSOCK(os.lstat(path).st_mode):
            raise Unavailable(f"cannot listen on unix:{path}: something that is no socket is there", fix=_OTHER_PATH)
        with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as probe:
            probe.settimeout(_LIVE_WITHIN_S)
            probe.connect(path)
    except FileNotFoundError:
        return
    except OSError as error:
        if error.errno == errno.ECONNREFUSED:
            with contextlib.suppress(FileNotFoundError):
                os.unlink(path)
            return
        if not isinstance(error, TimeoutError) and error.errno != errno.EAGAIN:  # too busy to answer is alive, too
            raise Unavailable(f"cannot listen on unix:{path}: {error.strerror}", fix=_OTHER_PATH) from error
    raise Unavailable(f"cannot listen on unix:{path}: another server listens there", fix=_OTHER_PATH)


def _is_local(bound: socket.socket) -> bool:
    if bound.family not in (socket.AF_INET, socket.AF_INET6):
        return True
    return ipaddress.ip_address(bound.getsockname()[0].partition("%")[0]).is_loopback
