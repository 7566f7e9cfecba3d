"""How object storage is reached: what stands in the environment, and in the files of AWS's own tools."""

from __future__ import annotations

import configparser
import ipaddress
from collections.abc import Mapping, MutableMapping, Sequence
from pathlib import Path
from urllib.parse import urlsplit

from foretell.errors import InvalidSetting

_ENDPOINTS = ("AWS_ENDPOINT_URL_S3", "AWS_ENDPOINT_URL", "AWS_ENDPOINT")
_GIVEN_OTHERWISE = ("AWS_ACCESS_KEY_ID", "AWS_WEB_IDENTITY_TOKEN_FILE", "AWS_CONTAINER_CREDENTIALS_RELATIVE_URI",
                    "AWS_CONTAINER_CREDENTIALS_FULL_URI", "AWS_SKIP_SIGNATURE")  # fmt: skip
_FROM_PROFILE = {"aws_access_key_id": "AWS_ACCESS_KEY_ID", "aws_secret_access_key": "AWS_SECRET_ACCESS_KEY",
                 "aws_session_token": "AWS_SESSION_TOKEN", "region": "AWS_REGION",
                 "endpoint_url": "AWS_ENDPOINT_URL"}  # fmt: skip


def prepare(places: Sequence[str], environment: MutableMapping[str, str]) -> None:
    """For a command that names places, some of them in object storage: the keys of the profile where nobody has given
    others, and plain HTTP to this machine itself. What is in the environment already stands.

    Raises `InvalidSetting` for a profile that was asked for and holds no keys, and an endpoint with a password in it.
    """
    if not any(scheme in place for place in places for scheme in ("s3://", "s3a://")):
        return
    if not any(environment.get(name) for name in _GIVEN_OTHERWISE):
        for name, value in _profile(environment).items():
            environment.setdefault(name, value)
    endpoint = urlsplit(next((environment[name] for name in _ENDPOINTS if environment.get(name)), ""))
    if endpoint.username or endpoint.password:
        what = "the endpoint must not hold a name or a password"
        raise InvalidSetting(what, where="AWS_ENDPOINT_URL", fix="set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY")
    if endpoint.scheme == "http" and _is_here(endpoint.hostname or ""):
        environment.setdefault("AWS_ALLOW_HTTP", "true")


def _is_here(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def _profile(environment: Mapping[str, str]) -> dict[str, str]:
    """What the files of AWS's own tools say, by the names of variables."""
    name = environment.get("AWS_PROFILE") or "default"
    home = Path.home() / ".aws"
    found: dict[str, str] = {}
    for variable, file, section in (
        ("AWS_CONFIG_FILE", "config", name if name == "default" else f"profile {name}"),
        ("AWS_SHARED_CREDENTIALS_FILE", "credentials", name),
    ):
        parser = configparser.RawConfigParser()
        path = Path(environment.get(variable) or home / file)
        try:
            parser.read(path, "utf-8")
        except (configparser.Error, UnicodeDecodeError):
            raise InvalidSetting("the file of AWS's tools cannot be read", where=str(path)) from None
        if parser.has_section(section):
            found.update(parser.items(section))
    if "AWS_PROFILE" in environment and "aws_access_key_id" not in found:
        raise InvalidSetting(f"the profile {name!r} holds no keys", where="AWS_PROFILE",
                             fix="run: eval $(aws configure export-credentials --format env)")  # fmt: skip
    return {variable: found[key] for key, variable in _FROM_PROFILE.items() if key in found}
