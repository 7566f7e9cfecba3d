"""What holds for every test."""

from __future__ import annotations

import gc
import os
import tempfile

from hypothesis import HealthCheck, settings

# A busy machine must not fail a test, so no property has a time limit of its own.
settings.register_profile("foretell", deadline=None, max_examples=50, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("foretell")

# What servers learn of their models must not travel from one test to the next, nor into anybody's home.
_cache = tempfile.TemporaryDirectory(prefix="foretell-tests-")
os.environ["XDG_CACHE_HOME"] = _cache.name

# Tests import ONNX Runtime themselves, some before foretell does.
os.environ["ORT_DISABLE_TELEMETRY"] = "1"

# The workers and what they start share the cores. Threads of OpenBLAS that find them taken spin: the training of a
# small network took five times as long. Whoever has named a number keeps it.
os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")

# All that is imported while tests are collected stays: to look through it for garbage took a sixth of that time.
gc.disable()


def pytest_collection_finish() -> None:
    """What has been imported and collected lives as long as this process. Among the objects of thousands of tests, the
    garbage of one would take half a second to find, and some tests look for it twice."""
    gc.enable()
    gc.collect()
    gc.freeze()


def pytest_unconfigure() -> None:
    """Else extension modules that look for what was left at the end would find all of it."""
    gc.unfreeze()
