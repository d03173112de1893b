"""Risk: an error of torch's allocator reaches the user, or one that has nothing to do with memory is taken for it."""

from __future__ import annotations

import pytest
import torch

from oceanrecon.errors import OceanreconError
from oceanrecon.training.device import enough_memory


def test_more_memory_than_there_is_says_what_to_do() -> None:
    with pytest.raises(OceanreconError, match=r"too little memory for this map: lower batch"):
        with enough_memory("this map", "lower batch"):
            torch.empty(2**50)  # a million GB

    @enough_memory("this map", "lower batch")
    def on_a_gpu() -> None:
        raise torch.OutOfMemoryError("none left")

    with pytest.raises(OceanreconError, match="too little memory"):
        on_a_gpu()


@pytest.mark.parametrize(
    "says",
    [
        "CUDA error: CUBLAS_STATUS_ALLOC_FAILED when calling `cublasCreate(handle)`",
        "cuDNN error: CUDNN_STATUS_ALLOC_FAILED",
        "CUDA error: out of memory",
    ],
)
def test_libraries_of_a_gpu_that_get_no_memory_are_understood(says: str) -> None:
    with pytest.raises(OceanreconError, match="too little memory for this map: lower batch"):
        with enough_memory("this map", "lower batch"):
            raise RuntimeError(says)


def test_other_errors_stay_what_they_are() -> None:
    with pytest.raises(RuntimeError, match="must match"), enough_memory("this map", "lower batch"):
        torch.ones(2) + torch.ones(3)
