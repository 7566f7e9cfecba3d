"""Whether a model runs quantized: where it was measured to be faster here, for one row and for many."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from foretell.backends.cpu import cpu_precisions
from foretell.backends.differences import largest_difference
from foretell.backends.onnx.quantize import METHOD
from foretell.backends.onnx.quiet import onnxruntime
from foretell.backends.onnx.session import QUANTIZATION
from foretell.backends.sample import sample
from foretell.backends.trial_file import decided
from foretell.backends.turns import medians_ms
from foretell.columns import Batch, Ragged
from foretell.errors import InferenceError, InvalidInput
from foretell.forms import to_batch
from foretell.model import Context, Model
from foretell.types import Trial

_ROWS = (32, 8, 1)
"""In a call of many, as many as are not too large together."""
_ROUNDS, _BUDGET_S = 25, 1.5
_ENOUGH = 0.95
"""What a call may take of what it took before: less is within what machines vary."""


def tried(
    digest: str,
    folder: str | None,
    way: str,
    example: object,
    plain: Callable[[], Model],
    fast: Callable[[], Model],
) -> Trial:
    """The trial of this kind of machine: measured once, on `example` or else on noise, and remembered in `folder`.

    `digest`: of the artefact. `way`: how it runs otherwise. `plain` and `fast` open the model as it is, and quantized.
    Raises `InvalidInput` for an example that the model does not take.
    """
    if "int8" not in cpu_precisions():
        return Trial(QUANTIZATION, False, "this processor has no instructions for it")
    about = f"{QUANTIZATION} {METHOD} of {digest} on onnxruntime {onnxruntime.__version__} as {way}"
    return decided(folder, about, lambda: _measured(plain(), fast(), example))


def _measured(plain: Model, fast: Model, example: object) -> Trial:
    try:
        plain.load("cpu")
        fast.load("cpu")
        return _compared(plain, fast, example)
    except InvalidInput:
        raise
    except InferenceError as error:
        return Trial(QUANTIZATION, False, str(error))
    finally:
        plain.close()
        fast.close()


def _compared(plain: Model, fast: Model, example: object) -> Trial:
    batch = _noise(plain) if example is None else _repeated(example, plain)
    if batch is None:
        return Trial(QUANTIZATION, False, "there are no rows to try it on that the model answers")
    difference = largest_difference(plain.predict(batch, Context()), fast.predict(batch, Context()), 0.0).largest
    before, after = _times(plain, fast, batch.slice(0, 1))
    if batch.rows == 1:
        kept = after < _ENOUGH * before
        return Trial(QUANTIZATION, kept, _reason(kept), before, after, difference=difference)
    many_before, many_after = _times(plain, fast, batch)
    shares = np.array([after / before, many_after / many_before])
    kept = bool((shares < 1).all() and shares.mean() < _ENOUGH)
    return Trial(QUANTIZATION, kept, _reason(kept), before, after, batch.rows, many_before, many_after, difference)


def _noise(model: Model) -> Batch | None:
    rule = model.spec.batch
    found = (sample(model.spec, lambda inputs: model.predict(inputs, Context()), rows)
             for rows in (_ROWS if rule == "any" else (rule or 1,)))  # fmt: skip
    return next((batch for batch in found if batch is not None), None)


def _repeated(example: object, model: Model) -> Batch | None:
    """Its rows, again and again where a call of many has more; of rows of different length, the first."""
    batch = to_batch(example, model.spec).batch
    if not batch.rows:
        return None
    rule = model.spec.batch
    ragged = any(isinstance(column, Ragged) for column in batch.columns.values())
    rows = rule if isinstance(rule, int) else max(_ROWS) if rule == "any" and not ragged else 1
    return batch.take(np.arange(rows) % (1 if ragged else batch.rows))


def _times(plain: Model, fast: Model, batch: Batch) -> tuple[float, float]:
    ways = {"plain": lambda: plain.predict(batch, Context()), "fast": lambda: fast.predict(batch, Context())}
    found = medians_ms(ways, rounds=_ROUNDS, budget_s=_BUDGET_S)
    return found["plain"], found["fast"]


def _reason(kept: bool) -> str:
    return "it is faster here" if kept else "it is not faster here"
