"""Runs every benchmark, or those named: python -m benchmarks [startup] [online] [batch]."""

from __future__ import annotations

import sys

from benchmarks import batch, online, startup

EVERY = {"startup": startup.main, "online": online.main, "batch": batch.main}


def main(names: list[str]) -> int:
    unknown = [name for name in names if name not in EVERY]
    if unknown:
        print(f"unknown benchmark {unknown[0]!r}; known: {', '.join(EVERY)}", file=sys.stderr)
        return 2
    for name in names or EVERY:
        EVERY[name]()
        print()
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
