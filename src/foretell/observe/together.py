"""The metrics of several processes as one: their expositions, added up sample by sample.

It reads the text that `prometheus` writes, so that every metric is in, whatever room it comes from.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass, field

Number = int | float

_OF_A_PROCESS = (
    "foretell_process_", "process_", "python_",
    "foretell_batch_rows_limit", "foretell_bulk_share", "foretell_slo_margin_seconds", "foretell_caller_groups",
)  # fmt: skip
"""Metrics that say something of one process: they get a label instead of being added up."""
_ADD_UP = {"counter", "histogram", "summary"}
_LEAST = {"foretell_model_ready"}
"""Of these the least counts: a model that one process lacks is not ready."""
_INFO = "_info"
"""Such metrics are 1 everywhere, and stay so."""


@dataclass(slots=True)
class Family:
    """A metric: its samples by name and labels, as they are written."""

    text: str
    kind: str
    samples: dict[str, Number] = field(default_factory=dict)


Families = dict[str, Family]


class Together:
    """What a changing set of processes has counted, all together.

    What a process that has gone had counted stays in the sums, as far as it had told: they never fall.
    """

    def __init__(self, label: str) -> None:
        """`label`: the name of the label that tells processes apart."""
        self._label = label
        self._latest: dict[int, Families] = {}
        self._gone: Families = {}

    def tells(self, process: int, exposition: str) -> None:
        """What process number `process` says of itself now."""
        self._latest[process] = read(exposition)

    def leaves(self, process: int) -> None:
        """It has ended: what it had counted stays, what it held does not."""
        for name, family in self._latest.pop(process, {}).items():
            if family.kind in _ADD_UP and not name.startswith(_OF_A_PROCESS):
                _add(self._gone, name, family, least=False)

    def exposition(self, present: Collection[int]) -> str:
        """The sums; `present`: the processes whose latest word is of now. Of others only what they counted is in."""
        total: Families = {}
        for process, families in sorted(self._latest.items()):
            for name, family in families.items():
                if name.startswith(_OF_A_PROCESS):
                    if process in present:
                        _add(total, name, _labelled(family, f'{self._label}="{process}"'), least=False)
                elif process in present or family.kind in _ADD_UP:
                    _add(total, name, family, least=name in _LEAST or name.endswith(_INFO))
        for name, family in self._gone.items():
            _add(total, name, family, least=False)
        return "".join(written(name, family) for name, family in total.items())


def read(exposition: str) -> Families:
    """The families of a text as `prometheus` writes it, in their order."""
    families: Families = {}
    family = Family("", "untyped")
    for line in exposition.splitlines():
        if line.startswith("# HELP "):
            name, _, text = line[7:].partition(" ")
            family = families.setdefault(name, Family(text, "untyped"))
        elif line.startswith("# TYPE "):
            name, _, kind = line[7:].partition(" ")
            family = families.setdefault(name, Family("", kind))
            family.kind = kind
        elif line and not line.startswith("#"):
            sample, _, number = line.rpartition(" ")
            family.samples[sample] = int(number) if number.isdecimal() else float(number)
    return families


def _add(total: Families, name: str, family: Family, *, least: bool) -> None:
    ours = total.setdefault(name, Family(family.text, family.kind)).samples
    for sample, number in family.samples.items():
        known = ours.get(sample)
        if known is None:
            ours[sample] = number
        else:
            ours[sample] = min(known, number) if least else known + number


def _labelled(family: Family, label: str) -> Family:
    samples = {}
    for sample, number in family.samples.items():
        name, brace, labels = sample.partition("{")
        samples[f"{name}{{{label},{labels}" if brace else f"{name}{{{label}}}"] = number
    return Family(family.text, family.kind, samples)


def written(name: str, family: Family) -> str:
    """The family as `prometheus` writes it."""
    lines = [f"# HELP {name} {family.text}", f"# TYPE {name} {family.kind}"]
    lines += [f"{sample} {number!r}" for sample, number in family.samples.items()]
    return "\n".join(lines) + "\n"
