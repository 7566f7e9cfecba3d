"""Command lines that are read without the parser mean what the parser says; what is not plain is left to it."""

from __future__ import annotations

import inspect
import subprocess
import sys
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from foretell.cli.app import COMMANDS, command
from foretell.cli.parser import app_of
from foretell.cli.plain import Call, read

_WORDS = {
    "score": ["--key", "--key=id", "--map", "--where", "--top", "--stamp", "--format", "parquet", "--output-format=csv",
              "--fresh", "--json", "--out", "-o", "-o=out", "--query", "--resize", "fit", "--scale", "--batch-size",
              "--memory", "4GiB", "--memory=1.5 gb", "--price-per-hour", "--retries=2", "--device", "--trust",
              "--warm-up", "--no-warm-up", "--allow-pickle", "--threads", "--optimizations"],
    "serve": ["--http-port", "--port", "--port=80", "--host", "--slo-ms", "--executor", "thread", "--cors-origins",
              "--watch", "--workers", "--max-body-bytes", "10MB", "--access-log=json", "--batch", "--tls-cert"],
    "predict": ["--top", "--map", "x=a,b", "--format", "csv", "--json", "--batch-size", "--num-workers", "--timeout-s",
                "[[1, 2]]"],
    "retry": ["--json", "--table", "--work", "--processes", "--memory", "64MiB"],
    "stream": ["--source", "in.jsonl", "--sink=out.jsonl", "--sink", "--state", "--once", "--fresh", "--json", "--key",
               "id", "--map", "x=a,b", "--top=2", "--timeout-s", "--executor", "process", "--max-line-bytes", "4MiB",
               "--commit-interval-s=0.5", "--dead-letters"],
    "inspect": ["--json", "--sha256", "--pad"],
    "config": ["--json", "--threads", "--batch-size", "--retries"],
    "demo": ["--out", "--quick", "--json"],
}  # fmt: skip
_VALUES = ["a", "b c", "1", "007", "-3", "1.5", "1e3", "x=1", "", "-", "--", "nan", "--nope", "é", "true", "1_0", " 2 "]


@st.composite
def _lines(draw: st.DrawFn) -> list[str]:
    name = draw(st.sampled_from(list(_WORDS)))
    return [name, *draw(st.lists(st.sampled_from([*_WORDS[name], *_VALUES[:4]]) | st.sampled_from(_VALUES)))]


@given(_lines())
def test_both_read_a_line_alike(line: list[str]) -> None:
    plain = read(command(line[0]), line[1:])
    if plain is not None:
        assert repr(_arguments(plain)) == repr(_parsed(line))  # NaN equals nothing


@pytest.mark.parametrize(
    "line",
    [
        "score m.onnx rows.parquet -o out --key id --key day --where x>3 --memory=4GiB --fresh --top 3 --resize fit",
        "serve a.onnx b=b.onnx --port 80 --slo-ms 2.5 --executor thread --watch",
        "retry out --json --processes 2",
        "stream m.onnx --source in.jsonl --sink out.jsonl --once --key id --state state --max-line-bytes 4MiB",
        "inspect m.onnx",
        "demo --quick",
    ],
)
def test_what_people_write_is_plain(line: str) -> None:
    words = line.split()
    plain = read(command(words[0]), words[1:])
    assert plain is not None
    assert _arguments(plain) == _parsed(words)


@pytest.mark.parametrize(
    "line",
    ["score", "score a b", "score a b -o", "score a b -o c --help", "score a b -o c -o d", "score a b -o c --top 1.5",
     "score a b -o c --nope", "score a b -o c --resize big", "score a b c -o d", "score a b -o c --json=yes",
     "serve -- a", "token new --name a --scope infer"],
)  # fmt: skip
def test_what_is_wrong_or_unusual_is_left_to_the_parser(line: str) -> None:
    words = line.split()
    assert read(command(words[0]), words[1:]) is None


def test_the_parser_is_imported_only_where_it_is_needed() -> None:
    code = "import sys; from foretell.cli import main; main(sys.argv[1:]); print('cyclopts' in sys.modules)"
    for words, needed in ((["score", "no.onnx", "no.csv", "-o", "out"], False), (["score", "--help"], True)):
        done = subprocess.run([sys.executable, "-c", code, *words], capture_output=True, text=True, check=True)
        assert done.stdout.splitlines()[-1] == str(needed)


def _arguments(call: Call) -> dict[str, Any]:
    return dict(inspect.signature(call.function).bind(*call.positional, **call.named).arguments)


def _parsed(line: list[str]) -> dict[str, Any]:
    app = app_of(COMMANDS, line[0], command(line[0]))
    function, bound, _ = app.parse_args(line, exit_on_error=False, print_error=False)
    assert function is command(line[0])
    return dict(bound.arguments)
