"""What the two processes say to each other, in msgpack. The parent asks, the child answers, in the same order.

The parent may ask once more before it has the answer, so that the child need not wait for it (see `remote.begun`).

The recipe comes before all this, in JSON: until the child has it, it cannot know where its packages are.
"""

from __future__ import annotations

from typing import Any

import msgspec

from foretell.types import ModelSpec, Trial

Piece = bytearray | tuple[int, int]
"""The bytes of an array: themselves where they are few, else start and length in the shared memory."""


class DenseNote(msgspec.Struct, array_like=True, tag=0):
    """`dtype`: as NumPy writes it, with the order of bytes."""

    dtype: str
    shape: tuple[int, ...]
    data: Piece
    valid: Piece | None


class BytesNote(msgspec.Struct, array_like=True, tag=1):
    offsets: Piece
    data: Piece
    row_shape: tuple[int, ...]
    valid: Piece | None


class RaggedNote(msgspec.Struct, array_like=True, tag=2):
    values: DenseNote | BytesNote
    offsets: Piece


ColumnNote = DenseNote | BytesNote | RaggedNote

RowNote = tuple[str, str, int]
"""Code, message and attempts of a `RowError`."""


class BatchNote(msgspec.Struct, array_like=True):
    """`file`, `size`: the place of the shared memory; `shared`: whether any of the pieces is there."""

    rows: int
    columns: dict[str, ColumnNote]
    errors: dict[int, RowNote]
    file: int
    size: int
    shared: bool


class Call(msgspec.Struct, array_like=True, tag=0):
    """`number` is shown in the memory of requests once nobody waits for the answer. `until_s`: the deadline on the
    clock that all processes of a machine share. `place`: which of the two memories of answers is free for this one."""

    number: int
    place: int
    batch: BatchNote
    params: Any
    until_s: float | None
    sequence: tuple[int | str, bool, bool] | None
    device: str


class Close(msgspec.Struct, array_like=True, tag=1):
    """Close the model and end."""


class Step(msgspec.Struct, array_like=True, tag=2):
    """The next item of a stream; `begins`: it is the first. `number` as that of a `Call`."""

    number: int
    stream: int
    begins: Call | None


class Stop(msgspec.Struct, array_like=True, tag=3):
    """Nobody wants more of a stream."""

    stream: int


class FaultNote(msgspec.Struct, array_like=True):
    """An `InferenceError`. `kind`: its class in `foretell.errors`; `text`, `code`, `retryable`: what it says itself."""

    kind: str
    code: str
    retryable: bool
    text: str
    what: str
    where: str
    expected: str
    got: str
    fix: str
    rows: dict[int, RowNote]


class ModelNote(msgspec.Struct, array_like=True):
    """What the model says of itself, which its calls may change."""

    spec: ModelSpec
    bare_output: bool
    only_streams: bool


class Hello(msgspec.Struct, array_like=True, tag=0):
    """The model is loaded. The rest is what `Opened` knows of it."""

    model: ModelNote
    variant: dict[str, str]
    name: str
    digest: str
    source: str
    framework: str
    size_bytes: int | None
    passes: tuple[str, ...]
    permission: str
    trials: tuple[Trial, ...]


class Answer(msgspec.Struct, array_like=True, tag=1):
    """`model`: where the call has changed it. `batch`: None where a stream is over. `took_s`: seconds of the call,
    without the way there and back."""

    batch: BatchNote | None
    model: ModelNote | None
    took_s: float


class Failed(msgspec.Struct, array_like=True, tag=2):
    """The call, or loading or closing, ended with an error; the process goes on."""

    fault: FaultNote
    model: ModelNote | None


class OutOfMemory(msgspec.Struct, array_like=True, tag=3):
    """The process is about to end."""


class Closed(msgspec.Struct, array_like=True, tag=4):
    """The model is closed, and the process about to end."""


Request = Call | Close | Step | Stop
Reply = Hello | Answer | Failed | OutOfMemory | Closed

request_decoder = msgspec.msgpack.Decoder(Request)
reply_decoder = msgspec.msgpack.Decoder(Reply)
