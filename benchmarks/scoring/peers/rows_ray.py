"""The same job in Ray Data. Run by the Python of Ray's environment: rows_ray.py MODEL DATA OUT TEMPORARY.

Ray listens on loopback only. The settings are the best of those that were tried: 20, 40 and 80 blocks or as Ray cuts
them; batches of 10,000 and 65,536; 2 to 4 CPUs; and tasks that keep their session, which Ray joins with reading and
writing, in place of an actor pool, which had to send each row through the object store (1.1 to 1.8 times as long).
"""

from __future__ import annotations

import sys

import ray
from ray_tasks import FEATURES, score  # type: ignore[import-not-found]

_CPUS, _BLOCKS, _BATCH_ROWS = 2, 40, 10_000


def main(model: str, source: str, out: str, temporary: str) -> None:
    ray.init(
        address="local", num_cpus=_CPUS, include_dashboard=False, log_to_driver=False,
        _node_ip_address="127.0.0.1", _temp_dir=temporary,
    )  # fmt: skip
    ray.data.DataContext.get_current().enable_progress_bars = False
    rows = ray.data.read_parquet(source, columns=["id", *FEATURES], override_num_blocks=_BLOCKS)
    scored = rows.map_batches(
        score, fn_kwargs={"model": model}, batch_size=_BATCH_ROWS, batch_format="pyarrow", zero_copy_batch=True
    )
    scored.write_parquet(out)
    ray.shutdown()


if __name__ == "__main__":
    main(*sys.argv[1:])
