"""The models of an evaluation, side by side on the same rows: their estimates and members in K and PSU."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from oceanrecon.errors import ConfigError
from oceanrecon.samples.form import FieldName
from oceanrecon.samples.index import SplitName
from oceanrecon.stores.files import Root
from oceanrecon.stores.manifest import PATCHES, export_fingerprint, read_manifest
from oceanrecon.training.data.dataset import PatchDataset
from oceanrecon.training.data.decode import Tensors
from oceanrecon.training.inference.guide import guide
from oceanrecon.training.inference.members import sampled_members, white_noise
from oceanrecon.training.loop.data import Data, Selected, decoded
from oceanrecon.training.loop.provenance import digest
from oceanrecon.training.model.diffusion import Diffusion
from oceanrecon.training.model.estimators import Regression
from oceanrecon.training.model.reconstructor import Reconstructor
from oceanrecon.training.model.stored import Trained, load_model
from oceanrecon.training.state.patches import Patches
from oceanrecon.training.state.state import State

#: Patches that models work on together.
_BATCH = 4


@dataclass(frozen=True)
class Sampling:
    """How models that sample do."""

    #: ``None``: as each model was trained for
    method: str | None = None
    steps: int | None = None
    #: variances of profiles are divided by it; 0: members are not pulled towards profiles
    guidance: float = 0.0


@dataclass(frozen=True, eq=False)
class Estimated:
    """What a model makes of some patches, K and PSU."""

    #: what ``Decode`` gives of them
    batch: Tensors
    patches: Patches
    #: the best single estimate: [B, C, H, W]
    mean: Tensor
    #: [B, M, C, H, W]; of a model without uncertainty, the mean alone
    members: Tensor


class Contender:
    """One model, and the rows as it is given them."""

    def __init__(self, name: str, run: str, trained: Trained, split: SplitName, sampling: Sampling) -> None:
        """Of a run.

        Args:
            name: in tables.
            run: where the model is.
            trained: the model.
            split: side of the rows.
            sampling: how members are sampled, of a model that does.

        Raises:
            ConfigError: it reconstructs nothing, learnt without an export or from another index, the side has no row,
                the export has another contract, there is no such sampler, or the model cannot be guided.
            OutputError: the export or the index is gone.
        """
        if not isinstance(trained.model, Reconstructor):
            raise ConfigError(
                f"{run}: a model of kind {trained.settings.model.kind} reconstructs nothing: leave it out"
            )
        self.name, self.run, self.trained = name, run, trained
        self.model: Reconstructor = trained.model
        settings = trained.settings.data
        if settings.export is None:
            raise ConfigError(
                f"{run} learnt from archives without an export, and floats are read one by one from an export alone: "
                "make one, and an index for it, and train with data.export"
            )
        self.export: str = settings.export
        #: of the data as they are now, as of ``loop.provenance``
        self.fingerprints = {
            "export_fingerprint": export_fingerprint(read_manifest(Root(self.export))),
            "index_fingerprint": digest(settings.index, PATCHES),
        }
        if self.fingerprints["index_fingerprint"] != trained.provenance["index_fingerprint"]:
            raise ConfigError(
                f"{settings.index} is not the index that {run} was trained with: rows of its {split} side may be among "
                "those that the model has learnt from; give it the index that it had, or train anew"
            )
        self.data = Data(settings, trained.settings.scenario)
        self.dataset = self.data.patches(split, quality=trained.quality)
        self.state: State = trained.state(self.data.grid, self.dataset.form)
        self.sampler, self.guidance = trained.sampler(sampling.method, sampling.steps), sampling.guidance
        self._guide = guide(self.model, self.state, sampling.guidance) if self.samples else None

    @property
    def fields(self) -> tuple[FieldName, ...]:
        """That it reconstructs."""
        return tuple(part.name for part in self.trained.form.fields)

    @property
    def samples(self) -> bool:
        """Whether it samples members, which are fields as the target is one."""
        return isinstance(self.model, Diffusion)

    def choose(self, rows: NDArray[np.int64]) -> None:
        """Go on with these of its rows alone."""
        self.dataset = PatchDataset(Selected(self.dataset.source, rows))

    def channels(self, fields: Sequence[FieldName]) -> list[int]:
        """Where those of some of its fields are."""
        levels = self.state.levels
        return [self.fields.index(name) * levels + level for name in fields for level in range(levels)]

    def inputs(self) -> Iterator[Tensors]:
        """What ``Decode`` gives of its rows, some at a time."""
        for batch, _ in decoded(self.dataset, self.state, _BATCH, self.trained.device):
            yield batch

    def estimated(self, fields: Sequence[FieldName], members: int, seed: int) -> Iterator[Estimated]:
        """Row by row, some at a time.

        A model that does not sample, but says how wrong it expects to be, has members too: each cell by itself is drawn
        from a normal distribution.

        Args:
            fields: whose channels are wanted.
            members: how many.
            seed: of the members.
        """
        channels = self.channels(fields)
        for batch, patches in decoded(self.dataset, self.state, _BATCH, self.trained.device):
            with torch.inference_mode():
                estimate = self.model.estimate(patches)
                if isinstance(self.model, Diffusion):
                    drawn = sampled_members(
                        self.model, patches, estimate, members, self.sampler, seed, guide=self._guide
                    )
                elif estimate.deviation is not None:
                    days, count = patches.day.tolist(), estimate.mean.shape[1]
                    noise = [white_noise(patches, days, count, 0, seed, member) for member in range(members)]
                    drawn = estimate.mean[:, None] + estimate.deviation[:, None] * torch.stack(noise, dim=1)
                else:
                    drawn = estimate.mean[:, None]
                drawn = self.state.values(drawn, patches)[:, :, channels]
                mean = drawn.mean(dim=1) if self.samples else self.state.values(estimate.mean, patches)[:, channels]
            yield Estimated(batch, patches, mean, drawn)

    def described(self, members: int) -> str:
        """One line for the report."""
        kind, story = self.trained.settings.model.kind, self.trained.provenance
        learnt = sum(story.get("samples", ()))
        parts = [kind, f"{learnt:,} samples seen" if learnt else "nothing to train"]
        if self.samples:
            pulled = f", guided by profiles with the strength {self.guidance:g}" if self.guidance else ""
            parts.append(f"members by {self.sampler.method} in {self.sampler.steps} steps{pulled}")
        elif members > 1:
            parts.append("members drawn in each cell by itself from its mean and deviation")
        return ", ".join([*parts, self.run])


def contenders(
    runs: Sequence[str], split: SplitName, device: str, sampling: Sampling, sha256: Sequence[str] | None = None
) -> list[Contender]:
    """The models of some runs, in order; and the regressions in them, where no run is one by itself.

    Args:
        runs: where they are.
        split: side of the rows.
        device: where they work.
        sampling: how members are sampled.
        sha256: checksum of each run's model, as of ``load_model``.

    Raises:
        ConfigError: see ``Contender``; there are not as many checksums as runs, or nothing samples that could be
            guided; or they are of different data or floats, so that their scores say nothing of each other.
        OutputError: there is no model, no export or no index.
    """
    if sha256 and len(sha256) != len(runs):
        raise ConfigError(f"{len(sha256)} checksums (--sha256) of {len(runs)} runs: give one for each, in their order")
    found: list[Contender] = []
    for number, (name, run) in enumerate(zip(_names(runs), runs, strict=True)):
        trained = load_model(run, device, sha256=sha256[number] if sha256 else None)
        one = Contender(name, run, trained, split, sampling)
        first = found[0] if found else one
        for what, ours, theirs in (
            ("export", first.fingerprints["export_fingerprint"], one.fingerprints["export_fingerprint"]),
            ("index", first.fingerprints["index_fingerprint"], one.fingerprints["index_fingerprint"]),
            ("data.floats", first.trained.settings.data.floats, one.trained.settings.data.floats),
            ("flags of levels (rows.quality)", first.trained.quality, one.trained.quality),
        ):
            if ours != theirs:
                raise ConfigError(
                    f"{first.run} and {one.run} have different {what} ({ours} and {theirs}), so that they would be "
                    "given, or scored on, different things: evaluate each by itself, or train both on the same"
                )
        found.append(one)
    if sampling.guidance and not any(one.samples for one in found):
        raise ConfigError(
            f"guidance={sampling.guidance} pulls the members of diffusion models, and none of these runs is one: leave "
            "guidance out"
        )
    kinds = {one.trained.settings.model.kind for one in found}
    return found if "regression" in kinds else [*found, *(_base(one, split) for one in found if _has_base(one))]


def _has_base(one: Contender) -> bool:
    return isinstance(one.model, Diffusion) and isinstance(one.model.base, Regression)


def _base(one: Contender, split: SplitName) -> Contender:
    """The regression that a diffusion model stands on, as a model of its own."""
    assert isinstance(one.model, Diffusion)
    settings = one.trained.settings
    kind = settings.model.model_copy(update={"kind": "regression"})
    trained = replace(one.trained, model=one.model.base, settings=settings.model_copy(update={"model": kind}))
    return Contender(f"regression of {one.name}", one.run, trained, split, Sampling())


def shared_fields(models: Sequence[Contender]) -> tuple[FieldName, ...]:
    """Those that all models reconstruct.

    Raises:
        ConfigError: there is none.
    """
    found = tuple(name for name in models[0].fields if all(name in one.fields for one in models))
    if not found:
        each = ", ".join(f"{one.run}: {' and '.join(one.fields)}" for one in models)
        raise ConfigError(f"these runs have no field in common ({each}): evaluate each by itself")
    return found


def _names(runs: Sequence[str]) -> list[str]:
    """The last part of the path of each run, or all of it where two have the same."""
    short = [run.removesuffix("/model.pt").rstrip("/").rpartition("/")[2] for run in runs]
    names = [name if short.count(name) == 1 else run for name, run in zip(short, runs, strict=True)]
    if len(set(names)) < len(names):
        raise ConfigError(f"{', '.join(runs)}: a run is named twice; name each once")
    return names
