"""Texts as numbers, each row as long as it is: filling up is the engine's, which puts rows of one length together."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from foretell.columns import Array, Batch, Bytes, Column, Dense, Ragged
from foretell.errors import InvalidInput, RowError

MASK = "attention_mask"


def plain_texts() -> Batch:
    """Two rows of different length that every model of texts answers."""
    return Batch({"text": Bytes.of(["a", "a good film, and what a strange and wonderful thing to say of one"])}, 2)


def columns_of(tokens: Mapping[str, Array], rows: int) -> Batch:
    """Rows without what a tokenizer has filled them up with; a text without a token is an error of its row.

    `tokens`: arrays [rows, longest], the mask among them.
    """
    mask = np.asarray(tokens[MASK]).astype(bool)
    offsets = np.zeros(rows + 1, np.int64)
    np.cumsum(mask.sum(axis=1), out=offsets[1:])
    columns: dict[str, Column] = {
        name: Ragged(Dense(np.ascontiguousarray(np.asarray(array)[mask])), offsets) for name, array in tokens.items()
    }
    return Batch(columns, rows, without_token(mask.sum(axis=1)))


def without_token(lengths: Array) -> dict[int, RowError]:
    """The rows whose length is 0."""
    none = RowError(InvalidInput.code, "the text has no token that this model knows")
    return dict.fromkeys(np.flatnonzero(lengths == 0).tolist(), none)
