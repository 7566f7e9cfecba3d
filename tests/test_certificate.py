"""The certificate as a file: whole or not at all, and of one identity only."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import msgspec
import pytest

from foretell.certificate import Certificate, Check, Difference, found_for, place_of, read, summary_for, write
from foretell.errors import InvalidModel
from foretell.types import Identity

ME = Identity("net", "1", "sha256:a", "sha256:b")


def made(*checks: Check) -> Certificate:
    return Certificate(1, "0", "2026-01-01T00:00:00+00:00", "net", "1", ME.artefact_digest, ME.variant_digest, {}, {},
                       {"rows": 9}, "each row alone", checks)  # fmt: skip


def check(door: str = "python", way: str = "2 in a call", failed: int = 0, **outputs: Difference) -> Check:
    return Check(door, way, 9, outputs, failed)


SAME, NEAR, FAR = Difference(), Difference(3, 2e-7, 1e-6, 4), Difference(1, None, None, 2)


def test_it_reads_as_it_was_written(tmp_path: Path) -> None:
    certificate = made(check(x=SAME), check("server", x=NEAR, y=FAR))
    write(certificate, tmp_path / "c.json")
    assert read(tmp_path / "c.json") == certificate
    assert [each.name for each in tmp_path.iterdir()] == ["c.json"]


def test_its_words() -> None:
    assert made(check(x=SAME), check("batch", x=SAME)).verdict() == "bit-identical"
    assert made(check(x=SAME), check(x=NEAR)).verdict() == "within 2e-07"
    assert made(check(x=NEAR), check(x=FAR)).verdict() == "different answers"
    assert made(check(x=SAME, failed=1)).verdict() == "different answers"


def test_nothing_compared_proves_nothing() -> None:
    assert not made().identical
    assert made().verdict() == "nothing compared"


def test_it_lies_beside_the_model() -> None:
    assert place_of("a/net.onnx") == Path("a/net.onnx.certificate.json")
    assert place_of("a/code.py:Net") == Path("a/code.py:Net.certificate.json")
    assert place_of(".") == Path.cwd().with_name(f"{Path.cwd().name}.certificate.json")


def test_the_worst_of_each_output_and_where() -> None:
    near, far = check(x=NEAR), check("stream", x=Difference(1, 3e-7, 1e-9, 0))
    assert made(check(x=SAME), near, far).worst() == {"x": (far.outputs["x"], far)}


@pytest.mark.parametrize(
    ("tolerance", "checks", "kept"),
    [
        (0, [check(x=SAME)], True),
        (1e-7, [check(x=NEAR)], False),
        (2e-7, [check(x=NEAR)], True),
        (1, [check(x=FAR)], False),
        (1, [check(x=SAME, failed=1)], False),
    ],
)
def test_a_tolerance_holds_for_numbers_only(tolerance: float, checks: list[Check], kept: bool) -> None:
    assert made(*checks).within(tolerance) is kept


def test_it_belongs_to_one_identity(tmp_path: Path) -> None:
    model = tmp_path / "net.onnx"
    assert summary_for(str(model), ME) is None
    write(made(check(x=SAME)), place_of(model))
    assert found_for(str(model), ME) == made(check(x=SAME))
    summary = summary_for(str(model), ME)
    assert summary is not None
    assert (summary["verdict"], summary["doors"], summary["rows"]) == ("bit-identical", ["python"], 9)
    assert found_for(str(model), replace(ME, artefact_digest="sha256:c")) is None
    assert found_for(str(model), replace(ME, variant_digest="sha256:c")) is None


@pytest.mark.parametrize("text", [b"", b"{}", b"[" * 100_000, b"\xff", b'{"format": 1}'])
def test_what_is_no_certificate(tmp_path: Path, text: bytes) -> None:
    path = place_of(tmp_path / "net.onnx")
    path.write_bytes(text)
    with pytest.raises(InvalidModel, match="not a certificate"):
        read(path)
    assert found_for(str(tmp_path / "net.onnx"), ME) is None


def test_another_format(tmp_path: Path) -> None:
    write(msgspec.structs.replace(made(), format=2), tmp_path / "c.json")
    with pytest.raises(InvalidModel, match="another format"):
        read(tmp_path / "c.json")
