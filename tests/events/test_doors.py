"""The same file gives the same lines through `foretell score` and through `foretell stream`."""

from __future__ import annotations

import json
import tempfile
from pathlib import Path
from typing import Any

import eventing
import numpy as np
import orjson
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import foretell
from foretell import DataType, InferenceError, TensorSpec
from foretell.config import JobSettings


class Numbers:
    """Gives back a number, an integer, a flag, a text and a vector, and refuses rows that ask for it."""

    inputs = (
        TensorSpec("f", DataType.FP32, ()), TensorSpec("i", DataType.INT64, ()), TensorSpec("b", DataType.BOOL, ()),
        TensorSpec("s", DataType.BYTES, ()), TensorSpec("v", DataType.FP64, (2,)),
    )  # fmt: skip

    def predict(self, f: Any, i: Any, b: Any, s: Any, v: Any) -> dict[str, Any]:
        if 13 in i.tolist():
            raise ValueError("thirteen")
        return {"f2": f * 2, "i2": i, "b2": b, "s2": s, "v2": v.astype(np.float16), "t": f.astype(np.float64) / 3}


_number = st.one_of(st.integers(-20, 20), st.floats(-9, 9), st.sampled_from([13, 1e40, -0.0, 2**63, 2**70, 0.1, 1e-9]))
_FIELDS = {
    "id": st.one_of(st.integers(), st.text(max_size=3), st.none(), st.floats(allow_nan=False), st.booleans()),
    "f": _number, "i": st.one_of(st.integers(-3, 20), st.sampled_from([13, 2.0, 2.5, 2**63])), "b": st.booleans(),
    "s": st.text(max_size=4), "v": st.lists(_number, min_size=2, max_size=2),
}  # fmt: skip
_wrong = st.one_of(st.none(), st.text(max_size=2), st.booleans(), _number, st.lists(_number, max_size=3),
                   st.dictionaries(st.text(max_size=1), _number, max_size=1))  # fmt: skip
_BROKEN = [b"", b"   ", b"{", b"[1]", b"null", b'{"f":NaN}', b"\xff\xfe", b'{"f":1,"f":2}', b'{"id":"\\ud800"}']


@st.composite
def _lines(draw: st.DrawFn) -> bytes:
    if draw(st.integers(0, 9)) == 0:
        return draw(st.sampled_from(_BROKEN))
    row = {name: draw(values) for name, values in _FIELDS.items()}
    for name in draw(st.sets(st.sampled_from(sorted(row)), max_size=1)) if draw(st.booleans()) else ():
        if draw(st.booleans()):
            row[name] = draw(_wrong)
        else:
            del row[name]
    return json.dumps(row, ensure_ascii=False).encode("utf-8", "surrogatepass")


_FIRST = b'{"id":0,"f":1.5,"i":2,"b":true,"s":"a","v":[1,2.5]}'
_MANY = {"max_quarantined": 10**6}


def scored(folder: Path, **options: Any) -> tuple[bytes, list[int]]:
    """The lines of a job, and the rows that it put aside."""
    out = folder / "scored.jsonl"
    try:
        report = foretell.score(Numbers(), folder / "in.jsonl", out, version="1", **_MANY, **options)
    except InferenceError:
        return b"", []
    lines = Path(report.quarantine).read_bytes().splitlines() if report.quarantine else []
    return out.read_bytes() if out.exists() else b"", [json.loads(line)["row"] for line in lines]


def test_numbers_beyond_64_bits_are_no_keys(tmp_path: Path) -> None:
    ids = [2**64 - 1, 2**64, 2**64 + 1, -(2**63), -(2**63) - 1, 1.5, "18446744073709551616"]
    row = {"f": 1, "i": 2, "b": True, "s": "", "v": [1, 2]}
    lines = [json.dumps({"id": each, **row}) for each in ids]
    (tmp_path / "in.jsonl").write_text("\n".join(lines))
    written, aside = scored(tmp_path, key="id")
    assert aside == [1, 2, 4]
    assert [json.loads(line)["id"] for line in written.splitlines()] == [ids[at] for at in (0, 3, 5, 6)]


@settings(max_examples=40)
@given(st.lists(_lines(), max_size=12), st.integers(1, 5))
def test_a_job_and_a_stream_write_the_same_lines(rows: list[bytes], batch_size: int) -> None:
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        (folder / "in.jsonl").write_bytes(b"\n".join([_FIRST, *rows]))
        lines, bad = scored(folder, key="id")
        eventing.stream(folder, Numbers(), batch_size=batch_size, max_dead_letters=10**6)
        assert (folder / "out.jsonl").read_bytes() == lines
        assert [letter["row"] for letter in eventing.letters(folder)] == bad


def test_without_a_key_both_number_the_rows(tmp_path: Path) -> None:
    (tmp_path / "in.jsonl").write_bytes(b"\n".join([_FIRST, b"", b"{", _FIRST, _FIRST, b'{"f":true}']))
    lines, bad = scored(tmp_path)
    eventing.stream(tmp_path, Numbers(), key=(), batch_size=2)
    assert (tmp_path / "out.jsonl").read_bytes() == lines
    assert [orjson.loads(line)["row"] for line in lines.splitlines()] == [0, 2, 3]
    assert [letter["row"] for letter in eventing.letters(tmp_path)] == bad == [1, 4]


@pytest.mark.parametrize("top", [1, 2])
def test_both_name_the_best_classes_alike(tmp_path: Path, top: int) -> None:
    class Scores:
        inputs = (TensorSpec("x", DataType.FP32, (2,)),)

        def predict(self, x: Any) -> dict[str, Any]:
            return {"p": np.stack([x[:, 0] % 3, 1 - x[:, 0], x[:, 1]], axis=1)}

    (tmp_path / "in.jsonl").write_bytes(eventing.events(range(9)))
    options: dict[str, Any] = {"key": "id", "top": top, "version": "1"}
    foretell.score(Scores(), tmp_path / "in.jsonl", tmp_path / "scored.jsonl", **options)
    eventing.stream(tmp_path, Scores(), **options)
    assert (tmp_path / "out.jsonl").read_bytes() == (tmp_path / "scored.jsonl").read_bytes()
    assert b"p_label" in (tmp_path / "out.jsonl").read_bytes()


def test_a_stream_takes_the_settings_of_jobs_that_it_knows() -> None:
    from foretell.events.library import _JOB

    assert {*JobSettings.__dataclass_fields__} > _JOB
