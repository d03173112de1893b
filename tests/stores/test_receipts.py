from __future__ import annotations

import dataclasses
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from oceanrecon.stores.files import Root
from oceanrecon.stores.receipts import (
    BandStatistics,
    Failure,
    Receipt,
    SourceUsed,
    WrittenFile,
    failure_path,
    read_failures,
    read_receipts,
    receipt_path,
    total_statistics,
    write_failure,
    write_receipt,
)

EMPTY = BandStatistics(0, 12, 0, 0, None, None, None)


def make_receipt(date: str = "20120307", variable: str = "adt", product: str = "sealevel") -> Receipt:
    return Receipt(
        product=product,
        variable=variable,
        date=date,
        key="ab" * 32,
        files=(
            WrittenFile(f"rasters/{product}/{variable}/{variable}_{date}.tif", 10, "0" * 64, "geotiff"),
            WrittenFile(f"dense.zarr/{variable}/c/0/0/0", 20, "1" * 64, "zarr"),
            WrittenFile(f"dense.zarr/{variable}_days/c/0/0/0", 5, "2" * 64, "days"),
        ),
        sources=(SourceUsed(f"sl/é_{date}.nc", date, 0, 123, 1_700_000_000_123_456_789, None),),
        statistics=(BandStatistics(3, 9, 1, 0, -0.5, 1.25, 0.1), EMPTY),
        days_used=(date,),
        target_distance_days=0,
        warnings=("the units are missing",),
        timing={"read": 0.25},
        versions={"numpy": "2.4"},
        regridding="bilinear",
    )


def test_a_receipt_comes_back_exactly_and_undoes_the_failure(tmp_path: Path) -> None:
    root = Root(str(tmp_path))
    failure = Failure("sealevel", "adt", "20120307", "SourceError", "cannot read sl/x.nc")
    write_failure(root, failure)
    write_failure(root, dataclasses.replace(failure, date="20120314"))
    assert [each.date for each in read_failures(root)] == ["20120307", "20120314"]
    write_receipt(root, make_receipt())
    assert read_receipts(root).receipts == (make_receipt(),)
    assert root.exists("receipts/adt/adt_20120307.json") and not root.exists(failure_path("adt", "20120307"))
    assert [each.date for each in read_failures(root)] == ["20120314"]
    file = make_receipt().file("days")
    assert file is not None and file.bytes == 5


@pytest.mark.parametrize("damage", ["", '{"schema_version": 1', "{}", "[]", '{"schema_version": 2}', "null"])
def test_a_torn_receipt_counts_as_absent_and_is_reported(tmp_path: Path, damage: str) -> None:
    root = Root(str(tmp_path))
    later = make_receipt("20120314")
    write_receipt(root, later)
    write_receipt(root, make_receipt("20120307"))
    path = receipt_path("adt", "20120307")
    (tmp_path / path).write_text(damage)
    write_failure(root, Failure("a", "b", "20120101", "E", "m"))
    (tmp_path / failure_path("b", "20120101")).write_text(damage)
    book = read_receipts(root)
    assert (book.receipts, book.unreadable) == ((later,), (path,))
    assert read_failures(root) == []


def test_receipts_are_in_one_order_whatever_the_order_of_writing(tmp_path: Path) -> None:
    receipts = [make_receipt(date, name, product) for product, name in (("glorys", "so"), ("sealevel", "adt"))
                for date in ("20120307", "20120314")]  # fmt: skip
    for receipt in reversed(receipts):
        write_receipt(Root(str(tmp_path)), receipt)
    assert read_receipts(Root(str(tmp_path))).receipts == tuple(receipts)


def test_statistics_of_all_levels_are_weighted_by_their_pixels() -> None:
    total = total_statistics(
        [BandStatistics(3, 9, 1, 0, 2.0, 4.0, 3.0), BandStatistics(1, 11, 0, 2, 7.0, 7.0, 7.0), EMPTY]
    )
    assert total == BandStatistics(4, 32, 1, 2, 2.0, 7.0, 4.0)
    assert total_statistics([EMPTY, EMPTY]) == BandStatistics(0, 24, 0, 0, None, None, None)


@given(st.text(), st.floats(allow_nan=False, allow_infinity=False))
def test_any_message_and_number_survive_json(message: str, value: float) -> None:
    root = Root("memory://receipts-any")
    receipt = dataclasses.replace(
        make_receipt(), warnings=(message,), statistics=(BandStatistics(1, 0, 0, 0, value, value, value),)
    )
    write_receipt(root, receipt)
    assert read_receipts(root).receipts == (receipt,)
