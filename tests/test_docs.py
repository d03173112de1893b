"""Risks of the generated pages: a setting that nobody explained, a key that is not what the config takes."""

import pytest
from pydantic import BaseModel, Field
from sphinx.errors import ExtensionError

from docs._ext.generated import settings_text


class _Grid(BaseModel):
    resolution: float = Field(default=0.1, gt=0, description="Cell size, degrees.")


class _Config(BaseModel):
    grids: dict[str, _Grid] = Field(description="Grids by name.")


class _Unexplained(BaseModel):
    grid: _Grid


def test_a_setting_without_a_description_fails_the_build() -> None:
    with pytest.raises(ExtensionError, match=r"setting 'grid' .*_Unexplained\) has no description"):
        settings_text(_Unexplained)


def test_nested_settings_are_listed_under_their_full_key_with_type_limit_and_default() -> None:
    entry = "`grids.<name>.resolution`\n: Cell size, degrees.\n\n  *number, above 0 · default: `0.1`*\n"

    assert settings_text(_Config).endswith(entry)
