"""How the kernels are compiled, in one place."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar, cast

import numba
from numpy.typing import NDArray

Function = TypeVar("Function", bound=Callable[..., Any])
#: An array of any type in a kernel's signature: numba compiles one version per type that it meets.
Array = NDArray[Any]


def compiled(function: Function) -> Function:
    """Compile on first call, keep the result on disk, release the GIL, and divide by zero as numpy does."""
    return cast(Function, numba.njit(cache=True, nogil=True, error_model="numpy")(function))
