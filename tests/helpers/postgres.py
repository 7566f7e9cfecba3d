"""A PostgreSQL server of its own on a free loopback port, where its programs are installed."""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
import tempfile
from pathlib import Path
from types import TracebackType
from typing import Any, Self

PASSWORD = "ein-gehe/imes@Wort"
QUOTED = "ein-gehe%2Fimes%40Wort"
_END = 'cat >/dev/null; "$0" -D "$1/data" -m immediate -w stop; rm -rf "$1"'
"""Waits for the end of the tests, however they end, and leaves nothing behind."""


def programs() -> Path | None:
    """The folder of `initdb` and `pg_ctl`."""
    named = shutil.which("pg_ctl")
    found = [Path(named).resolve().parent] if named else sorted(Path("/usr/lib/postgresql").glob("*/bin"))
    return next((folder for folder in reversed(found) if (folder / "initdb").exists()), None)


class Postgres:
    """Runs until it is closed. The user is "app", with a password that no message may tell."""

    def __init__(self, folder: Path) -> None:
        self._programs = folder
        self._root = Path(tempfile.mkdtemp(prefix="foretell-postgres-"))
        self._user = "postgres" if os.geteuid() == 0 else None  # the server refuses to run as root
        secret = self._root / "secret"
        secret.write_text(PASSWORD)
        if self._user:
            shutil.chown(self._root, self._user)
            shutil.chown(secret, self._user)
        self._run("initdb", "-D", self._root / "data", "-U", "app", "-A", "scram-sha-256", f"--pwfile={secret}",
                  "-E", "UTF8", "--locale=C", "--no-sync")  # fmt: skip
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            self.port = free.getsockname()[1]
        options = f"-c listen_addresses=127.0.0.1 -p {self.port} -k {self._root} -c fsync=off"
        self._watch = subprocess.Popen(
            ["sh", "-c", _END, str(self._programs / "pg_ctl"), str(self._root)], stdin=subprocess.PIPE, user=self._user,
            cwd="/", stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, start_new_session=True,
        )  # fmt: skip
        self._run("pg_ctl", "-D", self._root / "data", "-w", "-l", self._root / "log", "-o", options, "start")

    @property
    def url(self) -> str:
        """With the password."""
        return f"postgresql://app:{QUOTED}@127.0.0.1:{self.port}/postgres"

    @property
    def open_url(self) -> str:
        """Without it."""
        return f"postgresql://app@127.0.0.1:{self.port}/postgres"

    def do(self, *statements: str) -> list[tuple[Any, ...]]:
        """The rows of the last one."""
        import adbc_driver_postgresql.dbapi as driver

        with driver.connect(self.url, autocommit=True) as connection, connection.cursor() as cursor:
            for statement in statements:
                cursor.execute(statement)
            return cursor.fetchall() if cursor.description else []

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._watch.communicate(timeout=60)

    def _run(self, program: str, *arguments: object) -> None:
        words = [str(self._programs / program), *map(str, arguments)]
        subprocess.run(words, user=self._user, cwd=self._root, check=True, timeout=60, stdin=subprocess.DEVNULL,
                       stdout=subprocess.DEVNULL)  # fmt: skip
