"""How a job is done: which columns become which inputs, what stands in the output, how the data is cut."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from contextlib import suppress
from dataclasses import replace

from foretell.batch.folders import folder_fields, folder_kinds, without_match
from foretell.batch.inputs import ROWS_ARE_FILES
from foretell.batch.job import FILE, ROW, Data, Plan, Wish
from foretell.batch.shards import Shard, ShardSize, numbered
from foretell.batch.sources.source import Field, Source, Unreadable
from foretell.batch.sql.naming import is_query
from foretell.batch.where import absent, checked
from foretell.engine.padded_calls import padded_inputs
from foretell.errors import InvalidInput, InvalidSetting
from foretell.forms import mapping
from foretell.forms.intake import UNNAMED
from foretell.forms.top import shown
from foretell.model import Model
from foretell.types import DataType, Identity, ModelSpec

_GROUP_ROWS = 131_072
_GROUP_BYTES = 8 * 2**20
_TEXT_ROWS = 2048
_MOST_BROKEN = 100
PADDED_ROWS = 1024
"""Enough for calls of nearly one length each; a shard is no more, so that the last ones end together."""
STAMP = ("model", "version", "digest")
"""Columns of an output whose rows carry the model's identity."""


def plan(source: Source, data: Data, wish: Wish, model: Model, identity: Identity) -> Plan:
    """Files that cannot be read are put aside, as long as there are others.

    Raises `InvalidInput` where data and model do not go together, before any row is read, and where no file, or many of
    them, cannot be read.
    """
    while True:
        try:
            made = _plan(source, data, wish, model, identity)
            break
        except Unreadable as error:
            if not source.sets_aside or len(source.whole) == 1 or len(source.broken) == _MOST_BROKEN:
                raise
            source.broken[error.file] = str(error)
            source.close()
    aside = [Shard(0, file, 0, 0, 0, 0) for file in sorted(source.broken)]
    return replace(made, shards=tuple(numbered([*made.shards, *aside])), broken=dict(source.broken))


def _plan(source: Source, data: Data, wish: Wish, model: Model, identity: Identity) -> Plan:
    spec = model.spec
    _check_rows_alone(model, identity.name)
    in_files = source.fields()
    folders = _folders(wish, spec, data, [field.name for field in in_files])
    fields = (*in_files, *folder_fields(folders))
    names = [field.name for field in fields]
    keys, row_numbers = _keys(wish, source, data, names)
    # What stands in the names of folders is an input only by its name, and not as one of so many numbers.
    by_name = _inputs(wish, spec)
    columns = _columns([field for field in fields if field in in_files or field.name in by_name], keys, wish, spec,
                       source)  # fmt: skip
    _check_kinds(fields, columns, spec, texts=() if not source.cells_are_text else {each.name for each in in_files})
    source.suit(spec, columns)
    where = checked(wish.where, fields, data.files[0].path)
    plan = Plan(identity, keys, columns, (), 1, row_numbers, where, folders=folders)
    twice = next((name for name in plan.wanted if names.count(name) > 1), None)
    if twice is not None:
        raise InvalidInput(f"there are two columns {twice!r}", where=data.files[0].path, fix="rename one of them")
    source.check(plan.read)
    source.narrow([each for each in where if each.column not in folders])
    source.unasked = without_match(data.files, folders, where)
    outputs = shown(spec, wish.top)
    _check_output(keys, wish, outputs)
    shards = source.shards(_size(spec, columns))
    return replace(plan, shards=tuple(shards), group_rows=_group_rows(outputs))


def _check_rows_alone(model: Model, name: str) -> None:
    spec = model.spec
    if model.only_streams:
        raise InvalidInput("this model only streams, and a job needs one answer for each row", where=f"model {name!r}")
    if spec.row_wise and not spec.stateful:
        return
    what = "the answers of this model depend on the rows before or beside them, and a job cuts its data"
    raise InvalidInput(what, where=f"model {name!r}", fix="use foretell predict, which does not cut")


def _keys(wish: Wish, source: Source, data: Data, names: Sequence[str]) -> tuple[tuple[str, ...], bool]:
    if wish.keys:
        for key in wish.keys:
            if key not in names:
                raise absent(key, "the key", names, data.files[0].path)
        return wish.keys, False
    if source.default_keys:
        return source.default_keys, False
    return ((FILE, ROW) if len(data.files) > 1 else (ROW,)), True


def _folders(wish: Wish, spec: ModelSpec, data: Data, in_files: Sequence[str]) -> dict[str, str]:
    """The columns that are asked for by name, and that only the names of folders tell: files come first."""
    asked = {*wish.keys, *(each.column for each in wish.where), *_inputs(wish, spec)} - set(in_files)
    if not asked or data.kind in ROWS_ARE_FILES or is_query(data.files[0]):
        return {}
    return {name: kind for name, kind in folder_kinds(data.files).items() if name in asked}


def _inputs(wish: Wish, spec: ModelSpec) -> set[str]:
    """The names of columns that would be inputs."""
    mapped = [name for names in (wish.mapping or {}).values() for name in names]
    features = [name for names in (spec.features or {}).values() for name in names]
    return {*mapped, *features, *(tensor.name for tensor in spec.inputs or ())}


def _columns(
    fields: Sequence[Field], keys: Sequence[str], wish: Wish, spec: ModelSpec, source: Source
) -> Mapping[str, tuple[str, ...]]:
    if source.content and not wish.mapping and (spec.inputs is None or len(spec.inputs) == 1):
        return {spec.inputs[0].name if spec.inputs else UNNAMED: (source.content,)}
    sorts = {field.name: field.sort for field in fields}
    names, extras = list(sorts), source.whole_columns
    try:
        return mapping.plan(names, sorts.__getitem__, spec, wish.mapping, keys, extras=extras)
    except InvalidInput:
        with suppress(InvalidInput):  # a key may be an input, too, where it is one by its name
            return mapping.plan(names, lambda name: "other", spec, wish.mapping, extras=extras)
        raise


def _check_kinds(
    fields: Sequence[Field], columns: Mapping[str, Sequence[str]], spec: ModelSpec, *, texts: Collection[str]
) -> None:
    """Raises `InvalidInput` where a column cannot hold what its input takes. `texts`: columns whose cells are text."""
    known = {field.name: field for field in fields}
    for name, sources in columns.items():
        tensor = spec.input(name)
        if tensor is None or tensor.datatype is None:
            continue
        wrong = "number" if tensor.datatype is DataType.BYTES else "text"
        for source in sources:
            field = known[source]
            if (source in texts or tensor.category) and tensor.datatype is DataType.BYTES:
                continue
            no_word = source in texts and tensor.datatype is DataType.BOOL and field.sort not in ("flag", "unknown")
            if no_word or field.kind == "time" or (field.kind == wrong and not field.flags):
                raise InvalidInput(f"column {source!r} does not fit input {name!r}", expected=tensor.describe(),
                                   got=field.described or field.kind)  # fmt: skip


def _check_output(keys: Sequence[str], wish: Wish, spec: ModelSpec) -> None:
    outputs = [tensor.name for tensor in spec.outputs or ()]
    columns = [*keys, *outputs, *(STAMP if wish.stamp else ())]
    twice = next((name for name in columns if columns.count(name) > 1), None)
    if twice is not None:
        fix = "rename the column of the data, or choose another key"
        raise InvalidSetting(f"the output would have two columns {twice!r}", fix=fix)


def _size(spec: ModelSpec, columns: Mapping[str, Sequence[str]]) -> ShardSize:
    """Rows of text or bytes, and those that are filled up, cost far more than their size tells."""
    size = ShardSize()
    if padded_inputs(spec):
        return replace(size, rows=PADDED_ROWS)
    texts = [name for name in columns if (tensor := spec.input(name)) is not None and tensor.datatype is DataType.BYTES]
    return replace(size, rows=_TEXT_ROWS) if texts else size


def _group_rows(spec: ModelSpec) -> int:
    """Rows of a row group of the output: about 8 MiB, as far as the outputs are known."""
    width = sum(tensor.width or 64 for tensor in spec.outputs or ())
    return max(1024, min(_GROUP_ROWS, _GROUP_BYTES // max(1, 8 * width))) if spec.outputs else 16_384
