"""What kind of processor a machine has, as Linux tells it on x86 and on ARM."""

from __future__ import annotations

from pathlib import Path

import pytest

from foretell.processor import processor

_X86 = "processor\t: 0\nvendor_id\t: AuthenticAMD\nmodel name\t: AMD EPYC 7B13\nflags\t\t: fpu\n\nmodel name\t: other\n"
_FAMILY = "vendor_id\t: AuthenticAMD\ncpu family\t: 25\nmodel\t\t: {model}\nmodel name\t: AMD EPYC\nstepping\t: 1\n"
_ARM = (
    "processor\t: {number}\nBogoMIPS\t: 243.75\nFeatures\t: fp asimd asimddp\nCPU implementer\t: {maker}\n"
    "CPU architecture: 8\nCPU variant\t: {variant}\nCPU part\t: {part}\nCPU revision\t: 1\n\n"
)


def arm(part: str, maker: str = "0x41", variant: str = "0x3") -> str:
    return "".join(_ARM.format(number=number, maker=maker, variant=variant, part=part) for number in range(2))


@pytest.mark.parametrize(
    ("told", "wanted"),
    [
        (_X86, "AMD EPYC 7B13"),
        (_FAMILY.format(model=1), "AMD EPYC, family 25 model 1"),
        (_FAMILY.format(model=17), "AMD EPYC, family 25 model 17"),
        (arm("0xd0c"), "Neoverse-N1 r3p1"),
        (arm("0xd4f", variant="0x0"), "Neoverse-V2 r0p1"),
        (arm("0x022", maker="0x61"), "ARM maker 0x61 part 0x022 r3p1"),
        (arm("0xd0c", maker="0x61"), "ARM maker 0x61 part 0xd0c r3p1"),
        ("processor\t: 0\nisa\t: rv64\n", ""),
        ("", ""),
    ],
)
def test_a_processor_is_told_from_another(tmp_path: Path, told: str, wanted: str) -> None:
    (tmp_path / "cpuinfo").write_text(told)
    assert processor(str(tmp_path / "cpuinfo")) == wanted


def test_a_system_that_does_not_tell_has_none(tmp_path: Path) -> None:
    assert processor(str(tmp_path / "none")) == ""
