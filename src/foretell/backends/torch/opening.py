"""PyTorch files: exported programs (.pt2), TorchScript (.pt), and weights whose class the user names."""

from __future__ import annotations

import hashlib
import io
import logging
import warnings
import zipfile
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from foretell.backends.artefact_bytes import bytes_of, check_digest, digest_of
from foretell.backends.artefact_file import Artefact
from foretell.backends.opened import Opened
from foretell.backends.torch.archive_check import check_program, check_script, kind_of
from foretell.config import ModelSettings
from foretell.errors import InferenceError, InvalidModel, InvalidSetting, UnsafeModel
from foretell.extras import needs
from foretell.warning_filters import within

if TYPE_CHECKING:
    from foretell.backends.torch.runnable import Runnable

_PICKLE = "if you trust its author, give --allow-pickle and --sha256 with the digest that the author tells"


def open_torch(path: Path, settings: ModelSettings) -> Opened:
    """Opens an exported program, TorchScript or weights; nothing is loaded yet.

    What could run code is refused with `UnsafeModel`, unless `settings.allow_pickle` and a matching `settings.sha256`
    vouch for it. Raises `InvalidModel`, `MissingExtra`, and as `TorchModel`.
    """
    _need_torch()
    digest = digest_of(path)
    check_digest(digest, settings.sha256, path)
    vouched = settings.allow_pickle and settings.sha256 is not None
    kind = kind_of(path)
    if kind == "pickle" and (settings.model_class is not None or not vouched):
        return open_weights(path, settings)
    if settings.model_class is not None:
        raise InvalidSetting("model_class is for weights", where=str(path), got="a model that brings its own code")
    library = not vouched and _check(path, kind)
    kinds: dict[str, Callable[[Path], Runnable]] = {
        "program": lambda path: _program(path, library=library),
        "script": _script,
        "pickle": lambda path: _whole(path, settings),
    }
    read = kinds[kind]
    return _opened(path, settings, digest, lambda: read(path), permission="allow_pickle" if vouched else "")


def open_weights(path: Path, settings: ModelSettings) -> Opened:
    """Opens weights, whose class is `settings.model_class`. Raises as `open_torch`."""
    _need_torch()
    digest = digest_of(path)
    check_digest(digest, settings.sha256, path)
    if settings.model_class is None:
        if path.suffix.lower() != ".safetensors":
            raise UnsafeModel(
                "a pickle can run any code when it is opened", where=str(path),
                fix="name the class of its weights with --model-class module:Class, or export it with torch.export; "
                "of a whole module, if you trust its author, give --allow-pickle and --sha256",
            )  # fmt: skip
        fix = "name the class they belong to: --model-class module:Class"
        raise InvalidModel("weights alone are no model", where=str(path), fix=fix)
    from foretell.backends.torch.weights import class_of, with_weights

    kind = class_of(settings.model_class)
    both = hashlib.sha256(f"{digest} {kind.digest}".encode()).hexdigest() if kind.digest else ""
    return _opened(path, settings, f"sha256:{both}" if both else "", lambda: with_weights(path, kind))


def _check(path: Path, kind: str) -> bool:
    """Whether its answers are of classes of transformers."""
    if kind == "script":
        check_script(path)
        return False
    found = check_program(path)
    _check_pickles(path, found.pickles)
    _check_operators(found.operators, str(path))
    return found.transformers


def _opened(
    path: Path, settings: ModelSettings, digest: str, read: Callable[[], Runnable], permission: str = ""
) -> Opened:
    from foretell.backends.torch.device import check_device
    from foretell.backends.torch.model import TorchModel

    for device in settings.devices:
        check_device(device)
    return Opened(
        model=TorchModel(read, path.stem, settings), name=path.stem, digest=digest, source=str(path),
        framework="pytorch", size_bytes=bytes_of(path), passes=(), permission=permission,
    )  # fmt: skip


def _program(path: Path, *, library: bool) -> Runnable:
    import torch

    if library:  # PyTorch knows these classes once they are imported
        with needs("transformers", "transformers", "a program whose answers are of its classes"):
            import transformers.modeling_outputs  # noqa: F401

    from foretell.backends.torch.model import invalid
    from foretell.backends.torch.program import runnable_of

    log = logging.getLogger("torch.export")  # it would print pages of what the error says in a sentence
    before, log.disabled = log.disabled, True
    try:
        program = torch.export.load(path)
    except Exception as error:
        cause = error.__context__ if isinstance(error.__context__, Exception) else error
        raise invalid(cause, str(path)) from error
    finally:
        log.disabled = before
    return runnable_of(program, str(path))


def _script(path: Path) -> Runnable:
    import torch

    from foretell.backends.torch.model import invalid
    from foretell.backends.torch.script import runnable_of

    try:
        with within(warnings.catch_warnings(action="ignore")):  # TorchScript's deprecation is for whoever saves it
            module = torch.jit.load(str(path), map_location="cpu")
    except Exception as error:
        raise invalid(error, str(path)) from error
    return runnable_of(module, str(path))


def _whole(path: Path, settings: ModelSettings) -> Runnable:
    """Read once: what the digest is of is what is opened."""
    from foretell.backends.torch.weights import whole_module

    artefact = Artefact.read(path)
    check_digest(artefact.digest, settings.sha256, path)
    return whole_module(artefact.data, str(path))


def _check_pickles(path: Path, names: Sequence[str]) -> None:
    """PyTorch reads these safely first, and falls back to running them where that fails: so it must not fail."""
    import torch

    with zipfile.ZipFile(path) as archive:
        for name in names:
            try:
                torch.load(io.BytesIO(archive.read(name)), weights_only=True)
            except InferenceError:
                raise
            except Exception as error:
                got = name.rpartition("/")[2]
                raise UnsafeModel("it brings a pickle that is more than tensors", where=str(path), got=got,
                                  fix=_PICKLE) from error  # fmt: skip


def _check_operators(names: Iterable[str], where: str) -> None:
    """Raises `InvalidModel` for an operator that this PyTorch lacks and nobody has registered."""
    import torch

    for name in names:
        _, _, domain, operator, overload = name.split(".", 4)
        packet = getattr(getattr(torch.ops, domain), operator, None)
        if packet is None or not hasattr(packet, overload):
            fix = "import the package that brings it before, or export the model without it"
            raise InvalidModel(f"the operator {name} is not there", where=where, fix=fix)


def _need_torch() -> None:
    with needs("torch", "torch", "a PyTorch model"):
        import torch  # noqa: F401
