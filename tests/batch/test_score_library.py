"""`foretell.score`: the same job as a call, and live objects in this process."""

from __future__ import annotations

import threading
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import scoring

import foretell
from foretell import DataType, TensorSpec
from foretell.batch.progress import Nobody, Progress
from foretell.errors import InvalidInput, InvalidSetting, Unavailable


def total(x: np.ndarray) -> np.ndarray:
    return x.sum(axis=1)


class Typed:
    inputs = (TensorSpec("x", DataType.FP32, (2,)),)

    def predict(self, x: np.ndarray) -> np.ndarray:
        return x.sum(axis=1)


def test_a_model_by_its_name_runs_in_processes(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(folder)
    scoring.write_files(folder, bad={7: -11.0})
    report = foretell.score("models.py:Sum", "data", "out", key="id")
    assert (report.rows, report.quarantined, report.shards) == (1599, 1, 4)
    assert scoring.answers(scoring.table(folder)) == scoring.expected(without=[7])
    assert foretell.score("models.py:Sum", "data", "out", key="id").scored_now == 0
    done = scoring.score(folder, "--key", "id", code=3)
    assert "nothing to do" in done.stdout


def test_a_live_object_runs_here(folder: Path) -> None:
    data = scoring.write_files(folder)
    report = foretell.score(total, data, folder / "out", key="id", mapping={"x": ["a", "b"]})
    assert (report.rows, report.processes, report.model["name"]) == (1600, 1, "total")
    assert scoring.answers(scoring.table(folder)) == scoring.expected()


def test_a_live_object_goes_on_only_under_a_version(folder: Path) -> None:
    data = scoring.write_files(folder, files=1)
    ask = {"key": "id", "mapping": {"x": ["a", "b"]}}
    foretell.score(total, data, folder / "out", **ask)
    with pytest.raises(InvalidInput, match="the model changed"):
        foretell.score(total, data, folder / "out", **ask)
    foretell.score(total, data, folder / "out", **ask, version="3", fresh=True)
    assert foretell.score(total, data, folder / "out", **ask, version="3").scored_now == 0


def test_rows_that_fail_in_a_live_object_are_put_aside(folder: Path) -> None:
    def refuses(x: np.ndarray) -> np.ndarray:
        if (x[:, 0] == -22.0).any():
            raise ValueError("minus twenty-two")
        return x.sum(axis=1)

    data = scoring.write_files(folder, bad={3: -22.0})
    report = foretell.score(refuses, data, folder / "out", key="id", mapping={"x": ["a", "b"]})
    assert (report.rows, report.reasons) == (1599, {"model_error": 1})
    assert [line["key"]["id"] for line in scoring.quarantine(folder)] == [3]


@pytest.mark.parametrize("raised", [KeyboardInterrupt, SystemExit])
def test_what_a_model_raises_ends_its_row_and_nothing_else(folder: Path, raised: type[BaseException]) -> None:
    def raises(x: np.ndarray) -> np.ndarray:
        if (x[:, 0] == -22.0).any():
            raise raised
        return x.sum(axis=1)

    data = scoring.write_files(folder, files=1, bad={3: -22.0})
    foretell.score(raises, data, folder / "out", key="id", mapping={"x": ["a", "b"]})
    assert [line["key"]["id"] for line in scoring.quarantine(folder)] == [3]


def test_a_live_object_is_not_called_any_more_once_its_job_has_ended(folder: Path) -> None:
    calls: list[int] = []

    def slow(x: np.ndarray) -> np.ndarray:
        calls.append(len(x))
        return x.sum(axis=1)

    class Stops(Nobody):
        def began(self, progress: Progress) -> None:
            raise KeyboardInterrupt

    data = scoring.write_files(folder, files=1, rows=4000)
    with pytest.raises(KeyboardInterrupt):
        foretell.score(slow, data, folder / "out", key="id", mapping={"x": ["a", "b"]}, batch_size=1, onlooker=Stops())
    assert len(calls) < 4000
    assert not [thread for thread in threading.enumerate() if thread.name == "foretell-score"]


def test_options_have_the_names_of_the_settings(folder: Path) -> None:
    data = scoring.write_files(folder, files=1)
    with pytest.raises(InvalidSetting, match="did you mean 'max_quarantined'"):
        foretell.score(total, data, folder / "out", max_quarantine=3)
    with pytest.raises(InvalidSetting, match="a call of a live object cannot be ended"):
        foretell.score(total, data, folder / "out", call_timeout_s=3)
    with pytest.raises(InvalidSetting, match="a live object is scored in this process; got processes=2"):
        foretell.score(total, data, folder / "out", processes=2)


def test_what_stands_between_cells_is_part_of_the_job(folder: Path) -> None:
    data = folder / "data.csv"
    data.write_text("id;a;b\n1;2;3\n2;4;5\n")
    ask = {"key": "id", "mapping": {"x": ["a", "b"]}, "version": "1"}
    with pytest.raises(InvalidInput, match="got ';'; say --delimiter ';'"):
        foretell.score(total, data, folder / "out.csv", **ask)
    foretell.score(total, data, folder / "out.csv", delimiter=";", **ask)
    assert (folder / "out.csv").read_text().splitlines()[1:] == ["1,5", "2,9"]
    assert foretell.score(total, data, folder / "out.csv", delimiter=";", **ask).scored_now == 0
    with pytest.raises(InvalidInput, match=r"another job: the input is read in another way \(--delimiter\)"):
        foretell.score(total, data, folder / "out.csv", delimiter="|", **ask)
    data.write_text("id;a;b\n1;2,5;3\n2;4;5\n")
    with pytest.raises(InvalidInput, match="got text, such as '2,5', where numbers have a decimal point"):
        foretell.score(Typed(), data, folder / "typed.csv", delimiter=";", **ask)
    for wrong in ("", "::", '"', "\n", "ü", "a"):
        with pytest.raises(InvalidSetting, match="--delimiter is no mark between cells"):
            foretell.score(total, data, folder / "out.csv", delimiter=wrong, **ask)
    with pytest.raises(InvalidSetting, match="--delimiter would do nothing: it is not for parquet"):
        foretell.score(total, scoring.write_files(folder, files=1), folder / "out", delimiter="tab", **ask)


def test_a_key_that_changes_its_type_late_is_told_with_a_way_out(folder: Path) -> None:
    data, rows = folder / "data.jsonl", 150_000
    ids = [row if row < 140_000 else row + 0.5 for row in range(rows)]
    data.write_text("".join(f'{{"id": {each}, "a": 1, "b": 2}}\n' for each in ids))
    ask: dict[str, Any] = {"key": "id", "mapping": {"x": ["a", "b"]}, "version": "1"}
    message = r"key 'id' has another type than in the rows before; expected int64, got double; .*\(--text-keys\)"
    with pytest.raises(InvalidInput, match=message):
        foretell.score(total, data, folder / "out.parquet", **ask)
    with pytest.raises(InvalidInput, match=r"another job: the input is read in another way \(--text-keys\)"):
        foretell.score(total, data, folder / "out.parquet", text_keys=True, **ask)
    assert foretell.score(total, data, folder / "out.parquet", text_keys=True, fresh=True, **ask).rows == rows
    assert pq.read_table(folder / "out.parquet")["id"].to_pylist() == [str(each) for each in ids]


@pytest.mark.parametrize("out", ["data", "data/scores", "data/scores.csv"])
def test_an_output_that_would_be_its_own_data_is_refused(folder: Path, out: str) -> None:
    data = scoring.write_files(folder, files=1)
    with pytest.raises(InvalidSetting, match="the output would be part of the data the next time"):
        foretell.score(total, data, folder / out, key="id", mapping={"x": ["a", "b"]}, fresh=True)
    assert [path.name for path in data.iterdir()] == ["00.parquet"]


def test_an_output_never_takes_the_place_of_its_data(folder: Path) -> None:
    file = scoring.write_files(folder, files=1) / "00.parquet"
    before = file.read_bytes()
    anywhere = f"{file.parent}/**/*.parquet"
    for out, data in ((file, file), (folder, file), (file.parent / "s.parquet", f"{file.parent}/*.parquet"),
                      (file.parent / "s.parquet", anywhere), (file.parent / "_out", anywhere)):  # fmt: skip
        with pytest.raises(InvalidSetting, match="the output would"):
            foretell.score(total, data, out, key="id", mapping={"x": ["a", "b"]}, fresh=True)
    assert file.read_bytes() == before
    foretell.score(total, file, file.parent / "_scores", key="id", mapping={"x": ["a", "b"]})


@pytest.mark.parametrize("out", ["out", "out.jsonl", "out.csv"])
def test_an_output_of_the_model_never_takes_the_place_of_the_key(folder: Path, out: str) -> None:
    def named(x: np.ndarray) -> dict[str, np.ndarray]:
        return {"id": x.sum(axis=1)}

    data = scoring.write_files(folder, files=1)
    with pytest.raises(InvalidSetting, match="would have two columns 'id'"):
        foretell.score(named, data, folder / out, key="id", mapping={"x": ["a", "b"]})


@pytest.mark.parametrize(
    ("out", "said"),
    [("", "the output has no name"), ("models.py", "no output of this kind"), ("s.json", "no output of this kind"),
     ("models.py/out", "Not a directory"), ("x" * 300, "too long"), ("\udcff", "no UTF-8")],
)  # fmt: skip
def test_an_output_that_cannot_be_is_told_in_a_sentence(folder: Path, out: str, said: str) -> None:
    data = scoring.write_files(folder, files=1)
    with pytest.raises((InvalidSetting, Unavailable), match=said):
        foretell.score(total, data, f"{folder}/{out}" if out else out, key="id", mapping={"x": ["a", "b"]})


def test_an_old_feather_file_is_told_by_its_version(folder: Path) -> None:
    (folder / "data.feather").write_bytes(b"FEA1" + bytes(64) + b"FEA1")
    with pytest.raises(InvalidInput, match="it is Feather of version 1"):
        foretell.score(total, folder / "data.feather", folder / "out")


@pytest.mark.parametrize("data", ["", "x" * 5000, "nowhere"])
def test_data_that_cannot_be_is_told_in_a_sentence(folder: Path, data: str) -> None:
    with pytest.raises(InvalidInput, match="there is no such file"):
        foretell.score(total, data, folder / "out")


@pytest.mark.parametrize("name", ["data.arrow", "data.parquet"])
def test_views_of_text_are_text(folder: Path, name: str) -> None:
    def same(x: np.ndarray) -> np.ndarray:
        return x

    ids = pa.array(["a", None, "a"], pa.string_view())
    table = pa.table({"id": ids, "kind": ids.dictionary_encode(), "x": [1.0, 2.0, 3.0]})
    if name.endswith("parquet"):
        pq.write_table(table.set_column(1, "kind", ids), folder / name)
    else:
        with pa.ipc.new_file(str(folder / name), table.schema) as file:
            file.write_table(table)
    report = foretell.score(same, folder / name, folder / "out", key=["id", "kind"], where="id = a")
    assert (report.rows, report.quarantined) == (2, 0)
    assert scoring.table(folder)["kind"].to_pylist() == ["a", "a"]


def test_a_date_beyond_what_python_knows_is_a_key(folder: Path) -> None:
    def none(x: np.ndarray) -> np.ndarray:
        raise ValueError("none")

    late = pa.array([2**31 - 1, 2**31 - 1, 0], pa.int32()).cast(pa.date32())
    pq.write_table(pa.table({"id": late, "x": [1.0, 2.0, 3.0]}), folder / "data.parquet")
    report = foretell.score(none, folder / "data.parquet", folder / "out", key="id")
    assert (report.quarantined, report.duplicates and report.duplicates.keys) == (3, 1)


def test_a_key_that_a_whole_part_has_not_is_null_there(folder: Path) -> None:
    (folder / "data").mkdir()
    for name, ids in (("a", "1"), ("b", "null"), ("c", "3")):
        (folder / "data" / f"{name}.jsonl").write_text(f'{{"id": {ids}, "x": [1, 2]}}\n' * 2)
    foretell.score(total, folder / "data", folder / "out", key="id", mapping={"x": ["x"]}, check_keys=False)
    table = scoring.table(folder)
    assert table["id"].to_pylist() == [1, 1, None, None, 3, 3] and str(table["id"].type) == "int64"


def test_a_key_may_be_an_input_too(folder: Path) -> None:
    class Named:
        inputs = (TensorSpec("a", DataType.FP32, ()), TensorSpec("b", DataType.FP32, ()))

        def predict(self, a: np.ndarray, b: np.ndarray) -> np.ndarray:
            return a + b

    (folder / "data.csv").write_text("a,b,c\n1,2,x\n3,4,y\n")
    for model, mapping in ((total, {"x": ["a", "b"]}), (Named(), None)):
        foretell.score(model, folder / "data.csv", folder / "out", key="a", mapping=mapping, fresh=True)
        table = scoring.table(folder)
        assert [*map(float, table["a"].to_pylist()), *table["output"].to_pylist()] == [1, 3, 3, 7]


def test_data_in_memory_belongs_to_a_predictor(folder: Path) -> None:
    frame: Any = pa.table({"a": [1]})
    with pytest.raises(InvalidSetting, match=r"the data is no path.* foretell\.Predictor answers"):
        foretell.score(total, frame, folder / "out", key=None, version=3)
