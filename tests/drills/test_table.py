"""Risk: the documentation promises what nobody drills, or a drill checks something else than the documentation says."""

from __future__ import annotations

import pytest

from tests.drills import table, test_full, test_small


def test_the_page_has_the_table() -> None:
    page = table.PAGE.read_text()

    assert page == table.page(page), "run `python -m tests.drills.table`"


@pytest.mark.parametrize("name", table.ROWS)
def test_each_row_has_its_drills(name: str) -> None:
    assert test_full.__name__ in table.TESTS[name]
    assert (test_small.__name__ in table.TESTS[name]) == table.ROWS[name].small


def test_a_drill_that_does_not_assert_its_row_fails() -> None:
    @table.drills("worker")
    def forgetful() -> None:
        table.asserted.append(table.ROWS["driver"])

    with pytest.raises(AssertionError, match="forgetful is no drill of 'worker'"):
        forgetful()
