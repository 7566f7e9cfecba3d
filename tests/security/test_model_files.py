"""Classes of holes: model files that run code, archives, and weights anywhere on the disk. Each is tried on every way
by which a file becomes a model: the start, the commands, and a call to load."""

from __future__ import annotations

import ast
import gzip
import io
import os
import pickle
import tarfile
import zipfile
from pathlib import Path
from typing import Any

import onnx
import pytest
from onnx import TensorProto, helper
from onnx_build import build, value
from repositories import Manage, put

import foretell
from foretell.cli import main

PACKAGE = Path(foretell.__file__).parent


class Planted:
    """Leaves a mark where it is unpickled."""

    def __reduce__(self) -> Any:
        return (os.mkdir, ("planted",))


PICKLE = pickle.dumps(Planted())


def refused_everywhere(
    folder: Path, manage: Manage, name: str, content: bytes, capsys: pytest.CaptureFixture[str], *more: str
) -> None:
    """`more`: flags that are given to commands, and yet change nothing."""
    path = put(folder / "models/evil/1" / name, content)
    before = {each for each in folder.rglob("*") if "planted" in each.name}
    for command in (
        ["serve", str(path)], ["serve", f"m={path}"], ["serve", str(folder / "models")], ["inspect", str(path)],
        ["predict", str(path), "[[1]]"],
    ):  # fmt: skip
        assert main([*command, *more]) in (1, 2), command
        lines = capsys.readouterr().err.splitlines()
        assert lines and lines[-1].startswith("foretell: "), lines
    server = manage(folder / "models/m")
    if more:
        return
    for place in ("evil", "evil/1", f"evil%2F1%2F{name}"):
        assert server.load(place).status in (400, 404)
    assert server.predict("m", 3) == 6
    server = manage(put(folder / "alone/model.onnx", (folder / "models/m/1/model.onnx").read_bytes()))
    put(folder / "alone/model.onnx", content)  # another file has taken its place
    assert server.load("model").status == 400
    assert server.predict("model", 3) == 6
    assert {each for each in folder.rglob("*") if "planted" in each.name} == before


CODE = {
    "model.pkl": PICKLE, "model.pickle": PICKLE, "model.joblib": PICKLE, "model.pt": PICKLE, "model.bin": PICKLE,
    "model.ckpt": PICKLE, "model.onnx": PICKLE, "model.skops": PICKLE, "model.npy": PICKLE, "model.h5": PICKLE,
    "model.dill": PICKLE, "model.py": b"import os\nos.mkdir('planted')\n",
}  # fmt: skip


@pytest.mark.parametrize("name", CODE)
def test_a_file_that_runs_code_does_not(
    folder: Path, serve_more: Manage, name: str, capsys: pytest.CaptureFixture[str]
) -> None:
    refused_everywhere(folder, serve_more, name, CODE[name], capsys)


@pytest.mark.parametrize("name", ["model.pkl", "model.pickle", "model.joblib"])
@pytest.mark.parametrize(
    "more", [("--allow-pickle",), ("--allow-pickle", "--sha256", "0" * 64), ("--sha256", "0" * 64)]
)
def test_half_a_permission_is_none(
    folder: Path, serve_more: Manage, name: str, more: tuple[str, ...], capsys: pytest.CaptureFixture[str]
) -> None:
    refused_everywhere(folder, serve_more, name, PICKLE, capsys, *more)
    assert not (folder / "work/planted").exists()


def test_what_lies_beside_a_model_vouches_for_nothing(folder: Path, serve_more: Manage) -> None:
    put(folder / "models/evil/1/model.pkl", PICKLE)
    server = serve_more(folder / "models/m")
    for text in ("allow_pickle = true", 'trust = ["os.mkdir"]'):
        put(folder / "models/evil/1/model.toml", text.encode())
        assert server.load("evil").status in (400, 404)
    assert not (folder / "work/planted").exists()


def zipped(entries: dict[str, bytes], link: str | None = None) -> bytes:
    made = io.BytesIO()
    with zipfile.ZipFile(made, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in entries.items():
            archive.writestr(name, content)
        if link is not None:
            info = zipfile.ZipInfo("schema.json")
            info.create_system, info.external_attr = 3, 0o120777 << 16
            archive.writestr(info, link)
    return made.getvalue()


def tarred(member: tarfile.TarInfo, content: bytes = b"") -> bytes:
    made = io.BytesIO()
    with tarfile.open(fileobj=made, mode="w:gz") as archive:
        member.size = len(content)
        archive.addfile(member, io.BytesIO(content))
    return made.getvalue()


def member(name: str, kind: bytes = tarfile.REGTYPE, link: str = "") -> tarfile.TarInfo:
    made = tarfile.TarInfo(name)
    made.type, made.linkname = kind, link
    return made


SCHEMA = b'{"__class__":"mkdir","__module__":"os","__loader__":"TypeNode","__id__":1,"protocol":2}'
ARCHIVES = {
    "a path upwards": zipped({"../planted": b"x", "schema.json": SCHEMA}),
    "an absolute path": zipped({"/planted": b"x", "schema.json": b"{}"}),
    "a link": zipped({"planted/x": b"x"}, link="/etc/passwd"),
    "a function of the system": zipped({"schema.json": SCHEMA}),
    "a bomb": zipped({"schema.json": b" " * 20_000_000}),
    "a bomb beside": zipped({"schema.json": b"{}", "1.npy": b"\0" * 20_000_000}),
    "a pickle in an array": zipped({"schema.json": b'{"__class__":"ndarray","__module__":"numpy","__loader__":'
                                    b'"NdArrayNode","type":"numpy","file":"1.npy","__id__":1,"protocol":2}',
                                    "1.npy": b"\x93NUMPY\x01\x00v\x00{'descr':'|O','fortran_order':False,'shape':(1,)}"
                                    + PICKLE}),
    "a link in a tar": tarred(member("planted", tarfile.SYMTYPE, "/etc/passwd")),
    "a hard link in a tar": tarred(member("planted", tarfile.LNKTYPE, "../outside/secret.txt")),
    "a path upwards in a tar": tarred(member("../../planted"), b"x"),
    "a device in a tar": tarred(member("planted", tarfile.CHRTYPE)),
    "a tar that is a bomb": gzip.compress(b"\0" * 20_000_000),
}  # fmt: skip


@pytest.mark.parametrize("suffix", [".skops", ".onnx", ".zip", ".tar.gz", ".mar", ".bento"])
@pytest.mark.parametrize("name", ARCHIVES)
def test_no_archive_writes_or_unfolds_anything(
    folder: Path, serve_more: Manage, name: str, suffix: str, capsys: pytest.CaptureFixture[str]
) -> None:
    refused_everywhere(folder, serve_more, f"model{suffix}", ARCHIVES[name], capsys)
    assert not (folder / "planted").exists() and not Path("/planted").exists()


def elsewhere(location: str, **entries: str) -> bytes:
    """y = x * w, with w in another file."""
    model = build([helper.make_node("Mul", ["x", "w"], ["y"])], [value("x", ["N", 1])], [value("y", ["N", 1])])
    tensor = TensorProto(name="w", data_type=TensorProto.FLOAT, dims=[1], data_location=TensorProto.EXTERNAL)
    for key, text in {"location": location, **entries}.items():
        tensor.external_data.add(key=key, value=text)
    model.graph.initializer.append(tensor)
    assert isinstance(model, onnx.ModelProto)
    return bytes(model.SerializeToString())


PLACES = (
    "../../../outside/secret.txt", "/etc/passwd", "..\\outside", "C:\\secret", "link", "", ".",
    "a/../../../../outside/secret.txt", "*/_ORT_MEM_ADDR_/*", "file:///etc/passwd", "http://127.0.0.1/x",
    "secret\0.txt", "/proc/self/environ",
)  # fmt: skip


@pytest.mark.parametrize("place", PLACES)
def test_weights_lie_beside_their_model_or_nowhere(
    folder: Path, serve_more: Manage, place: str, capsys: pytest.CaptureFixture[str]
) -> None:
    (folder / "models/evil/1").mkdir(parents=True)
    (folder / "alone").mkdir()
    for beside in (folder / "models/evil/1", folder / "alone"):
        (beside / "link").symlink_to(folder / "outside/secret.txt")
    refused_everywhere(folder, serve_more, "model.onnx", elsewhere(place, offset="0", length="4"), capsys)


@pytest.mark.parametrize(
    "entries",
    [{"offset": "-1"}, {"length": "-4"}, {"offset": str(2**63)}, {"length": str(2**64)}, {"offset": "x"},
     {"checksum": "x", "__class__": "x", "location2": "y", "basepath": "/etc", "length": str(2**62)}],
)  # fmt: skip
def test_no_entry_of_external_data_becomes_more_than_it_is(
    folder: Path, serve_more: Manage, entries: dict[str, str], capsys: pytest.CaptureFixture[str]
) -> None:
    for beside in ("models/evil/1", "alone"):
        put(folder / beside / "w.bin", bytes(4))
    refused_everywhere(folder, serve_more, "model.onnx", elsewhere("w.bin", **entries), capsys)


@pytest.mark.parametrize("what", ["file", "version", "model"])
def test_a_link_out_of_the_repository_is_no_model(folder: Path, serve_more: Manage, what: str) -> None:
    server = serve_more(folder / "models")
    place = folder / {"file": "models/evil/1/model.onnx", "version": "models/evil/1", "model": "models/evil"}[what]
    place.parent.mkdir(parents=True, exist_ok=True)
    target = folder / {"file": "outside/1/model.onnx", "version": "outside/1", "model": "outside"}[what]
    place.symlink_to(target)
    assert server.load("evil").status == 400
    assert server.predict("m", 3) == 6


UNSAFE = {"pickle", "joblib", "marshal", "shelve", "dill", "cloudpickle", "yaml", "tarfile", "multiprocessing"}
CALLS = {"torch.load", "eval", "exec", "os.system", "os.popen"}
UNPACK = {"extractall", "unpack_archive"}


def reaches(node: ast.AST) -> set[str]:
    """What unsafe thing this is, if it is one."""
    if isinstance(node, ast.Import):
        return {alias.name for alias in node.names if alias.name.split(".")[0] in UNSAFE}
    if isinstance(node, ast.ImportFrom):
        return {node.module} if node.module and node.module.split(".")[0] in UNSAFE else set()
    if isinstance(node, ast.Attribute) and node.attr in UNPACK:
        return {node.attr}
    return {ast.unparse(node.func)} & CALLS if isinstance(node, ast.Call) else set()


def test_nothing_reads_code_or_unpacks_archives_but_where_it_is_said() -> None:
    """Whoever adds such an import says here what bounds it."""
    found = {
        (str(path.relative_to(PACKAGE)), name)
        for path in PACKAGE.rglob("*.py")
        for node in ast.walk(ast.parse(path.read_text("utf-8")))
        for name in reaches(node)
    }
    assert found == {
        ("backends/pickle_file.py", "pickle"), ("backends/pickle_file.py", "joblib"),  # with opt-in and digest
        ("backends/python/source.py", "exec"),  # the file that a person has named
        ("backends/torch/weights.py", "pickle"), ("backends/torch/weights.py", "torch.load"),  # the same, or
        ("backends/torch/opening.py", "torch.load"),  # weights only
        ("batch/archives.py", "tarfile"), ("batch/sources/holders.py", "tarfile"),  # read in place
    }  # fmt: skip
