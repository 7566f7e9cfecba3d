"""Whether everything that the demo needs is installed."""

from __future__ import annotations

from importlib.util import find_spec

from foretell.errors import missing_extra

_PACKAGES = {
    "sklearn": "scikit-learn",
    "skops": "skops",
    "onnx": "onnx",
    "skl2onnx": "skl2onnx",
    "matplotlib": "matplotlib",
    "PIL": "pillow",
    "vaderSentiment": "vaderSentiment",
}


def check_extras() -> None:
    """Imports nothing. Raises `MissingExtra`, naming the first package that is not there."""
    for module, package in _PACKAGES.items():
        if find_spec(module) is None:
            raise missing_extra(package, "demo", "foretell demo")
