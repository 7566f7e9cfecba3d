"""What goes wrong with object storage, in our words: a client's own text may hold secrets, and does not go on."""

from __future__ import annotations

import re

from foretell.errors import InferenceError, InvalidSetting, Unavailable

_CREDENTIALS = "look at the credentials in the environment, such as AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY"
_AGAIN = "run the same command again: it goes on where it stopped"
_NOBODY_GIVES_CREDENTIALS = ("/latest/api/token", "/latest/meta-data", "169.254.", "metadata.google.internal")
"""Where a machine of a cloud tells its credentials: asked last, when there are no others."""
_REFUSED, _OFTEN, _BUSY = frozenset({401, 403}), frozenset({408, 409, 425, 429}), 500


class Unreachable(Unavailable):
    """The object storage does not answer, or answers with failures only."""


class Refused(Unavailable):
    """The object storage does not accept the credentials, or they may not do this."""


def status_of(error: BaseException) -> int | None:
    """The status of HTTP that the last answer had, if there was one."""
    found = re.search(r"status code: (\d{3})", str(error))
    return int(found[1]) if found else None


def is_passing(error: BaseException) -> bool:
    """Whether the same call may succeed a moment later."""
    kind, status = type(error).__name__, status_of(error)
    if kind in {"PermissionDeniedError", "UnauthenticatedError", "InvalidPathError", "NotSupportedError"}:
        return False
    if "BadScheme" in str(error) or _has_no_credentials(error):
        return False
    return status is None or status in _OFTEN or status >= _BUSY


def told(error: BaseException, where: str) -> InferenceError:
    """The same as an error of ours."""
    text, status, kind = str(error), status_of(error), type(error).__name__
    named = re.search(r"<Code>(\w{1,64})</Code>", text)
    code = f"{status or 'no answer'}{f' ({named[1]})' if named else ''}"
    if "BadScheme" in text:
        what = "the endpoint is plain HTTP, which anybody on the way can read and change"
        return InvalidSetting(what, where=where, fix="use https, or set AWS_ALLOW_HTTP=true if the way there is safe")
    if _has_no_credentials(error):
        return Refused("no credentials were found for the object storage", where=where, fix=_CREDENTIALS)
    if named and named[1] == "NoSuchBucket":
        return Unavailable("there is no such bucket", where=where, fix="create it, or correct the address")
    if status in _REFUSED or kind in {"PermissionDeniedError", "UnauthenticatedError"}:
        return Refused("the object storage refused the credentials", where=where, got=code, fix=_CREDENTIALS)
    if kind == "InvalidPathError":
        what = "the name of an object has an empty part, or one of dots, which cannot be handled"
        return InvalidSetting(what, where=where, fix="rename the object")
    if status is not None and status < _BUSY:
        return Unavailable("the object storage refused the request", where=where, got=code)
    return Unreachable("the object storage does not answer as it should", where=where, got=code, fix=_AGAIN)


def _has_no_credentials(error: BaseException) -> bool:
    return any(place in str(error) for place in _NOBODY_GIVES_CREDENTIALS)
