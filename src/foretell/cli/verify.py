"""`foretell verify`."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

from foretell import certificate
from foretell.backends.opened import refuse_idle_permissions
from foretell.cli.data import read_data, to_intake
from foretell.cli.ended import like_ctrl_c
from foretell.cli.flag import Flag
from foretell.cli.flags import ModelFlags, read_mapping, words_of
from foretell.cli.loading import load
from foretell.cli.meant import only, settings_of
from foretell.cli.output import print_json, print_table, print_text, results_alone
from foretell.cli.place import check_place
from foretell.errors import InferenceError, InvalidSetting

if TYPE_CHECKING:
    from foretell.certificate import Certificate, Check, Difference
    from foretell.verify.asked import Asked

Format = Literal["csv", "image", "json", "jsonl", "npy", "parquet", "tsv", "txt"]
Door = Literal["python", "server", "batch", "stream"]


def verify(
    source: Annotated[str, Flag(("MODEL",))],
    /,
    *,
    data: Annotated[str, Flag(dash=True)],
    out: Annotated[str | None, Flag(("--out", "-o"))] = None,
    doors: tuple[Door, ...] = (),
    max_rows: int = 256,
    tolerance: float = 1e-5,
    map: tuple[str, ...] = (),
    format: Format | None = None,
    json: bool = False,
    model: ModelFlags = ModelFlags(),
) -> int:
    """Compare the answers to the same rows through Python, server, batch and stream, at many sizes and orders of calls
    and numbers of threads, and write the certificate beside the model.

    Parameters
    ----------
    source
        A model file, "module:Class", a folder that holds one model, or REPO/NAME, whose newest version is meant.
    data
        Rows for it: a .json, .jsonl, .csv, .tsv, .parquet, .npy, .txt or image file; "-" for standard input; or the
        JSON itself.
    out
        Where the certificate is written. If not set: beside the file of the model; of "module:Class", in this folder.
        Only there do `foretell inspect` and a server find it.
    doors
        Only these; repeat for more. If not set: all.
    max_rows
        Of the data, from its beginning; 256 if not given.
    tolerance
        Numbers may differ by this much, absolute or relative, before the command ends with 1; 1e-5 if not given. With
        --batch-invariant nothing may.
    map
        INPUT=COLUMN,COLUMN,... where column names differ; repeat for more inputs.
    format
        Format of the data, where its name does not tell; of standard input, json if not given.
    json
        Print the certificate as JSON.
    """
    if max_rows < 1:
        raise InvalidSetting("--max-rows is out of range", expected="1 or more", got=max_rows)
    if not tolerance >= 0:
        raise InvalidSetting("--tolerance is out of range", expected="0 or more", got=tolerance)
    with results_alone():
        asked, read = _asked(source, data, format, map, max_rows, model)
    path = certificate.place_of(asked.source) if out is None else Path(out)
    check_place(path, "the certificate", _is_certificate, "--out")
    with like_ctrl_c(), results_alone():
        found = _made(asked, read, doors, quiet=json)
    _end(found, path, json=json)
    kept = found.identical if asked.settings.batch_invariant else found.within(tolerance)
    return 0 if kept else 1


def _made(asked: Asked, read: dict[str, Any], doors: tuple[Door, ...], *, quiet: bool) -> Certificate:
    """With the price of batch-invariant mode, where it is asked for."""
    from msgspec.structs import replace

    from foretell.verify.price import price_of
    from foretell.verify.proof import DOORS, proof

    found = proof(asked, read, doors or DOORS, _quiet if quiet else _say)
    if not asked.settings.batch_invariant:
        return found
    try:
        return replace(found, price=price_of(asked))
    except InferenceError as error:
        print(f"foretell: note: the price of --batch-invariant could not be measured: {error}", file=sys.stderr)
        return found


def _asked(
    source: str, data: str, fmt: str | None, mapping: tuple[str, ...], most: int, flags: ModelFlags
) -> tuple[Asked, dict[str, Any]]:
    """What is compared, and where the rows came from."""
    from foretell.verify.asked import Asked

    planned, given = only(source), flags.given()
    settings = settings_of(planned, given).settings
    rows = read_data(data, fmt)
    served = load(planned, settings)
    try:
        refuse_idle_permissions(given, [served.opened])
        batch = to_intake(rows, served.spec, read_mapping(mapping)).batch
        name = served.name
    finally:
        served.engine.close()
    asked = Asked(source, words_of(flags), planned.source, name, planned.version, settings, batch.slice(0, most))
    return asked, {"source": data if len(data) < 200 else "the command line"}


def _is_certificate(path: Path) -> bool:
    if path.name.endswith(certificate.SUFFIX):  # were it half of one
        return True
    try:
        certificate.read(path)
    except InferenceError:
        return False
    return True


def _end(found: Certificate, path: Path, *, json: bool) -> None:
    """Writes and prints it. Raises `InferenceError` where it cannot be written, after it was printed."""
    from msgspec import to_builtins

    unwritten = None
    try:
        certificate.write(found, path)
    except OSError as error:
        unwritten = InferenceError("the certificate cannot be written", where=str(path), got=error.strerror)
    if json:
        print_json(to_builtins(found))
    else:
        _print(found)
    if unwritten is not None:
        raise unwritten
    if not json:
        print(f"certificate: {path}")


def _say(check: Check) -> None:
    print(f"foretell: {check.door}, {check.way}: {_told(check)}", file=sys.stderr)


def _quiet(check: Check) -> None:
    """Nobody reads along."""


def _told(check: Check) -> str:
    if check.identical:
        return "the same bits"
    differing = [(name, each) for name, each in check.outputs.items() if each.rows]
    parts = [f"{name} {_gap(each)} in {each.rows} of {check.rows} rows" for name, each in differing]
    failed = [f"{check.failed_rows} rows failed on one side only"] if check.failed_rows else []
    return "; ".join([*parts, *failed])


def _gap(difference: Difference) -> str:
    if not difference.rows:
        return "the same bits"
    return "differs" if difference.absolute is None else f"differs by {difference.absolute:.2g}"


def _print(found: Certificate) -> None:
    rows = []
    for door in found.doors:
        checks = [check for check in found.checks if check.door == door]
        worst = max(checks, key=lambda check: (not check.identical, _largest(check)))
        same = sum(check.identical for check in checks)
        rows.append([door, len(checks), same, "" if worst.identical else f"{worst.way}: {_told(worst)}"])
    title = f"{found.model} version {found.version}: {found.verdict()} through {', '.join(found.doors)}"
    print_table(["door", "checks", "the same bits", "the largest difference"], rows, title)
    rows_of = found.data["rows"]
    print(f"compared with {found.reference}; {rows_of} row{'s' if rows_of > 1 else ''}; {found.machine['cpu']}")
    if found.price is not None:
        print(f"the price of --batch-invariant: {_price(found.price)}")
    for door, why in found.left_out.items():
        print_text(f"{door} is left out: {why}")


def _price(price: dict[str, float]) -> str:
    return ", ".join(f"{name} take {times:.2f} times as long" for name, times in price.items())


def _largest(check: Check) -> float:
    sizes = [float("inf") if each.absolute is None else each.absolute for each in check.outputs.values() if each.rows]
    return max(sizes, default=0.0)
