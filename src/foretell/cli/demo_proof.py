"""What the demo shows last: the same rows through every door, and the certificate of each model."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from foretell import certificate
from foretell.certificate import Certificate
from foretell.cli.data import read_data, to_intake
from foretell.cli.loading import load
from foretell.config import ModelSettings
from foretell.demo.folder import DemoFolder
from foretell.demo.frameworks import FRAMEWORKS, make_model, patients
from foretell.errors import MissingExtra, Unavailable
from foretell.repository.plan import Planned
from foretell.verify.asked import Asked
from foretell.verify.proof import proof

Say = Callable[[str], None]
_ROWS, _FEW = 64, 12
_TOLERANCE = 1e-5


@dataclass(frozen=True, slots=True)
class Proven:
    certificates: dict[Path, Certificate]

    @property
    def keeps(self) -> bool:
        """Whether no door differs by more than rounding."""
        return all(found.within(_TOLERANCE) for found in self.certificates.values())


def prove(folder: DemoFolder, digits: Path, sample: Path, say: Say, *, quick: bool) -> Proven:
    """The ONNX model of the demo; unless it is `quick` one of PyTorch and one of trees, too, where their packages are
    there: else `say` is told.

    Raises what `foretell verify` raises.
    """
    models = {digits: sample}
    rows = patients(folder)
    for framework in () if quick else FRAMEWORKS:
        try:
            framework.check()
        except (MissingExtra, Unavailable) as error:
            say(f"{framework.name}: skipped, {error}")
            continue
        say(f"{framework.name}: training a model with {framework.package} ...")
        models[make_model(folder, framework)] = rows
    found = {}
    for model, data in models.items():
        say(f"{model.parent.parent.name}: the same rows through Python, server, batch and stream ...")
        found[model] = _certified(model, data, _FEW if quick else _ROWS)
    return Proven(found)


def _certified(model: Path, data: Path, most: int) -> Certificate:
    planned = Planned(model.parent.parent.name, "1", str(model), ())
    served = load(planned, ModelSettings())
    try:
        rows = to_intake(read_data(str(data), None), served.spec, None).batch.slice(0, most)
    finally:
        served.engine.close()
    words = f"{planned.name}={model}"
    asked = Asked(words, (), str(model), str(planned.name), "1", ModelSettings(), rows)
    made = proof(asked, {"source": data.name})
    certificate.write(made, certificate.place_of(model))
    return made
