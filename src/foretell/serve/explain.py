"""Why an answer took its time, told to whoever asks with the header `Foretell-Explain: true`.

In the reply it stands twice: in `Server-Timing` (W3C Server Timing), which browsers and proxies show, and in the
`parameters` of the Open Inference Protocol's JSON, which its clients hand over.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

import orjson

from foretell.engine.work import Completed
from foretell.errors import InvalidInput
from foretell.serve.messages import LENGTH_HEADER, Reply
from foretell.types import ModelSpec

HEADER = b"foretell-explain"
_ANSWERS = {b"true": True, b"1": True, b"false": False, b"0": False}
_PREFIX = "foretell_"

Explanation = dict[str, float | int | str]


def asks(headers: Mapping[bytes, bytes]) -> bool:
    """Whether a request wants to know. Raises `InvalidInput` for a header that says neither yes nor no."""
    if HEADER not in headers:
        return False
    value = headers[HEADER].strip().lower()
    if value not in _ANSWERS:
        got = repr(value.decode("latin-1")[:40])
        raise InvalidInput("wrong header Foretell-Explain", expected="true or false", got=got)
    return _ANSWERS[value]


def explanation(completed: Completed, spec: ModelSpec, arrived: float, now: float) -> Explanation:
    """`arrived`: when the request was accepted; `now`: when its reply is made; seconds of the engine's clock."""
    told: Explanation = {"total_ms": _ms(now - arrived)}
    run = completed.run
    if run is not None:
        told["queue_ms"] = _ms(run.started - arrived)
        told["model_ms"] = _ms(run.finished - run.started)
        rows = run.batch.rows if run.batch else 0
        told["batch_requests"], told["batch_rows"] = len(run.works), rows
        told["padding_rows"] = -rows % spec.batch if isinstance(spec.batch, int) else 0
        told["padding_values"] = run.ctx.padded
        told["ran_on"] = "inline" if run.inline else "process" if run.member.apart else "thread"
        told["replica"] = run.member.number
        told["earlier_tries"] = run.attempt
    if completed.cached_rows is not None:
        told["cached_rows"] = completed.cached_rows
    return told


def explained(reply: Reply, told: Explanation, rows: int) -> Reply:
    """The reply to a request of `rows` rows, with the explanation in its head and, where it is an answer, its body."""
    headers = (*reply.headers, (b"Server-Timing", server_timing(told, rows)))
    if reply.status != 200:
        return replace(reply, headers=headers)
    parameters = orjson.dumps({_PREFIX + name: value for name, value in told.items()})
    added = b'{"parameters":' + parameters + b","
    longer = len(added) - 1
    headers = tuple((n, b"%d" % (int(v) + longer) if n == LENGTH_HEADER else v) for n, v in headers)
    return replace(reply, body=added + reply.body[1:], headers=headers)


def server_timing(told: Explanation, rows: int) -> bytes:
    """The value of `Server-Timing`: milliseconds in `dur`, the rest in `desc`."""
    parts = [f"total;dur={told['total_ms']}"]
    if "queue_ms" in told:
        model = f"{told['ran_on']}, replica {told['replica']}, {told['earlier_tries']} earlier tries"
        parts = [
            f"queue;dur={told['queue_ms']}",
            f'model;dur={told["model_ms"]};desc="{model}"',
            *parts,
            f'batch;desc="{told["batch_requests"]} requests, {told["batch_rows"]} rows"',
            f'padding;desc="{told["padding_rows"]} rows, {told["padding_values"]} values"',
        ]
    if "cached_rows" in told:
        parts.append(f'cache;desc="{told["cached_rows"]} of {rows} rows"')
    return ", ".join(parts).encode()


def _ms(seconds: float) -> float:
    return round(seconds * 1e3, 3)
