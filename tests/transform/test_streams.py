"""Random streams: reproducible everywhere, and apart from each other."""

import subprocess
import sys

import numpy as np
import pytest

from oceanrecon.transform.streams import stream


def test_a_stream_is_what_it_was_when_it_was_written() -> None:
    """Numbers that users' seeds stand for; numpy promises those of a bit generator for ever."""
    drawn = stream(7, 2, 5, "simulation").bit_generator.random_raw(3)
    code = (
        "from oceanrecon.transform.streams import stream\n"
        "print(*stream(7, 2, 5, 'simulation').bit_generator.random_raw(3))"
    )
    other = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert (
        drawn.tolist()
        == [int(word) for word in other.stdout.split()]
        == [16556592944907738695, 8752424166641315617, 5103463598511145620]
    )


@pytest.mark.parametrize("other", [(8, 2, 5, "a"), (7, 3, 5, "a"), (7, 2, 6, "a"), (7, 2, 5, "b"), (7, 5, 2, "a")])
def test_any_part_of_the_key_makes_another_stream(other: tuple[int, int, int, str]) -> None:
    one, two = stream(7, 2, 5, "a"), stream(*other)
    first, second = one.random(50_000), two.random(50_000)
    assert not np.isin(first, second).any()
    assert abs(np.corrcoef(first, second)[0, 1]) < 0.02


def test_rows_next_to_each_other_are_not_alike() -> None:
    """The first number of 20,000 rows is as even as chance: chi square of 100 bins is 99 +- 14."""
    first = np.array([stream(1, 0, row, "turn").random() for row in range(20_000)])
    count = np.histogram(first, 100, (0, 1))[0]
    assert 50 < ((count - 200) ** 2 / 200).sum() < 160
    assert abs(np.corrcoef(first[1:], first[:-1])[0, 1]) < 0.03


@pytest.mark.parametrize(("epoch", "row"), [(-1, 0), (0, -1)])
def test_negative_numbers_are_refused(epoch: int, row: int) -> None:
    with pytest.raises(OverflowError):
        stream(1, epoch, row, "turn")
