"""Finds the one artefact that a path means, and what its first bytes look like."""

from __future__ import annotations

import errno
import hashlib
import os
import stat
from dataclasses import dataclass, field
from pathlib import Path

from foretell.backends.formats import SUFFIXES, Format, format_of, is_artefact
from foretell.errors import InvalidModel, UnsafeModel

_SHOWN = 5
_NOT_THERE = {errno.ENOENT, errno.ENOTDIR, errno.ELOOP}

_TORCH = "export a PyTorch model with torch.export.save, or save its weights as .safetensors"
_CONVERT = {
    **dict.fromkeys((".ckpt", ".bin"), _TORCH),
    **dict.fromkeys((".h5", ".hdf5"), "load it in Keras and save it as NAME.keras"),
    **dict.fromkeys((".bst", ".model", ".lgb"), "save an XGBoost model as NAME.ubj, a LightGBM model as NAME.txt"),
    ".gz": "unpack it first",
    ".pb": "give the folder of the SavedModel, which holds saved_model.pb",
    ".tflite": "export the Keras or TensorFlow model it was made from",
}

_LOOKS = (
    (b"PK\x03\x04", "a zip archive"),
    (b"PK\x05\x06", "an empty zip archive"),
    (b"\x1f\x8b", "a gzip file"),
    (b"\x89HDF\r\n", "an HDF5 file"),
    (b"\x93NUMPY", "a NumPy array"),
    (b"version https://git-lfs", "a Git LFS pointer, not the file itself"),
    (b"\x7fELF", "a program"),
    (b"\x89PNG", "a PNG image"),
    (b"\xff\xd8\xff", "a JPEG image"),
    (b"PAR1", "a Parquet file"),
    (b"<", "an HTML or XML page"),
    (b"{", "JSON"),
    (b"[", "JSON"),
)


@dataclass(frozen=True, slots=True)
class Artefact:
    """A file that was read once: what is checked is what is opened. `data` is all of it."""

    path: Path
    data: bytes = field(repr=False)
    digest: str

    @classmethod
    def read(cls, path: Path) -> Artefact:
        """Raises `InvalidModel` where the file cannot be read."""
        try:
            data = path.read_bytes()
        except OSError as error:
            raise InvalidModel("the file cannot be read", where=str(path), got=error.strerror or error) from error
        return cls(path, data, f"sha256:{hashlib.sha256(data).hexdigest()}")

    def check_digest(self, sha256: str) -> None:
        """Raises `UnsafeModel` unless this is the file whose SHA-256 was given."""
        if self.digest.removeprefix("sha256:") != sha256.strip().lower().removeprefix("sha256:"):
            fix = "this is another file than the one you named: do not open it before you know why"
            raise UnsafeModel("the SHA-256 of the file is not the one given", where=str(self.path), fix=fix)


def has_threads(source: str | Path) -> bool:
    """Whether `source` means an artefact whose runtime lets the setting `threads` decide."""
    path = Path(source)
    try:
        return path.exists() and known_format(find_artefact(path)).threads
    except (OSError, ValueError, InvalidModel):
        return False  # opening it tells what is wrong


def find_artefact(path: Path) -> Path:
    """The file or folder that `path` means: itself, or the one artefact of a folder. Raises `InvalidModel`."""
    try:
        kind = stat.S_IFMT(path.stat().st_mode)
        if kind == stat.S_IFDIR:
            return path if is_artefact(path) else _only_artefact(path)
        if kind != stat.S_IFREG:
            raise InvalidModel("this is no file", where=str(path), expected="a file, or a folder that holds one")
        known_format(path)
        return path
    except (OSError, ValueError) as error:
        if getattr(error, "errno", None) in _NOT_THERE:
            raise _missing(path) from None
        raise InvalidModel(
            "the path cannot be looked up", where=str(path)[:200], got=getattr(error, "strerror", error)
        ) from error


def known_format(path: Path) -> Format:
    """Raises `InvalidModel` where there is no backend for such an artefact."""
    found = format_of(path)
    if found is None:
        raise _unknown_suffix(path)
    return found


def name_of(path: Path) -> str:
    """What a model that nobody has named is called: as its file without the ending, or as its folder."""
    return path.name if path.is_dir() else path.stem


def check_looks(path: Path) -> None:
    """Raises `InvalidModel` for a file whose first bytes are not what its suffix says."""
    try:
        with path.open("rb") as file:
            head = file.read(64)
    except OSError as error:
        raise InvalidModel("the file cannot be read", where=str(path), got=error.strerror or error) from error
    suffix, looks = path.suffix.lower(), look(head)
    if suffix == ".skops" and looks != "a zip archive":
        raise InvalidModel("not a skops file", where=str(path), expected="a zip archive", got=looks)
    if suffix == ".onnx" and looks != "no known format":
        raise InvalidModel("not an ONNX file", where=str(path), expected="a protobuf of an ONNX model", got=looks)


def look(head: bytes) -> str:
    """What a file that starts with `head` seems to be, for people."""
    if not head:
        return "an empty file"
    for start, name in _LOOKS:
        if head.startswith(start):
            return name
    if head[0] == 0x80 and len(head) > 1 and 2 <= head[1] <= 5:
        return "a pickle"
    # A small protobuf may be printable too, but always starts with a byte that is not.
    return "text" if head[:1].isascii() and all(b >= 32 or b in b"\t\r\n" for b in head) else "no known format"


def _only_artefact(folder: Path) -> Path:
    if (folder / "adapter_config.json").is_file():
        fix = "merge them: save_pretrained of what PEFT's merge_and_unload gives"
        raise InvalidModel("the folder holds an adapter without its model", where=str(folder), fix=fix)
    files = sorted(entry for entry in folder.iterdir() if not entry.name.startswith(".") and is_artefact(entry))
    if len(files) == 1:
        return files[0]
    if files:
        names = ", ".join(file.name for file in files)
        raise InvalidModel("the folder holds several models", where=str(folder), expected="one", got=names)
    present = ", ".join(sorted(entry.name for entry in folder.iterdir())[:5]) or "an empty folder"
    expected = "one file that ends in " + ", ".join(SUFFIXES)
    raise InvalidModel("the folder holds no model", where=str(folder), expected=expected, got=present)


def _missing(path: Path) -> InvalidModel:
    folder = path.parent
    if path.is_symlink():
        return InvalidModel("the link leads to no file", where=str(path), got=os.readlink(path))
    if not folder.is_dir():
        return InvalidModel("there is no such file, nor its folder", where=str(path))
    names = sorted(entry.name for entry in folder.iterdir() if is_artefact(entry))[:1000]
    return InvalidModel("there is no such file", where=str(path), fix=_nearest_file(path, names))


def _nearest_file(path: Path, names: list[str]) -> str:
    """Compares stems: every two names of models look alike by their endings."""
    import difflib

    close = difflib.get_close_matches(path.stem, [Path(name).stem for name in names], n=1, cutoff=0.6)
    if close:
        return f"did you mean {next(name for name in names if Path(name).stem == close[0])!r}?"
    more = ", ..." if len(names) > _SHOWN else ""
    return f"models here: {', '.join(names[:_SHOWN])}{more}" if names else ""


def _unknown_suffix(path: Path) -> InvalidModel:
    if path.suffix == ".py":
        return InvalidModel("which object of this file is the model?", where=str(path), expected=f"{path}:NAME")
    got = repr(path.suffix) if path.suffix else "no suffix"
    fix = _CONVERT.get(path.suffix.lower()) or _nearest_suffix(path.suffix)
    return InvalidModel(
        "no backend opens such a file", where=str(path), expected=f"one of {', '.join(SUFFIXES)}", got=got, fix=fix
    )


def _nearest_suffix(suffix: str) -> str:
    import difflib

    close = difflib.get_close_matches(suffix.lower(), SUFFIXES, n=1, cutoff=0.75)
    return f"did you mean {close[0]!r}?" if close else ""
