"""Risk: two tiles, ranks or devices that should see the same noise see another one, or noise that is not normal."""

from __future__ import annotations

import pytest
import torch

from oceanrecon.training.diffusion.noise import cell_noise, key_of, normals, philox, uniforms


@pytest.mark.parametrize(
    ("counter", "key", "expected"),
    [
        ((0, 0, 0, 0), (0, 0), (0x6627E8D5, 0xE169C58D, 0xBC57AC4C, 0x9B00DBD8)),
        ((0xFFFFFFFF,) * 4, (0xFFFFFFFF,) * 2, (0x408F276D, 0x41C83B0E, 0xA20BC7C6, 0x6D5451FD)),
        (
            (0x243F6A88, 0x85A308D3, 0x13198A2E, 0x03707344),
            (0xA4093822, 0x299F31D0),
            (0xD16CFE09, 0x94FDCCEB, 0x5001E420, 0x24126EA1),
        ),
    ],
)
def test_the_generator_gives_the_numbers_that_its_authors_published(
    counter: tuple[int, ...], key: tuple[int, ...], expected: tuple[int, ...]
) -> None:
    assert tuple(int(word) for word in philox(counter, key)) == expected


def test_cells_have_the_same_noise_in_every_box() -> None:
    rows, columns = torch.arange(10, 30), torch.arange(350, 374) % 360
    whole = cell_noise(rows, columns, 6, 3, key_of(7, "2018-06-22", 0))
    part = cell_noise(rows[5:9], columns[8:12], 6, 3, key_of(7, "2018-06-22", 0))
    assert torch.equal(part, whole[:, 5:9, 8:12])
    for other in (
        cell_noise(rows, columns, 6, 4, key_of(7, "2018-06-22", 0)),
        cell_noise(rows, columns, 6, 3, key_of(7, "2018-06-22", 1)),
    ):
        assert abs(torch.corrcoef(torch.stack([whole.flatten(), other.flatten()]))[0, 1]) < 0.06


def test_numbers_are_normal_and_independent() -> None:
    found = normals((torch.arange(50_000), 0, 0, 0), key_of("test"))
    assert found.mean().abs() < 0.01
    assert found.std() == pytest.approx(1, abs=0.01)
    # share beyond two deviations: 4.55 %; fourth moment: 3
    assert (found.abs() > 2).float().mean() == pytest.approx(0.0455, abs=0.002)
    assert (found**4).mean() == pytest.approx(3, abs=0.1)
    assert (torch.corrcoef(found.T) - torch.eye(4)).abs().max() < 0.02
    even = uniforms((torch.arange(50_000), 0, 0, 0), key_of("test"))
    assert 0 < even.min() < even.max() < 1
    assert even.mean() == pytest.approx(0.5, abs=0.005)
