"""Imports TensorFlow, and what stands on it, without what it says about itself on the way."""

from __future__ import annotations

import importlib
import os
import re
import sys
import tempfile
import warnings
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from typing import Any

from foretell.errors import missing_extra
from foretell.extras import unloadable
from foretell.warning_filters import within

_QUIET = "3"
_ITS_OWN = re.compile(rb"[IWE]\d{4} |WARNING: All log messages before absl|To enable the following instructions")


def import_tensorflow(purpose: str) -> Any:
    """Raises `MissingExtra` where it is not installed. See `import_quietly`."""
    return import_quietly("tensorflow", purpose)


def import_quietly(name: str, purpose: str) -> Any:
    """The package `name`, "tensorflow" or another that imports it. Raises `MissingExtra` where it is not installed,
    and `Unavailable` where it does not load.

    Unless the user has set them otherwise: TensorFlow logs nothing but what ends the process, and each session has its
    own threads. Where nobody has imported it before, it sees no GPU: it would take all of its memory.
    """
    if name in sys.modules:
        return sys.modules[name]
    new = "tensorflow" not in sys.modules
    os.environ.setdefault("TF_OVERRIDE_GLOBAL_THREADPOOL", "1")
    quiet = os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", _QUIET) == _QUIET
    try:
        silent = within(warnings.catch_warnings(action="ignore"))
        with _without_its_own_lines() if new and quiet else nullcontext(), silent:
            found = importlib.import_module(name)
    except ModuleNotFoundError as error:
        raise missing_extra(error.name or name, name, purpose) from None
    except Exception as error:
        raise unloadable(name, purpose, error) from error
    if new and "tensorflow" in sys.modules:
        sys.modules["tensorflow"].config.set_visible_devices([], "GPU")
    return found


@contextmanager
def _without_its_own_lines() -> Iterator[None]:
    """Its first lines are written before it knows that it is to be quiet. Those of others come after the import."""
    sys.stderr.flush()
    with tempfile.TemporaryFile() as file:
        kept = os.dup(2)
        os.dup2(file.fileno(), 2)
        try:
            yield
        finally:
            sys.stderr.flush()
            os.dup2(kept, 2)
            os.close(kept)
            file.seek(0)
            others = b"".join(line for line in file if not _ITS_OWN.match(line))
            if others:
                os.write(2, others)
