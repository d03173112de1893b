"""Workers that only wait: ``python -m benchmarks.simulated ADDRESS COUNT``, of one thread each, in one process."""

from __future__ import annotations

import asyncio
import sys
import time
from typing import Any

import dask
from distributed import Worker

from benchmarks.planning import made_up_receipt
from oceanrecon.pipeline.recipe import Recipe
from oceanrecon.service.clusters.base import DASK
from oceanrecon.sources.block import Block
from oceanrecon.stores.receipts import Receipt


def make_nothing(seconds: float, block: Block, recipe: Recipe, *_: Any) -> Receipt:
    """Take as long as the block would, and return what it would return."""
    time.sleep(seconds)
    return made_up_receipt(block, recipe)


async def _work(address: str, count: int) -> None:
    workers = [Worker(address, nthreads=1, memory_limit=2**32, dashboard=False) for _ in range(count)]
    await asyncio.gather(*workers)
    await asyncio.gather(*(worker.finished() for worker in workers))


if __name__ == "__main__":
    with dask.config.set(DASK):
        asyncio.run(_work(sys.argv[1], int(sys.argv[2])))
