"""Risk: a list of variables that is empty by mistake is answered with nothing, or with a traceback."""

from __future__ import annotations

import pytest
import typer

from oceanrecon.cli.taco.options import names


def test_a_list_without_a_variable_is_refused() -> None:
    assert names("l4_ssh, l4_sst,") == ["l4_ssh", "l4_sst"]
    for text in (",", " ", ""):
        with pytest.raises(typer.BadParameter, match="has no variable"):
            names(text)
