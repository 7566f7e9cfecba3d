"""Conditions as people write them."""

from __future__ import annotations

import operator
import re
from collections.abc import Callable, Mapping
from typing import Any

from foretell.batch.job import Condition
from foretell.errors import InvalidSetting

_PATTERN = re.compile(r"\s*(?P<column>.*?)\s*(?P<op>!=|<=|>=|=|<|>|\sin\s)\s*(?P<value>.*?)\s*", re.DOTALL)
OPERATORS: Mapping[str, Callable[[Any, Any], Any]] = {
    "=": operator.eq, "!=": operator.ne, "<": operator.lt, "<=": operator.le, ">": operator.gt, ">=": operator.ge,
}  # fmt: skip


def parse(text: str) -> Condition:
    """COLUMN OP VALUE, with OP one of =, !=, <, <=, >, >=, or "in" before values with commas between. Raises
    `InvalidSetting`."""
    found = _PATTERN.fullmatch(text)
    if found is None or not found["column"] or not found["value"]:
        raise InvalidSetting("--where does not hold a condition", expected='COLUMN OP VALUE, such as "age >= 18"',
                             got=repr(text), fix=f"OP is one of {', '.join(OPERATORS)}, in")  # fmt: skip
    op, value = found["op"].strip(), found["value"]
    if op == "in":
        return Condition(found["column"], op, tuple(each.strip() for each in value.split(",")))
    return Condition(found["column"], op, value)
