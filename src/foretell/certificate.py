"""The certificate of one model: what a comparison of its answers through every door has shown, on which machine.

A JSON file beside the model, so that it travels with it. It is bound to the identity: name, digest of the artefact and
what decides the numbers. Another identity has no certificate by it.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import msgspec

from foretell.errors import InvalidModel
from foretell.types import Identity

FORMAT = 1
SUFFIX = ".certificate.json"
_MOST_BYTES = 16 * 2**20


class Difference(msgspec.Struct, frozen=True, omit_defaults=True):
    """How far the answers of one check are from the reference, for one output.

    `rows`: that differ in a bit. `absolute`, `relative`: the largest of each, over all numbers that are finite in both;
    None where a text, a whole number, NaN, an infinity or a shape differs. `row`: where the largest is, from 0.
    """

    rows: int = 0
    absolute: float | None = 0.0
    relative: float | None = 0.0
    row: int | None = None


class Check(msgspec.Struct, frozen=True):
    """The same rows once more: through `door` ("python", "server", "batch" or "stream"), in this `way`."""

    door: str
    way: str
    rows: int
    outputs: dict[str, Difference]
    failed_rows: int = 0
    """Rows that have an answer here and none in the reference, or the other way round."""

    @property
    def identical(self) -> bool:
        return not self.failed_rows and not any(each.rows for each in self.outputs.values())


class Certificate(msgspec.Struct, frozen=True):
    """What was compared, with what, where, and what came of it. `reference`: the way each row was answered first."""

    format: int
    foretell: str
    made: str
    model: str
    version: str
    artefact_digest: str
    variant_digest: str
    variant: dict[str, str]
    machine: dict[str, str]
    data: dict[str, Any]
    reference: str
    checks: tuple[Check, ...]
    price: dict[str, float] | None = None
    """Of batch-invariant mode: how many times as long rows take, in small calls and in large ones."""
    left_out: dict[str, str] = {}
    """Doors that were asked for and could not be compared, and why."""

    @property
    def identical(self) -> bool:
        """Whether every check gave the same bits, and there was one."""
        return bool(self.checks) and all(check.identical for check in self.checks)

    @property
    def doors(self) -> tuple[str, ...]:
        return tuple(dict.fromkeys(check.door for check in self.checks))

    def worst(self) -> dict[str, tuple[Difference, Check]]:
        """By output: the largest difference of all checks, and the check that has it."""
        found: dict[str, tuple[Difference, Check]] = {}
        for check in self.checks:
            for name, each in check.outputs.items():
                if name not in found or _size(each) > _size(found[name][0]):
                    found[name] = each, check
        return found

    def within(self, tolerance: float) -> bool:
        """Whether no number is further from the reference than `tolerance`, absolute or relative."""
        numbers = [each for check in self.checks for each in check.outputs.values()]
        return all(_near(each, tolerance) for each in numbers) and not any(check.failed_rows for check in self.checks)

    def is_of(self, identity: Identity) -> bool:
        return (self.artefact_digest, self.variant_digest) == (identity.artefact_digest, identity.variant_digest)

    def verdict(self) -> str:
        """In a few words."""
        if not self.checks:
            return "nothing compared"
        if self.identical:
            return "bit-identical"
        worst = [difference for difference, _ in self.worst().values()]
        if any(check.failed_rows for check in self.checks) or any(each.absolute is None for each in worst):
            return "different answers"
        return f"within {max(each.absolute or 0.0 for each in worst):.2g}"


def place_of(source: str | Path) -> Path:
    """Where the certificate of a model lies: beside its file or folder, under the name that it was opened by."""
    path = Path(source)
    path = path.resolve() if path.name in ("", "..") else path
    return path.with_name(f"{path.name}{SUFFIX}")


def write(certificate: Certificate, path: Path) -> None:
    """In one step: whoever reads it sees all of it. Raises `OSError`."""
    made = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        made.write_bytes(msgspec.json.format(msgspec.json.encode(certificate), indent=2) + b"\n")
        made.replace(path)
    finally:
        made.unlink(missing_ok=True)


def read(path: Path) -> Certificate:
    """Raises `InvalidModel` for what is no certificate, or one of a newer format."""
    try:
        with path.open("rb") as file:
            data = file.read(_MOST_BYTES + 1)
        found = msgspec.json.decode(data, type=Certificate)
    except (OSError, msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
        raise InvalidModel(f"not a certificate: {error}", where=str(path)) from error
    if found.format != FORMAT:
        raise InvalidModel("a certificate of another format", where=str(path), expected=FORMAT, got=found.format)
    return found


def found_for(source: str, identity: Identity) -> Certificate | None:
    """The certificate that lies beside a model and is of this very identity; None where there is none."""
    try:
        path = place_of(source)
        certificate = read(path) if path.is_file() else None
    except (OSError, ValueError, InvalidModel):
        return None
    return certificate if certificate is not None and certificate.is_of(identity) else None


def summary_for(source: str, identity: Identity) -> dict[str, Any] | None:
    """What is told of the certificate of a model that has one; None where it has none."""
    found = found_for(source, identity)
    if found is None:
        return None
    worst = {name: each.absolute for name, (each, _) in found.worst().items()}
    return {"verdict": found.verdict(), "identical": found.identical, "doors": list(found.doors), "made": found.made,
            "rows": found.data.get("rows"), "largest_differences": worst, "machine": found.machine}  # fmt: skip


def _size(difference: Difference) -> tuple[int, float, int]:
    if difference.absolute is None:
        return 2, 0.0, difference.rows
    return int(difference.rows > 0), difference.absolute, difference.rows


def _near(difference: Difference, tolerance: float) -> bool:
    if not difference.rows:
        return True
    if difference.absolute is None or difference.relative is None:
        return False
    return min(difference.absolute, difference.relative) <= tolerance
