"""The claims of batch scoring, each beside its peers: python -m benchmarks scoring[.CASE]."""

from __future__ import annotations

from benchmarks.scoring import rows

CASES = {
    "trees": rows.trees,
    "network": rows.network,
}
