"""How each server is started: ours, the bare ones, the peers."""

from __future__ import annotations

import shutil
import subprocess
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from benchmarks.online.peers.environment import python_of
from benchmarks.process import ROOT, Server, Unavailable, foretell, free_port
from benchmarks.wire import Oip, OipBinary, Plain, Wire

OURS, BARE = "foretell", "bare"
_WHERE = (
    "import sysconfig, sys; print(sysconfig.get_path('purelib'), sysconfig.get_config_var('LIBDIR'), "
    "'%d.%d' % sys.version_info[:2])"
)
_ALONE: Mapping[str, str | None] = {"PYTHONPATH": None}
_PEERS = ROOT / "benchmarks" / "online" / "peers"


@dataclass(frozen=True)
class Recipe:
    name: str
    command: Sequence[str]
    wire: Wire
    environ: Mapping[str, str | None] = field(default_factory=dict)

    def start(self, row: np.ndarray, core: int | None = None) -> Server:
        """The server, once it has answered `row`."""
        return Server(self.name, self.command, self.wire, row, environ=self.environ, core=core)


def ours(model: Path, *flags: str, name: str = OURS, wire: Wire | None = None) -> Recipe:
    return Recipe(name, foretell(f"model={model}", *flags), wire or Oip("model"))


def uncounted(model: Path, *, name: str) -> Recipe:
    """foretell without its statistics."""
    python, _, _, *rest = foretell(f"model={model}")
    return Recipe(name, [python, "-m", "benchmarks.online.uncounted", *rest], Oip("model"))


def ours_python(reference: str, *flags: str, name: str, wire: Wire, environ: Mapping[str, str] | None = None) -> Recipe:
    command = foretell(f"model=benchmarks.online.python_models:{reference}", *flags)
    return Recipe(name, command, wire, environ or {})


def bare(model: Path, name: str = BARE) -> Recipe:
    return Recipe(name, [sys.executable, "-m", "benchmarks.online.bare", str(model), "{port}"], Oip("model"))


def bare_binary(model: Path, *flags: str, name: str = BARE) -> Recipe:
    command = [sys.executable, "-m", "benchmarks.online.bare_binary", str(model), "{port}", *flags]
    return Recipe(name, command, OipBinary("model"))


def fixed(model: Path, max_batch: int, delay_ms: float) -> Recipe:
    command = [sys.executable, "-m", "benchmarks.online.fixed", str(model), "{port}", str(max_batch), str(delay_ms)]
    return Recipe(f"fixed {max_batch}, {delay_ms:g} ms", command, Oip("model"))


def mosec(model: str, batch: int, wait_ms: int, workers: int = 1, *, name: str) -> Recipe:
    """`model`: an ONNX file, or "busy:HOW". Raises `Unavailable` where mosec cannot be installed."""
    python = python_of("mosec", ("mosec==0.9.8", "msgspec", "numpy"))
    script = str(_PEERS / "mosec_model.py")
    command = [str(python), script, "--port", "{port}", "--address", "127.0.0.1", "--log-level", "error"]
    environ = {**_ALONE, "MODEL": model, "BATCH": str(batch), "WAIT_MS": str(wait_ms), "WORKERS": str(workers)}
    return Recipe(name, command, Plain(), environ)


def triton(model: Path, folder: Path, *, batching: bool, name: str) -> Recipe:
    """Triton 2.51 with its Python backend, as the package of PyTriton brings it, without PyTriton itself.

    `folder`: where it may build its repository. With NumPy 2 this backend answers 200 and an empty tensor.
    """
    python = python_of("triton", ("nvidia-pytriton==0.7.0", "numpy<2"))
    done = subprocess.run([str(python), "-c", _WHERE], check=True, capture_output=True, text=True)
    packages, libraries, version = done.stdout.split()
    shipped = Path(packages) / "pytriton" / "tritonserver"
    stub = shipped / "python_backend_stubs" / version / "triton_python_backend_stub"
    if not stub.exists():
        raise Unavailable(f"Triton has no Python backend for Python {version}")
    place = folder / f"triton-{'batching' if batching else 'single'}"
    _triton_repository(place / "models", batching)
    shutil.copytree(shipped / "backends", place / "backends", ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copy(stub, place / "backends" / "python")
    command = [
        str(shipped / "bin" / "tritonserver"), f"--model-repository={place / 'models'}",
        f"--backend-directory={place / 'backends'}", "--http-address=127.0.0.1", "--http-port={port}",
        "--allow-grpc=false", "--allow-metrics=false",
    ]  # fmt: skip
    environ = {
        **_ALONE,
        "MODEL": str(model),
        "LD_LIBRARY_PATH": f"{Path(packages) / 'nvidia_pytriton.libs'}:{libraries}",
        "PATH": f"{python.parent}:/usr/bin:/bin",
    }
    return Recipe(name, command, Oip("model"), environ)


def _triton_repository(place: Path, batching: bool) -> None:
    (place / "model" / "1").mkdir(parents=True)
    shutil.copy(_PEERS / "triton_model.py", place / "model" / "1" / "model.py")
    rows = "max_batch_size: 64\ndynamic_batching {}\n" if batching else "max_batch_size: 1\n"
    tensors = (
        'input [{name: "input" data_type: TYPE_FP32 dims: [4]}]\n'
        'output [{name: "probabilities" data_type: TYPE_FP32 dims: [3]}]\n'
    )
    instances = "instance_group [{kind: KIND_CPU count: 1}]\n"
    (place / "model" / "config.pbtxt").write_text('backend: "python"\n' + rows + tensors + instances)


def mlserver(model: Path, folder: Path, *, name: str) -> Recipe:
    """MLServer, the model in its own process. Its event loop does not start with uvloop 0.23."""
    python = python_of("mlserver", ("mlserver==1.7.1", "uvloop<0.23"))
    place = folder / "mlserver"
    place.mkdir()
    shutil.copy(_PEERS / "mlserver_model.py", place)
    (place / "model-settings.json").write_text('{"name": "model", "implementation": "mlserver_model.OnnxModel"}')
    environ = {
        **_ALONE,
        "MODEL": str(model),
        "MLSERVER_HOST": "127.0.0.1",
        "MLSERVER_HTTP_PORT": "{port}",
        "MLSERVER_GRPC_PORT": str(free_port()),
        "MLSERVER_METRICS_PORT": str(free_port()),
        "MLSERVER_PARALLEL_WORKERS": "0",
        "MLSERVER_DEBUG": "false",
    }
    return Recipe(name, [str(python.parent / "mlserver"), "start", str(place)], Oip("model"), environ)
