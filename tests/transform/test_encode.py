"""Codes mean what the published formula says, in both encodings."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from oceanrecon.transform.encode import QUANTITIES, EncodingName, Stretch, stretch

ENCODINGS: tuple[EncodingName, ...] = ("uint8", "uint16")


def test_known_codes() -> None:
    temperature = stretch("temperature_kelvin", "uint8")
    values = np.array([270.15, 308.15, 200.0, 400.0, np.nan, np.inf, 270.15 + 100 / 254 * 38])
    assert temperature.encode(values).tolist() == [0, 254, 0, 254, 255, 255, 100]
    decoded = temperature.decode(np.array([0, 254, 255, 100], dtype=np.uint8))
    np.testing.assert_allclose(decoded, [270.15, 308.15, np.nan, 285.11063], rtol=1e-7)
    assert temperature.step == pytest.approx(0.149606, abs=1e-6)


def test_halves_round_to_even() -> None:
    code = Stretch("metres", "uint8", 0.0, 254.0, "m")
    assert code.encode(np.array([0.5, 1.5, 2.5, 253.5])).tolist() == [0, 2, 2, 254]


def test_the_brackish_baltic_survives_in_uint16_only() -> None:
    fresh = np.array([6.7])  # practical salinity of the Baltic proper
    assert stretch("salinity", "uint8").decode(stretch("salinity", "uint8").encode(fresh))[0] == 30.0
    kept = stretch("salinity", "uint16").decode(stretch("salinity", "uint16").encode(fresh))[0]
    assert kept == pytest.approx(6.7, abs=45 / 65534 / 2)


@given(st.sampled_from(QUANTITIES), st.sampled_from(ENCODINGS), st.floats(0, 1))
def test_the_error_is_at_most_half_a_step(quantity: str, encoding: EncodingName, where: float) -> None:
    code = stretch(quantity, encoding)
    value = np.array([code.minimum + where * (code.maximum - code.minimum)])
    # float32 has a rounding of its own
    assert abs(code.decode(code.encode(value))[0] - value[0]) <= code.step / 2 + np.spacing(np.float32(value[0]))


@given(st.sampled_from(QUANTITIES), st.sampled_from(ENCODINGS), st.integers(0, 65535))
def test_every_code_comes_back(quantity: str, encoding: EncodingName, number: int) -> None:
    code = stretch(quantity, encoding)
    codes = np.array([number % (code.nodata + 1)], dtype=code.dtype)
    decoded = code.minimum + codes.astype(np.float64) * code.step
    again = code.encode(np.where(codes == code.nodata, np.nan, decoded))
    assert again == codes
