"""MobileNetV2 in bf16 through OpenVINO by `predict_batch`, beside ONNX Runtime in float32 over the same array."""

from __future__ import annotations

import time
from collections.abc import Callable

import numpy as np
import onnxruntime

from benchmarks.online.models import mobilenet
from benchmarks.process import Unavailable
from benchmarks.report import Goal, Row
from benchmarks.run import Run, middle, ratios
from foretell import InferenceError, Predictor

IMAGES, QUICK_IMAGES = 192, 64
SIZE = 8
ROUNDS = 5
REST_S = 0.3
"""Before each measurement: the bare session's threads spin on after its last call, and would take a core from ours."""
_OURS, _BARE = "bf16 by predict_batch", f"onnxruntime float32, batches of {SIZE}"


def main(run: Run) -> None:
    count = QUICK_IMAGES if run.quick else IMAGES
    run.report.title("precision", f"{count} images of 224 x 224 through MobileNetV2, random weights")
    images = np.random.default_rng(0).standard_normal((count, 3, 224, 224), np.float32)
    model = mobilenet(run.folder)
    try:
        fast = Predictor(model, precision="bf16")
    except InferenceError as error:
        raise Unavailable(str(error)) from error
    with fast, Predictor(model) as plain:
        bare = onnxruntime.InferenceSession(str(model))
        expected = _answers(bare, images)
        _check(expected, plain.predict_batch(images)["logits"], 1e-4)
        _check(expected, fast.predict_batch(images)["logits"], 0.1)
        rates = run.in_turns(
            {
                _OURS: lambda: _rate(count, lambda: fast.predict_batch(images)),
                "float32 by predict_batch": lambda: _rate(count, lambda: plain.predict_batch(images)),
                _BARE: lambda: _rate(count, lambda: _answers(bare, images)),
            },
            ROUNDS,
        )
    for name, found in rates.items():
        shares = ratios(rates[_OURS], found)
        goals = [Goal.at_least(middle(shares), 2.0, " of this")] if name == _BARE else []
        run.report.add(Row(f"{count} images", name, found, "images/s", ratios=shares, goals=goals))


def _answers(session: onnxruntime.InferenceSession, images: np.ndarray) -> np.ndarray:
    pieces = [images[at : at + SIZE] for at in range(0, len(images), SIZE)]
    return np.concatenate([session.run(None, {"input": piece})[0] for piece in pieces])


def _check(expected: np.ndarray, got: np.ndarray, share: float) -> None:
    """Raises RuntimeError where answers are further apart than `share` of the largest of them."""
    if not np.abs(got - expected).max() <= share * np.abs(expected).max():
        raise RuntimeError("the answers differ")


def _rate(count: int, call: Callable[[], object]) -> float:
    time.sleep(REST_S)
    started = time.perf_counter()
    call()
    return count / (time.perf_counter() - started)
