"""The claims of batch scoring, each beside its peers: python -m benchmarks scoring[.CASE]."""

from __future__ import annotations

from benchmarks.scoring import images, rows, starts, text

CASES = {
    "trees": rows.trees,
    "network": rows.network,
    "large": rows.large,
    "images": images.main,
    "text": text.main,
    "first": starts.first,
    "resume": starts.resume,
}
