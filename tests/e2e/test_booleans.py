"""One rule through every door: booleans are 0 and 1 to inputs of numbers, and nothing else is a boolean."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import orjson
import pandas as pd
import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from pyarrow import feather

import foretell
from foretell import DataType, InvalidInput, Predictor, TensorSpec
from foretell.cli.data import read_data
from foretell.testing import Client

NUMBERS = [DataType.FP16, DataType.FP32, DataType.FP64, DataType.BF16, DataType.INT8, DataType.INT64, DataType.UINT8,
           DataType.UINT64]  # fmt: skip
FLAGS = [True, False, True]
MIXED = [True, 2, False]
GAPS = [True, None, False]


def echo(kind: DataType | None) -> Any:
    """A model of one input `x`; `kind` None: it does not tell what it takes."""

    class Echo:
        inputs = None if kind is None else (TensorSpec("x", kind, ()),)
        outputs = None if kind is None else (TensorSpec("y", kind, ()),)

        def predict(self, x: Any) -> dict[str, Any]:
            return {"y": x}

    return Echo()


@pytest.fixture(scope="module", params=NUMBERS, ids=str)
def numbers(request: pytest.FixtureRequest) -> Iterator[Predictor]:
    with Predictor(echo(request.param)) as predictor:
        yield predictor


@pytest.fixture(scope="module")
def flags() -> Iterator[Predictor]:
    with Predictor(echo(DataType.BOOL)) as predictor:
        yield predictor


def answers(predictor: Predictor, data: object) -> list[Any]:
    """The values of `y`, None for a null, whatever form they have."""
    made: Any = predictor.predict(data)
    if isinstance(made, list):
        cells = [row["y"] for row in made]
    else:
        cells = list(made["y"].to_pylist() if isinstance(made, pa.Table) else made["y"])
    cells = [cell.item() if isinstance(cell, np.generic) else cell for cell in cells]
    return [None if pd.isna(cell) else cell for cell in cells]


def with_a_gap(predictor: Predictor, data: object) -> bool:
    """Whether a null among booleans is NaN among floats, and ends its row alone among integers."""
    assert predictor.spec.inputs is not None
    kind = predictor.spec.inputs[0].datatype
    if kind is not None and kind.is_float:
        return answers(predictor, data) == [1, None, 0]
    with pytest.raises(InvalidInput, match=r"^row 1: input 'x': the row is null"):
        predictor.predict(data)
    return True


FORMS: dict[str, Callable[[list[Any]], object]] = {
    "a dict of lists": lambda cells: {"x": cells},
    "a list": lambda cells: cells,
    "rows": lambda cells: [{"x": cell} for cell in cells],
    "an array of objects": lambda cells: np.array(cells, object),
    "pandas, objects": lambda cells: pd.DataFrame({"x": pd.Series(cells, dtype=object)}),
}
OF_FLAGS: dict[str, Callable[[list[Any]], object]] = {
    "pandas, nullable": lambda cells: pd.DataFrame({"x": pd.array(cells, "boolean")}),
    "pandas, Arrow": lambda cells: pd.DataFrame({"x": pd.array(cells, "bool[pyarrow]")}),
    "Polars": lambda cells: pl.DataFrame({"x": cells}),
    "Arrow": lambda cells: pa.table({"x": cells}),
    "Arrow, a dictionary": lambda cells: pa.table({"x": pa.array(cells).dictionary_encode()}),
    "a masked array": lambda cells: np.ma.array([bool(c) for c in cells], mask=[c is None for c in cells]),
}
OF_WHOLE_FLAGS: dict[str, Callable[[list[Any]], object]] = {
    "an array": lambda cells: {"x": np.array(cells)},
    "a structured array": lambda cells: np.array([(cell,) for cell in cells], [("x", "?")]),
    "pandas": lambda cells: pd.DataFrame({"x": cells}),
    "a series": pd.Series,
}


def as_file(cells: list[Any], suffix: str, folder: Path) -> Path:
    """A file of one column `x`; an integer beside it makes an empty cell no blank line."""
    path = folder / f"data{suffix}"
    if suffix in (".csv", ".tsv"):
        texts = ["" if cell is None else str(cell) for cell in cells]
        path.write_text("".join(f"{cell}{',' if suffix == '.csv' else chr(9)}0\n" for cell in ["x", *texts]))
    elif suffix == ".jsonl":
        path.write_text("".join(json.dumps({"x": cell}) + "\n" for cell in cells))
    elif suffix == ".json":
        path.write_text(json.dumps([{"x": cell} for cell in cells]))
    elif suffix == ".parquet":
        pq.write_table(pa.table({"x": cells}), path)
    elif suffix == ".arrow":
        feather.write_feather(pa.table({"x": cells}), path)
    else:
        np.save(path, np.array(cells))
    return path


def predicted(predictor: Predictor, path: Path) -> list[Any]:
    """What `foretell predict`, `verify` and `bench` make of a file."""
    data: Any = read_data(str(path), None)
    if path.suffix in (".csv", ".tsv"):
        data = {"x": data["x"]}
    return answers(predictor, data)


def in_lines(path: Path) -> list[Any]:
    return [orjson.loads(line)["y"] for line in path.read_bytes().splitlines()]


def scored(model: object, path: Path, folder: Path, **options: Any) -> list[Any]:
    foretell.score(model, path, folder / "out.jsonl", version="1", max_quarantined=9, fresh=True, **options)
    return in_lines(folder / "out.jsonl")


def streamed(model: object, path: Path, folder: Path) -> list[Any]:
    foretell.stream(model, path, folder / "streamed.jsonl", once=True, version="1", fresh=True, max_dead_letters=9)
    return in_lines(folder / "streamed.jsonl")


def test_booleans_in_memory_are_numbers(numbers: Predictor) -> None:
    for name, form in {**FORMS, **OF_FLAGS, **OF_WHOLE_FLAGS}.items():
        assert answers(numbers, form(FLAGS)) == [1, 0, 1], name
    for name, form in {**FORMS, **OF_FLAGS}.items():
        assert with_a_gap(numbers, form(GAPS)), name
    for name, form in FORMS.items():
        assert answers(numbers, form(MIXED)) == [1, 2, 0], name
    answer = numbers.predict({"x": True})
    assert answer == {"y": 1}


def test_booleans_in_files_are_numbers(numbers: Predictor, tmp_path: Path) -> None:
    for suffix in (".csv", ".tsv", ".json", ".jsonl", ".parquet", ".npy"):
        assert predicted(numbers, as_file(FLAGS, suffix, tmp_path)) == [1, 0, 1], suffix
    for suffix in (".csv", ".tsv", ".json", ".jsonl"):
        assert predicted(numbers, as_file(MIXED, suffix, tmp_path)) == [1, 2, 0], suffix
    assert with_a_gap(numbers, {"x": read_data(str(as_file(GAPS, ".csv", tmp_path)), None)["x"]})  # type: ignore[index]


@pytest.mark.parametrize("kind", [DataType.FP32, DataType.UINT64])
def test_a_job_and_a_stream_take_booleans_for_numbers(tmp_path: Path, kind: DataType) -> None:
    model = echo(kind)
    for suffix in (".parquet", ".arrow", ".npy"):
        assert scored(model, as_file(FLAGS, suffix, tmp_path), tmp_path) == [1, 0, 1], suffix
    for cells, wanted in ((FLAGS, [1, 0, 1]), (MIXED, [1, 2, 0])):
        for suffix in (".csv", ".jsonl"):
            assert scored(model, as_file(cells, suffix, tmp_path), tmp_path) == wanted, suffix
        assert streamed(model, tmp_path / "data.jsonl", tmp_path) == wanted


def test_an_input_of_booleans_takes_nothing_else(flags: Predictor, tmp_path: Path) -> None:
    for name, form in {**FORMS, **OF_FLAGS, **OF_WHOLE_FLAGS}.items():
        assert answers(flags, form(FLAGS)) == FLAGS, name
    assert with_a_gap(flags, FORMS["pandas, objects"]([True, np.nan, False]))
    for cells in (MIXED, [1, 0], [1.0, 0.5], ["true", "false"], [True, 0.5], ["yes", "no"]):
        for form in FORMS.values():
            with pytest.raises(InvalidInput, match=r"BOOL|mixed"):
                flags.predict(form(cells))
    for words in ("true,false,true", "True,False,True", "TRUE,FALSE,TRUE"):
        (tmp_path / "in.csv").write_text("x\n" + words.replace(",", "\n") + "\n")
        assert predicted(flags, tmp_path / "in.csv") == FLAGS
        assert scored(echo(DataType.BOOL), tmp_path / "in.csv", tmp_path) == FLAGS
    for words in ("1,0", "yes,no", "tRUE,false", "T,F"):
        (tmp_path / "in.csv").write_text("x\n" + words.replace(",", "\n") + "\n")
        with pytest.raises(InvalidInput, match="BOOL"):
            predicted(flags, tmp_path / "in.csv")
        with pytest.raises(InvalidInput, match="column 'x' does not fit input 'x'; expected BOOL"):
            scored(echo(DataType.BOOL), tmp_path / "in.csv", tmp_path)


def test_a_model_that_tells_nothing_gets_booleans_or_numbers_and_text_stays_text(tmp_path: Path) -> None:
    with Predictor(echo(None)) as unknown, Predictor(echo(DataType.BYTES)) as text:
        for suffix in (".csv", ".jsonl", ".parquet"):
            path = as_file(FLAGS, suffix, tmp_path)
            assert [type(each) for each in predicted(unknown, path)] == [bool] * 3, suffix
            assert scored(echo(None), path, tmp_path, mapping={"x": ("x",)}) == FLAGS, suffix
            path.unlink()
        for suffix in (".csv", ".jsonl"):
            assert predicted(unknown, as_file(MIXED, suffix, tmp_path)) == [1, 2, 0]
        for cells in (FLAGS, MIXED):
            path = as_file(cells, ".csv", tmp_path)
            assert predicted(text, path) == scored(echo(DataType.BYTES), path, tmp_path) == [str(c) for c in cells]


def test_dummies_of_pandas_are_columns_of_numbers(tmp_path: Path) -> None:
    class Wide:
        inputs = (TensorSpec("x", DataType.FP32, (4,)),)

        def predict(self, x: Any) -> dict[str, Any]:
            return {"y": x @ np.array([1, 10, 100, 1000], np.float32)}

    frame = pd.get_dummies(pd.DataFrame({"age": [3, 4, 5], "town": ["a", "b", "c"]}))
    wanted = [13, 104, 1005]
    with Predictor(Wide()) as predictor:
        assert answers(predictor, frame) == answers(predictor, pl.from_pandas(frame)) == wanted
        frame.to_csv(tmp_path / "in.csv", index=False)
        assert answers(predictor, read_data(str(tmp_path / "in.csv"), None)) == wanted
    assert scored(Wide(), tmp_path / "in.csv", tmp_path) == wanted
    assert scored(Wide(), tmp_path / "in.csv", tmp_path, where=["town_b = True"]) == [104]
    frame.to_json(tmp_path / "in.jsonl", orient="records", lines=True)
    assert scored(Wide(), tmp_path / "in.jsonl", tmp_path, where=["town_b = false"]) == [13, 1005]
    assert streamed(Wide(), tmp_path / "in.jsonl", tmp_path) == wanted


def test_tensors_that_name_their_datatype_stay_what_they_are(tmp_path: Path) -> None:
    def request(kind: str, data: list[Any]) -> dict[str, Any]:
        return {"inputs": [{"name": "x", "shape": [2], "datatype": kind, "data": data}]}

    class Pieces:
        inputs = (TensorSpec("x", DataType.INT64, ()),)

        def predict(self, x: Any) -> Iterator[dict[str, Any]]:
            yield {"y": x}

    with Client({"FP32": echo(DataType.FP32), "INT64": echo(DataType.INT64), "pieces": Pieces()}) as client:
        assert client.request("POST", "/v2/models/pieces/generate", json={"x": True}).json()["y"] == 1
        for kind in ("FP32", "INT64"):
            for body in (request(kind, [True, False]), request(kind, [True, 2]), request("BOOL", [True, False])):
                assert client.request("POST", f"/v2/models/{kind}/infer", json=body).status == 400
                (tmp_path / "in.json").write_text(json.dumps(body))
                with Predictor(echo(DataType(kind))) as predictor, pytest.raises(InvalidInput, match="wrong datatype"):
                    predicted(predictor, tmp_path / "in.json")
