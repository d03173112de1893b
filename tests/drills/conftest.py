"""The seed of moments that are chosen by chance: in the environment, so that all processes of a run have the same."""

from __future__ import annotations

import os
import random

SEED = os.environ.setdefault("DRILL_SEED", str(random.randrange(10**6)))


def pytest_report_header() -> str:
    return f"drills: DRILL_SEED={SEED} repeats the moments that are chosen by chance"
