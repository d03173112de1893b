"""Mistakes in a settings file end in one sentence that names the mistake, never in a traceback or in silence."""

from __future__ import annotations

from pathlib import Path

import pytest

from oceanrecon.config import ExportSettings, load_settings
from oceanrecon.errors import ConfigError

GOOD = b"archive: {root: a, products: {sealevel: }}\noutput: b\ngrid: {resolution: 1}\n"


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (GOOD + b"window_days: 7\nwindow_days: 5\n", "the key 'window_days' is given twice"),
        (GOOD + b"targets: {end: 2012-02-30}\n", "day is out of range for month"),
        (GOOD + b"targets: {start: 2012-03-02, end: 2012-03-01}\n", "`end` 2012-03-01 is before `start` 2012-03-02"),
        (GOOD + b"# 0.1\xb0\n", "not a text file in UTF-8"),
        (b"", "is empty"),
        (b"archive:\n\troot: a\n", "indent with spaces, not tabs"),
        (GOOD + b"minimum_files: 9\n", "`minimum_files` 9 is more than the 7 `window_days`"),
        (GOOD.replace(b"resolution: 1", b"mask: m.tif, bounds: [0, 0, 9, 9]"), "`bounds` go with `resolution`"),
        (GOOD + b"windowdays: 7\n", "unknown setting 'windowdays': did you mean 'window_days'"),
        (GOOD.replace(b"resolution", b"resolutoin"), "unknown setting 'grid.resolutoin': did you mean 'resolution'"),
    ],
)
def test_a_mistake_is_one_sentence(tmp_path: Path, content: bytes, message: str) -> None:
    path = tmp_path / "export.yaml"
    path.write_bytes(content)
    with pytest.raises(ConfigError) as raised:
        load_settings(ExportSettings, path)
    assert message in str(raised.value)
    assert "export.yaml" in str(raised.value)


def test_the_good_settings_of_these_are_good(tmp_path: Path) -> None:
    path = tmp_path / "export.yaml"
    path.write_bytes(GOOD)
    assert load_settings(ExportSettings, path, ("grid.resolution=0.5",)).grid.resolution == 0.5


@pytest.mark.parametrize("tag", ["python/object/apply:os.mkdir", "python/name:os.mkdir", "python/module:antigravity"])
def test_a_config_runs_nothing(tmp_path: Path, tag: str) -> None:
    path, made = tmp_path / "export.yaml", tmp_path / "made"
    for content in (f"output: !!{tag} [{made}]\n", f"? !!{tag} [{made}]\n: 1\n"):
        path.write_bytes(GOOD.replace(b"output: b\n", b"") + content.encode())
        with pytest.raises(ConfigError, match="is not YAML: could not determine a constructor for the tag"):
            load_settings(ExportSettings, path)
    with pytest.raises(ConfigError, match="is not YAML"):
        load_settings(ExportSettings, path, (f"output=!!{tag} [{made}]",))
    assert not made.exists()
