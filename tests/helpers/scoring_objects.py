"""Jobs of `foretell score` whose data or output lies in object storage on this machine."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import program
from s3_server import S3Server


def score(
    folder: Path, storage: Mapping[str, str], *arguments: object, code: int = 0, model: str = "models.py:Sum"
) -> subprocess.CompletedProcess[str]:
    """`foretell score MODEL ARGUMENTS`, which ends with `code`. `storage`: what of the environment reaches it."""
    return run(folder, storage, "score", model, *arguments, code=code)


def run(folder: Path, storage: Mapping[str, str], *words: object, code: int = 0) -> subprocess.CompletedProcess[str]:
    """`foretell WORDS`, which ends with `code`."""
    command = program.command(*words)
    done = subprocess.run(command, cwd=folder, env=_environment(storage), capture_output=True, text=True, check=False,
                          timeout=200)  # fmt: skip
    assert done.returncode == code, done.stderr
    return done


@contextmanager
def started(
    folder: Path, storage: Mapping[str, str], *arguments: object, model: str = "models.py:Sum"
) -> Iterator[subprocess.Popen[str]]:
    """The same, under way; what is left of it at the end is killed."""
    with program.started("score", model, *arguments, cwd=folder, env=_environment(storage)) as process:
        yield process


def _environment(storage: Mapping[str, str]) -> dict[str, str]:
    """What reaches no storage but this one."""
    others = {name: value for name, value in program.environment().items() if not name.startswith("AWS_")}
    return {**others, "AWS_EC2_METADATA_DISABLED": "true", **storage}


def upload(s3: S3Server, folder: Path, prefix: str) -> None:
    """Every file of a folder, as an object."""
    for path in sorted(folder.iterdir()):
        s3.put("box", f"{prefix}/{path.name}", path.read_bytes())


def manifest(s3: S3Server, prefix: str) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(s3.content("box", f"{prefix}/manifest.json"))
    return found


def parts(s3: S3Server, prefix: str) -> dict[str, bytes]:
    """What a reader sees that follows the manifest: the parts by their names, without the job's."""
    files = [part["file"] for part in manifest(s3, prefix)["parts"]]
    return {file.rpartition("/")[2]: s3.content("box", f"{prefix}/{file}") for file in files}


def seen(s3: S3Server, prefix: str) -> list[str]:
    """What stands there that is no state of a job."""
    return [key for key in s3.keys("box") if key.startswith(prefix) and "/_foretell/" not in key
            and ".foretell/" not in key]  # fmt: skip
