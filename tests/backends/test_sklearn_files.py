"""Estimators in skops files and pickles: what is agreed to is made, nothing else."""

from __future__ import annotations

import hashlib
import io
import json
import os
import struct
import subprocess
import sys
import zipfile
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import joblib
import numpy as np
import pytest
import skops.io
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import FunctionTransformer

from foretell.backends import Opened, open_model
from foretell.backends.sklearn import skops_file
from foretell.columns import Batch
from foretell.config import ModelSettings
from foretell.errors import InvalidModel, UnsafeModel
from foretell.model import Context

X = np.array([[0.0], [1.0], [2.0]])
ESTIMATOR = LogisticRegression(C=100).fit(X, [0, 1, 1])


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "risk.skops"
    skops.io.dump(ESTIMATOR, path)
    return path


def opened(path: Path, **settings: Any) -> Opened:
    return open_model(path, ModelSettings(**settings))


def labels(found: Opened) -> list[int]:
    found.model.load("cpu")
    made: list[int] = found.model.predict(Batch.of(input=X), Context()).dense("label").tolist()
    return made


def rewritten(path: Path, change: Callable[[str], str]) -> None:
    """The same archive with another schema."""
    with zipfile.ZipFile(path) as archive:
        entries = {entry.filename: archive.read(entry) for entry in archive.infolist()}
    entries["schema.json"] = change(entries["schema.json"].decode()).encode()
    with zipfile.ZipFile(path, "w") as archive:
        for name, data in entries.items():
            archive.writestr(name, data)


def test_opening_it_imports_no_other_framework(file: Path) -> None:
    """scikit-learn has a package for arrays of PyTorch, and skops looks through all of them."""
    script = (
        "import sys, foretell\n"
        "with foretell.Predictor(sys.argv[1]) as predictor: predictor.spec\n"
        "print([name for name in ('torch', 'dask', 'cupy') if name in sys.modules])\n"
        "import sklearn.externals.array_api_compat.torch"
    )
    done = subprocess.run([sys.executable, "-c", script, str(file)], capture_output=True, text=True, check=False)
    assert (done.stdout, done.returncode) == ("[]\n", 0), done.stderr


def test_a_skops_file_answers_as_its_estimator(file: Path) -> None:
    found = opened(file)
    assert (found.name, found.framework, found.size_bytes) == ("risk", "scikit-learn", file.stat().st_size)
    assert found.digest == f"sha256:{hashlib.sha256(file.read_bytes()).hexdigest()}"
    assert labels(found) == ESTIMATOR.predict(X).tolist()


def test_what_was_checked_is_what_is_made(file: Path) -> None:
    found = opened(file)
    file.write_bytes(b"replaced after it was checked")
    assert labels(found) == ESTIMATOR.predict(X).tolist()


def test_types_that_nobody_agreed_to_are_listed_with_the_flag(tmp_path: Path) -> None:
    path = tmp_path / "m.skops"
    skops.io.dump(make_pipeline(FunctionTransformer(np.linalg.norm), FunctionTransformer(os.path.basename)), path)
    with pytest.raises(UnsafeModel, match=r"--trust posixpath\.basename"):
        opened(path)
    with pytest.raises(UnsafeModel, match=r"posixpath\.basename"):
        opened(path, trust=("another.type",))


def test_agreed_types_are_made(tmp_path: Path) -> None:
    path = tmp_path / "m.skops"
    skops.io.dump(make_pipeline(FunctionTransformer(os.path.basename), ESTIMATOR), path)
    opened(path, trust=("posixpath.basename", "not.even.there")).model.load("cpu")


def test_a_planted_reduce_never_runs(tmp_path: Path, file: Path) -> None:
    planted = {"__class__": "system", "__module__": "os", "__loader__": "OperatorFuncNode", "__id__": 1,
               "attrs": {"__class__": "tuple", "__module__": "builtins", "__loader__": "TupleNode", "__id__": 2,
                         "content": [{"__class__": "str", "__module__": "builtins", "__loader__": "JsonNode",
                                      "content": json.dumps(f"touch {tmp_path}/planted"), "is_json": True,
                                      "__id__": 3}]}}  # fmt: skip

    def plant(schema: str) -> str:
        return json.dumps({**json.loads(schema), **planted})

    rewritten(file, plant)
    with pytest.raises(InvalidModel):
        opened(file).model.load("cpu")
    assert not (tmp_path / "planted").exists()


def test_a_digest_that_is_given_has_to_match(file: Path) -> None:
    assert labels(opened(file, sha256=hashlib.sha256(file.read_bytes()).hexdigest())) == ESTIMATOR.predict(X).tolist()
    with pytest.raises(UnsafeModel, match="SHA-256"):
        opened(file, sha256="0" * 64)


@pytest.mark.parametrize(
    "change",
    [lambda _: "[" * 100_000, lambda _: "{}", lambda _: "no json", lambda s: s.replace("LogisticRegression", "Nope")],
    ids=["deep", "empty", "no json", "unknown class"],
)
def test_broken_schemas_are_one_sentence(file: Path, change: Callable[[str], str]) -> None:
    rewritten(file, change)
    with pytest.raises(InvalidModel) as caught:
        opened(file).model.load("cpu")
    assert "\n" not in str(caught.value)


def test_truncated_files_and_other_archives_are_refused(file: Path) -> None:
    whole = file.read_bytes()
    for length in (len(whole) - 1, len(whole) // 2, 30):
        file.write_bytes(whole[:length])
        with pytest.raises(InvalidModel, match="not a skops file"):
            opened(file)
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        archive.writestr("data.pkl", b"")
    file.write_bytes(buffer.getvalue())
    with pytest.raises(InvalidModel, match=r"schema\.json"):
        opened(file)


@pytest.mark.parametrize("name", ["/etc/passwd", "../up.npy", "a/../../b", "c:\\x"])
def test_entries_that_point_out_of_the_archive_are_refused(file: Path, name: str) -> None:
    with zipfile.ZipFile(file, "a") as archive:
        archive.writestr(name, b"x")
    with pytest.raises(UnsafeModel, match="points out"):
        opened(file)


def test_archives_that_unpack_to_too_much_are_refused(file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(skops_file, "MAX_ENTRIES", 1)
    with pytest.raises(UnsafeModel, match="too many entries"):
        opened(file)
    monkeypatch.setattr(skops_file, "MAX_ENTRIES", 100)
    monkeypatch.setattr(skops_file, "MAX_UNPACKED_BYTES", 100)
    with pytest.raises(UnsafeModel, match="too large unpacked"):
        opened(file)


def test_a_schema_that_unpacks_to_too_much_is_refused(file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(skops_file, "MAX_SCHEMA_BYTES", 100)
    with pytest.raises(UnsafeModel, match="too large a schema; expected at most 100"):
        opened(file)


@pytest.mark.parametrize("method", [zipfile.ZIP_DEFLATED, zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA])
def test_a_schema_that_says_it_is_small_is_refused_too(
    tmp_path: Path, method: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(skops_file, "MAX_SCHEMA_BYTES", 10_000)
    path, said = tmp_path / "m.skops", b"{}"
    with zipfile.ZipFile(path, "w", method) as archive:
        archive.writestr("schema.json", said + b" " * 100_000)
    whole = bytearray(path.read_bytes())
    at = whole.rindex(b"PK\x01\x02")
    struct.pack_into("<I", whole, at + 16, zlib.crc32(said))
    struct.pack_into("<I", whole, at + 24, len(said))
    path.write_bytes(whole)
    with pytest.raises((UnsafeModel, InvalidModel), match=r"too large a schema|not a skops file: Bad CRC"):
        opened(path)


def test_a_schema_that_does_not_unpack_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "m.skops"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("schema.json", b"{}" * 1000)
    whole = bytearray(path.read_bytes())
    whole[41:45] = b"\xff" * 4
    path.write_bytes(whole)
    with pytest.raises(InvalidModel, match="not a skops file"):
        opened(path)


def test_a_skops_file_of_something_else_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "m.skops"
    skops.io.dump({"not": "an estimator"}, path)
    with pytest.raises(InvalidModel, match="holds no estimator"):
        opened(path).model.load("cpu")
    skops.io.dump(LogisticRegression(), path)
    with pytest.raises(InvalidModel, match="is not fitted"):
        opened(path).model.load("cpu")


def test_another_version_is_one_warning_and_part_of_the_identity(file: Path) -> None:
    import sklearn

    rewritten(file, lambda schema: schema.replace(f'\\"{sklearn.__version__}\\"', '\\"1.0.2\\"'))
    found = opened(file)
    with pytest.warns(UserWarning, match=r"made with scikit-learn 1\.0\.2") as caught:
        found.model.load("cpu")
    assert len(caught) == 1
    assert found.model.variant()["made_with"] == "scikit-learn 1.0.2"


def test_an_agreed_joblib_file_opens(tmp_path: Path) -> None:
    path = tmp_path / "m.joblib"
    joblib.dump(ESTIMATOR, path, compress=3)
    found = opened(path, allow_pickle=True, sha256=hashlib.sha256(path.read_bytes()).hexdigest())
    assert found.framework == "scikit-learn"
    assert labels(found) == ESTIMATOR.predict(X).tolist()


def test_a_pickle_of_a_model_among_other_things_says_what_to_do(tmp_path: Path) -> None:
    path = tmp_path / "m.joblib"
    joblib.dump({"model": ESTIMATOR, "columns": ["a", "b"]}, path)
    with pytest.raises(
        InvalidModel, match="more than a model; expected one model, got a dict of model, columns; write"
    ):
        opened(path, allow_pickle=True, sha256=hashlib.sha256(path.read_bytes()).hexdigest())
