"""Risk: what a model gets is not the published contract: other numbers, masks, shapes or types, or other from codes."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from oceanrecon.samples.form import FIELDS, Sample, SampleForm, Scenario, collate
from oceanrecon.training.data.decode import Decode, Tensors, to_tensors
from oceanrecon.transform.encode import EncodingName, stretch

DEPTH = (0.5, 100.0)
SURFACE = ("analysed_sst", "sos", "adt")
QUANTITIES = ("temperature_kelvin", "salinity", "sea_height")
#: Of the published data set: mean and deviation of temperature (K) and salinity; sea height is halved.
NORMAL = {
    "temperature_kelvin": (289.74267177946783, 10.933397487585731),
    "salinity": (34.54260282159372, 1.158266487751096),
    "sea_height": (0.0, 2.0),
}


def form(scenario: Scenario = "joint", encoding: EncodingName | None = "uint8") -> SampleForm:
    return SampleForm(scenario, 4, DEPTH, SURFACE, encoding)


def sample(seed: int, encoding: EncodingName | None, *, points: int = 3, values: bool = False) -> Sample:
    """A random sample; ``values``: the same in physical units, NaN where missing."""
    random = np.random.default_rng(seed)
    last = np.iinfo(encoding or "uint8").max

    def codes(shape: tuple[int, ...]) -> NDArray[Any]:
        made = random.integers(0, last, shape).astype(encoding or "uint8")
        made[random.random(shape) < 0.3] = last
        return made

    target = {name: codes((2, 4, 4)) for name in ("temperature", "salinity")}
    surface = codes((3, 4, 4))
    if values:
        decoded = {name: stretch(FIELDS[name].quantity, encoding or "uint8").decode(of)  # type: ignore[index]
                   for name, of in target.items()}  # fmt: skip
        target, surface = (
            decoded,
            np.stack(
                [
                    stretch(quantity, encoding or "uint8").decode(of)
                    for quantity, of in zip(QUANTITIES, surface, strict=True)
                ]
            ),
        )
    observed = random.normal((285.0, 35.0), (5.0, 1.0), (points, 2, 2)).astype(np.float32)
    observed[random.random(observed.shape) < 0.3] = np.nan
    return Sample(
        row=seed, patch_id=10 + seed, date=20120229, coords=np.array([45.0, -30.0], np.float32),
        target={"temperature": target["temperature"], "salinity": target["salinity"]}, surface=surface,
        land=(random.random((4, 4)) < 0.4).astype(np.uint8),
        points=np.sort(random.choice(16, points, replace=False)).astype(np.int32),
        observed={"temperature": observed[..., 0], "salinity": observed[..., 1]},
        age=np.arange(points, dtype=np.float32) - 1.5,
    )  # fmt: skip


def decode(samples: list[Sample], of: SampleForm) -> Tensors:
    decoded: Tensors = Decode(of)(to_tensors(collate(samples, of.fields)))
    return decoded


def test_one_pixel_by_hand() -> None:
    one = sample(0, "uint8")
    one.target["temperature"][:] = 255
    one.target["temperature"][1, 2, 3] = 127  # half of 254: the middle of 270.15..308.15 K
    one.surface[:] = 255
    one.surface[2, 0, 1] = 254  # 2 m
    found = decode([one], form("temperature"))
    assert found["y"][0, 1, 2, 3].item() == pytest.approx((289.15 - 289.74267177946783) / 10.933397487585731, abs=1e-6)
    assert found["y"].count_nonzero() == 1 and found["y_valid_mask"].sum() == 1
    assert found["eo"][0, 2, 0, 1].item() == pytest.approx(1.0) and found["eo"].count_nonzero() == 1
    assert found["eo_valid_mask"].sum() == 1
    assert found["land_mask"].sum() == 1 and found["land_mask"][0, 0, 2, 3] == 1


def test_keys_shapes_and_types_are_those_of_the_contract() -> None:
    shapes = {
        "eo": (3, 4, 4), "eo_valid_mask": (3, 4, 4), "land_mask": (1, 4, 4), "coords": (2,), "date": (), "row": (),
        "patch_id": (), "x_age": (1, 4, 4),
    }  # fmt: skip
    own: dict[str, tuple[int, ...]] = {
        "x": (2, 4, 4), "y": (2, 4, 4), "x_valid_mask": (2, 4, 4), "y_valid_mask": (2, 4, 4),
        "x_valid_mask_1d": (1, 4, 4), "y_supervision_weight": (2, 4, 4),
    }  # fmt: skip
    salinity = {f"{name[0]}_salinity{name[1:]}": shape for name, shape in own.items()}
    wanted_of: dict[Scenario, dict[str, tuple[int, ...]]] = {
        "temperature": own, "salinity": salinity, "joint": own | salinity
    }  # fmt: skip
    for scenario, wanted in wanted_of.items():
        of = form(scenario)
        found = decode([sample(1, "uint8"), sample(2, "uint8", points=0)], of)
        assert {name: tuple(values.shape[1:]) for name, values in found.items()} == shapes | wanted
        for name, values in found.items():
            kind = torch.bool if "valid_mask" in name else torch.float32
            assert values.dtype == (torch.int64 if name in ("date", "row", "patch_id") else kind)
        assert found["date"].tolist() == [20120229] * 2  # the day exists
        assert found["row"].tolist() == [1, 2]


@settings(max_examples=25)
@given(seeds=st.lists(st.integers(0, 1000), min_size=1, max_size=4), encoding=st.sampled_from(["uint8", "uint16"]))
def test_numbers_and_masks_are_those_of_plain_numpy(seeds: list[int], encoding: EncodingName) -> None:
    samples = [sample(seed, encoding, points=seed % 5) for seed in seeds]
    found = decode(samples, form("joint", encoding))
    for n, one in enumerate(samples):
        fields = (("", "temperature", "temperature_kelvin"), ("_salinity", "salinity", "salinity"))
        age = np.zeros(16)
        age[one.points] = one.age
        np.testing.assert_array_equal(found["x_age"][n, 0].numpy().ravel(), age)
        wet = np.zeros((4, 4), bool)
        for suffix, name, quantity in fields:
            mean, std = NORMAL[quantity]
            codes = one.target[name].astype(np.float64)  # type: ignore[index]
            code = stretch(quantity, encoding)
            valid = codes != code.nodata
            wanted = np.where(valid, (code.minimum + codes * code.step - mean) / std, 0.0)
            np.testing.assert_allclose(found[f"y{suffix}"][n], wanted, atol=3e-6)
            np.testing.assert_array_equal(found[f"y{suffix}_valid_mask"][n], valid)
            np.testing.assert_array_equal(found[f"y{suffix}_supervision_weight"][n], valid.astype(np.float32))
            x: NDArray[Any] = np.full((2, 16), np.nan)
            x[:, one.points] = one.observed[name].T  # type: ignore[index]
            x = x.reshape(2, 4, 4)
            np.testing.assert_allclose(found[f"x{suffix}"][n], np.nan_to_num((x - mean) / std), atol=3e-6)
            np.testing.assert_array_equal(found[f"x{suffix}_valid_mask"][n], np.isfinite(x))
            np.testing.assert_array_equal(found[f"x{suffix}_valid_mask_1d"][n, 0], np.isfinite(x).any(axis=0))
            wet |= valid.any(axis=0)
        np.testing.assert_array_equal(found["land_mask"][n, 0], wet.astype(np.float32))


@pytest.mark.parametrize("encoding", ["uint8", "uint16"])
def test_values_in_physical_units_decode_to_what_their_codes_do(encoding: EncodingName) -> None:
    coded = decode([sample(n, encoding) for n in range(3)], form("joint", encoding))
    valued = decode([sample(n, encoding, values=True) for n in range(3)], form("joint", None))
    mixed = [sample(n, encoding) for n in range(3)]
    for n, one in enumerate(mixed):  # a degraded surface beside a target in codes
        mixed[n] = Sample(**(vars(one) | {"surface": sample(n, encoding, values=True).surface}))
    for other in (valued, decode(mixed, form("joint", encoding))):
        for name, values in coded.items():
            if values.dtype == torch.float32:
                np.testing.assert_allclose(values, other[name], atol=1e-5)
            else:
                assert torch.equal(values, other[name])


def test_the_ocean_of_a_patch_without_a_target_is_where_a_surface_field_is_and_else_that_of_the_land_mask() -> None:
    bare, blank = sample(5, "uint8"), sample(6, "uint8")
    for one in (bare, blank):
        for name in ("temperature", "salinity"):
            one.target[name][:] = 255
    blank.surface[:] = 255
    found = decode([bare, blank, sample(7, "uint8")], form())["land_mask"][:, 0].numpy()
    np.testing.assert_array_equal(found[0], (bare.surface != 255).any(axis=0))
    np.testing.assert_array_equal(found[1], blank.land == 0)
    assert 0 < found[1].sum() < 16
