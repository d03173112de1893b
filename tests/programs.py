"""Programs that tests run and Python does not bring."""

from __future__ import annotations

import os
import shutil

import pytest

#: Debian has daemons in /usr/sbin, which users seldom have on their path.
PATH = f"{os.environ.get('PATH', '')}:/usr/sbin:/sbin"


def program(name: str, package: str) -> str:
    """Path of a program of a Debian package; without it the test is skipped on a laptop and fails in CI."""
    found = shutil.which(name, path=PATH)
    if found is None:
        message = f"no {name}: `apt-get install {package}`"
        if os.environ.get("CI"):
            pytest.fail(message)
        pytest.skip(message)
    return found
