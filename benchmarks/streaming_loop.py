"""What people write: MODEL SOURCE SINK. It neither goes on after a crash nor puts a bad line aside."""

from __future__ import annotations

import sys
from itertools import islice

import numpy as np
import onnxruntime
import orjson

_ROWS = 8192


def main(model: str, source: str, sink: str) -> None:
    session = onnxruntime.InferenceSession(model)
    with open(source, "rb") as events, open(sink, "wb") as results:
        while lines := list(islice(events, _ROWS)):
            rows = [orjson.loads(line) for line in lines]
            batch = np.array([[row["a"], row["b"], row["c"], row["d"]] for row in rows], np.float32)
            (scores,) = session.run(["probabilities"], {"input": batch})
            results.writelines(
                orjson.dumps({"id": row["id"], "probabilities": score}, option=_OPTIONS)
                for row, score in zip(rows, scores, strict=True)
            )


_OPTIONS = orjson.OPT_SERIALIZE_NUMPY | orjson.OPT_APPEND_NEWLINE

if __name__ == "__main__":
    main(*sys.argv[1:])
