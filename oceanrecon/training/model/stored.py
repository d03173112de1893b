"""A trained model as one file: weights, scales, settings, and what it was trained on; opened from any URL."""

from __future__ import annotations

import hashlib
import io
import os
import re
import warnings
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch
import yaml
from torch import nn

from oceanrecon.config import parse_settings
from oceanrecon.errors import ConfigError, InsecureWarning, OutputError
from oceanrecon.grid import RasterGrid
from oceanrecon.samples.choice import GOOD
from oceanrecon.samples.form import SampleForm
from oceanrecon.stores.files import Root
from oceanrecon.stores.statistics import Statistics, pack, unpack
from oceanrecon.train_config import SamplerSettings, TrainSettings, sampler_values
from oceanrecon.training.model.autoencoder import Autoencoder
from oceanrecon.training.model.build import build
from oceanrecon.training.state.state import State

#: Name of the file in the folder of a run, and of that of its checksum.
MODEL, CHECKSUM = "model.pt", "model.pt.sha256"
_VERSION = 4


_SHA256 = re.compile("[0-9a-f]{64}")


@dataclass(frozen=True)
class Origin:
    """The file that a model was loaded from."""

    #: path or URL
    address: str
    #: of its content
    sha256: str
    #: whether that was compared with a checksum: one that was given, or that of the file beside it
    checked: bool


@dataclass(frozen=True, eq=False)
class Trained:
    """A model, and all that is needed to use it."""

    model: nn.Module
    settings: TrainSettings
    statistics: Statistics
    #: of the samples that it learnt from
    form: SampleForm
    #: odd number of days around a date that profiles are of
    days: int
    #: odd number of days that surface fields are means over
    surface_days: int
    #: data, program and training that it came from
    provenance: Mapping[str, Any]
    #: flags of levels of profiles that count, besides levels without one
    quality: tuple[int, ...] = GOOD
    #: ``None`` where it was loaded from no file
    origin: Origin | None = None

    @property
    def device(self) -> torch.device:
        """Where the model is."""
        return next((values.device for values in self.model.state_dict().values()), torch.device("cpu"))

    def state(self, grid: RasterGrid, form: SampleForm | None = None) -> State:
        """What scales samples on a grid, on the device of the model.

        Raises:
            ConfigError: samples have another contract than those that the model learnt from; names what differs.
        """
        if form is not None:
            check_form(self.form, form)
        return State(self.statistics, form or self.form, grid, self.settings.scaling.of).to(self.device)

    def check_window(self, window: int) -> None:
        """Whether surface fields are means over as many days as those that the model learnt from.

        Args:
            window: odd number of days that they are means over.

        Raises:
            ConfigError: they are of another number of days.
        """
        if window != self.surface_days:
            raise ConfigError(
                f"these samples have another contract than the model: surface fields are means over {window} days "
                f"(window_days), and the model learnt {self.surface_days}: take an export with "
                f"window_days={self.surface_days}, or train on such ones"
            )

    def sampler(self, method: str | None = None, steps: int | None = None) -> SamplerSettings:
        """How members are sampled: as the model was trained for, but for what is given.

        Raises:
            ConfigError: there is no such sampler, or it takes no such number of steps.
        """
        values = sampler_values(self.settings.diffusion.sampler, method, steps)
        return parse_settings(SamplerSettings, values, "--sampler, --steps")


def save_model(run: Root, trained: Trained) -> None:
    """Write the file, and then its checksum.

    Raises:
        OutputError: they cannot be written.
    """
    described, arrays = pack(trained.statistics)
    content = {
        "version": _VERSION,
        "settings": yaml.safe_dump(trained.settings.model_dump(mode="json"), sort_keys=False),
        "form": asdict(trained.form),
        "days": trained.days,
        "surface_days": trained.surface_days,
        "quality": list(trained.quality),
        "statistics": yaml.safe_dump(described, sort_keys=False),
        "arrays": torch.frombuffer(bytearray(arrays), dtype=torch.uint8),
        "provenance": yaml.safe_dump(dict(trained.provenance), sort_keys=False),
        "weights": {name: values.cpu() for name, values in trained.model.state_dict().items()},
        "autoencoder": _autoencoder_of(trained),
    }
    stream = io.BytesIO()
    torch.save(content, stream)
    run.write(MODEL, stream.getbuffer())
    run.write(CHECKSUM, f"{hashlib.sha256(stream.getbuffer()).hexdigest()}  {MODEL}\n".encode())


def load_model(run: str, device: str | torch.device = "cpu", *, sha256: str | None = None) -> Trained:
    """A trained model.

    Args:
        run: folder or fsspec URL of a run, or of its ``model.pt``. What is not on this machine is kept in the cache
            (``$OCEANRECON_CACHE``, or else ``~/.cache/oceanrecon``) and fetched once, if its checksum is known.
        device: where it will work.
        sha256: checksum that the file has to have; default: that of ``model.pt.sha256`` beside it. What comes from
            elsewhere and has neither is taken as it is, with a warning, and fetched each time.

    Raises:
        ConfigError: ``sha256`` is no checksum.
        OutputError: there is none, it is not what was written, or a later version wrote it.
    """
    url = run if run.endswith(".pt") else f"{run.rstrip('/')}/{MODEL}"
    data, origin = _fetched(url, sha256)
    try:
        content = torch.load(io.BytesIO(data), map_location="cpu", weights_only=True)
        if content["version"] > _VERSION:
            raise OutputError(f"{url} was written by a later version of oceanrecon: update this one")
        if content["version"] < _VERSION:
            raise OutputError(
                f"{url} is of form {content['version']}, which an earlier version of oceanrecon wrote, and this one "
                f"reads form {_VERSION}: train it again, or use that version"
            )
        settings = parse_settings(TrainSettings, yaml.safe_load(content["settings"]), url)
        statistics = unpack(yaml.safe_load(content["statistics"]), content["arrays"].numpy().tobytes())
        form = _form(content["form"])
        state = State(statistics, form, statistics.grid, settings.scaling.of)
        model = build(settings, state, lambda _: Autoencoder(**content["autoencoder"]))
        model.load_state_dict(content["weights"])
        days, surface_days = content["days"], content["surface_days"]
        quality = tuple(content.get("quality", GOOD))  # earlier files do not say them
        story = yaml.safe_load(content["provenance"])
    except OutputError:
        raise
    except Exception as error:  # torch.load and zipfile raise what they like
        raise OutputError(
            f"{url} is no model of oceanrecon, or damaged ({error!r}): train again, or fetch it anew"
        ) from error
    return Trained(model.to(device).eval(), settings, statistics, form, days, surface_days, story, quality, origin)


def check_form(learnt: SampleForm, given: SampleForm) -> None:
    """Whether samples are of the kind that a model learnt from; codes may differ.

    Raises:
        ConfigError: they are not; names what differs.
    """
    differ = [
        f"{name} is {_shown(theirs)}, and the model learnt {_shown(ours)}"
        for name, ours, theirs in (
            ("scenario", learnt.scenario, given.scenario),
            ("surface", learnt.surface, given.surface),
            (
                "depth",
                tuple(round(level, 2) for level in learnt.depth),
                tuple(round(level, 2) for level in given.depth),
            ),
        )
        if ours != theirs
    ]
    if differ:
        raise ConfigError(f"these samples have another contract than the model: {'; '.join(differ)}")


def _form(stored: Mapping[str, Any]) -> SampleForm:
    return SampleForm(**{**stored, "depth": tuple(stored["depth"]), "surface": tuple(stored["surface"])})


def _shown(value: Any) -> str:
    if isinstance(value, tuple) and len(value) > 5:
        return f"{len(value)} levels from {value[0]:g} to {value[-1]:g}"
    return ", ".join(map(str, value)) if isinstance(value, tuple) else str(value)


def _autoencoder_of(trained: Trained) -> dict[str, Any] | None:
    part = getattr(getattr(trained.model, "codec", None), "autoencoder", None)
    return None if part is None else {"levels": part.levels, "channels": part.channels, "widths": list(part.widths)}


def _fetched(url: str, sha256: str | None) -> tuple[bytes, Origin]:
    """The bytes of a model, checked where a checksum is known; from the cache where it was fetched before."""
    folder, _, name = url.rpartition("/")
    root = Root(folder or ".")
    address = root.url_of(name)
    wanted = _said(root, name) if sha256 is None else sha256.lower()
    if wanted is not None and not _SHA256.fullmatch(wanted):
        told = f"sha256={sha256!r}" if sha256 is not None else f"{address}.sha256, which begins with {wanted[:64]!r},"
        raise (OutputError if sha256 is None else ConfigError)(
            f"{told} is no checksum: it has 64 digits from 0 to f, as `sha256sum {MODEL}` prints them"
        )
    cached = None
    if root.local_path is None and wanted is not None:
        cached = cache_folder() / f"{wanted}.pt"
        if cached.exists():
            data = cached.read_bytes()
            if hashlib.sha256(data).hexdigest() == wanted:
                return data, Origin(address, wanted, True)
    fetched = root.read_if_there(name)
    if fetched is None:
        raise OutputError(f"there is no model at {url}: give the folder of a run that `oceanrecon train` has finished")
    found = hashlib.sha256(fetched).hexdigest()
    if wanted is not None and found != wanted:
        raise OutputError(
            f"{url} has the checksum {found[:12]}..., and {wanted[:12]}... was expected: it is damaged or another one; "
            "fetch it again"
        )
    if wanted is None and root.local_path is None:
        warnings.warn(
            f"{url} has no {name}.sha256 beside it, so that nothing says whether it is what was written, and it is not "
            f"kept in the cache: put the checksum there, or give it (--sha256); what was fetched has {found}",
            InsecureWarning,
            stacklevel=3,
        )
    if cached is not None:
        Root(str(cached.parent)).write(cached.name, fetched)
    return fetched, Origin(address, found, wanted is not None)


def _said(root: Root, name: str) -> str | None:
    """What the file of the checksum says, if it is there: the first word, in small letters."""
    said = root.read_if_there(f"{name}.sha256")
    return None if said is None else (said.decode("ascii", "replace").split() or [""])[0].lower()


def cache_folder() -> Path:
    """Where fetched models are kept."""
    return Path(os.environ.get("OCEANRECON_CACHE", "~/.cache/oceanrecon")).expanduser() / "models"
