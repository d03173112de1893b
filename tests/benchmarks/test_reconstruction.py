"""Risks: the benchmark of models no longer runs, or counts something else than a member's cost."""

import json
from pathlib import Path

import torch

from benchmarks import reconstruction


def test_the_cost_of_a_member_is_that_of_its_parts(tmp_path: Path) -> None:
    threads = torch.get_num_threads()
    try:
        reconstruction.run(tmp_path, quick=True)
    finally:
        torch.set_num_threads(threads)
    table = json.loads((tmp_path / "16-reconstruction.json").read_text())
    assert len({tuple(row) for row in table["rows"]}) == 1  # one set of columns
    flops, seconds = table["raw"]["flops"], table["raw"]["cpu_seconds"]
    parts = flops["first guess"] + flops["regression"] + 12 * flops["step"]
    assert parts < flops["member"] < 1.2 * parts  # the noise is filtered, too
    assert flops["rival"] == 1000 * flops["rival step"]
    # a member cannot take less than its steps do; chance has a say in so little time
    assert seconds["member"] > 6 * seconds["step"] > 0


def test_a_convolution_is_counted_by_hand() -> None:
    """3 to 8 channels, windows of 3 x 3, 16 x 16 pixels: a multiplication and an addition for each weight and pixel."""
    convolution = torch.nn.Conv2d(3, 8, 3, padding=1)
    counted = reconstruction.count_flops(lambda: convolution(torch.zeros(1, 3, 16, 16)))
    assert counted == 2 * 3 * 8 * 3 * 3 * 16 * 16
