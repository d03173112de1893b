"""The settings of training: data, scaling, model, what is learnt in which order, and how."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import Field, model_validator

from oceanrecon.config import Settings
from oceanrecon.patch_config import FloatSettings

Share = Annotated[float, Field(ge=0, le=1)]
ScenarioName = Literal["temperature", "salinity", "joint"]
Kind = Literal["climatology", "idw", "oi", "profile", "unet", "regression", "diffusion", "autoencoder"]
Method = Literal["dpm", "heun", "ddim", "ddpm"]
#: Steps of the discrete process.
NUMBERED = 1000
#: Share of a stage in which an inverse root rises: with so little, a tenth of the learning rate is left at the end.
LEAST_WARMUP = 0.01


class DataSettings(Settings):
    """What is learnt from."""

    export: str | None = Field(
        None, description="The export (path or fsspec URL); without it, the archives of the index."
    )
    index: str = Field(description="The patch index: what `oceanrecon patches index` wrote; its split is kept.")
    surface: tuple[Literal["analysed_sst", "sos", "adt"], ...] = Field(
        ("analysed_sst", "sos", "adt"), min_length=1, description="Surface fields, in order."
    )
    days: int | None = Field(None, ge=1, description="Odd number of days around a date; default: that of the index.")
    floats: FloatSettings = Field(
        default_factory=lambda: FloatSettings(), description="Which floats are withheld, to validate and to test with."
    )
    batch_size: int = Field(16, ge=1, description="Patches per step and rank.")
    workers: int = Field(2, ge=0, description="Processes that read, per rank; 0: the trainer reads by itself.")
    buffer: int = Field(16, ge=1, description="Dates whose rows are shuffled together.")
    validation: int = Field(
        64, ge=1, description="Patches to validate with: the first of the `val` rows, evenly spread."
    )


class ScalingSettings(Settings):
    """How temperature and salinity become what a network learns."""

    statistics: str = Field(description="What `oceanrecon statistics` wrote for this export and index.")
    of: Literal["anomalies", "values"] = Field(
        "anomalies",
        description="`anomalies`: from the climatology, divided by their deviation at each level; `values`: with one "
        "mean and deviation for all levels, as the published data set has it.",
    )
    coarse_codes: bool = Field(
        False,
        description="Train although the code step of the export is more than a quarter of the deviation of a level.",
    )


class NetworkSettings(Settings):
    """Size of the networks."""

    width: int = Field(64, ge=16, multiple_of=16, description="Channels at full resolution.")
    multipliers: tuple[Annotated[int, Field(ge=1)], ...] = Field(
        (1, 2, 3, 4), min_length=1, description="Of the width, at full, half, quarter ... resolution."
    )
    blocks: int = Field(2, ge=1, description="Blocks at each resolution.")
    attention: int = Field(2, ge=0, description="How many of the coarsest resolutions have attention.")
    dropout: Share = Field(0.0, description="Dropout in every block.")
    kind: Kind = Field(
        "diffusion",
        description="`climatology`, `idw`, `oi`: baselines without a network; `profile`: a network that sees one "
        "column; `unet`: a U-Net without first guess and deviation; `regression`: mean and deviation; `diffusion`: an "
        "ensemble around a regression; `autoencoder`: of columns, for latent diffusion.",
    )
    first_guess: bool = Field(True, description="Optimal interpolation as a condition (`regression`, `diffusion`).")

    @model_validator(mode="after")
    def _resolutions(self) -> NetworkSettings:
        if self.attention > len(self.multipliers):
            raise ValueError(
                f"`attention` {self.attention} is at more resolutions than there are `multipliers` "
                f"({len(self.multipliers)})"
            )
        return self


class DropSettings(Settings):
    """What is hidden from the network at random in training, so that it does without."""

    surface: Share = Field(0.15, description="Chance that a surface field is left out.")
    some: Share = Field(0.5, description="Chance that a random share of the columns with profiles is left out.")
    everything: Share = Field(0.1, description="Chance that all profiles are left out.")


class NoiseSettings(Settings):
    """Of which noise a diffusion model learns; in units of its scaled state."""

    log_mean: float = Field(-0.5, description="Mean of the logarithm of the noise level in training.")
    log_deviation: float = Field(1.4, gt=0, description="Its standard deviation.")
    smallest: float = Field(0.01, gt=0, description="Where sampling ends.")
    largest: float = Field(40.0, gt=0, description="Where sampling begins.")

    @model_validator(mode="after")
    def _falls(self) -> NoiseSettings:
        if self.smallest >= self.largest:
            raise ValueError(
                f"sampling goes from the `largest` noise level ({self.largest:g}) down to the `smallest` "
                f"({self.smallest:g}): give `smallest` below `largest`"
            )
        return self


class SamplerSettings(Settings):
    """How members are sampled."""

    method: Method = Field(
        "dpm",
        description="`dpm`: DPM-Solver++(2M), one evaluation for each step; `heun`: two; `ddim`, `ddpm`: of the "
        "discrete process.",
    )
    steps: int = Field(12, ge=1, description=f"Steps; `ddpm` takes all {NUMBERED:,}, `ddim` at most so many.")
    churn: float = Field(0.0, ge=0, description="Fresh noise on the way (`heun`).")

    @model_validator(mode="before")
    @classmethod
    def _all_steps(cls, given: Any) -> Any:
        if isinstance(given, dict) and given.get("method") == "ddpm" and "steps" not in given:
            return {**given, "steps": NUMBERED}
        return given

    @model_validator(mode="after")
    def _possible(self) -> SamplerSettings:
        if self.method == "ddpm" and self.steps != NUMBERED:
            raise ValueError(
                f"`method: ddpm` takes all {NUMBERED:,} steps, not {self.steps:,}: give `steps: {NUMBERED}`, or take "
                "`ddim`"
            )
        if self.method == "ddim" and self.steps > NUMBERED:
            raise ValueError(
                f"the discrete process has {NUMBERED:,} steps, of which `method: ddim` cannot take {self.steps:,}: "
                f"give `steps` of at most {NUMBERED:,}"
            )
        if self.churn and self.method != "heun":
            raise ValueError(
                f"`churn` {self.churn:g} is fresh noise for `method: heun`, and `{self.method}` has none: leave "
                "`churn` out, or take `heun`"
            )
        return self


def sampler_values(usual: SamplerSettings, method: str | None, steps: int | None) -> dict[str, Any]:
    """Settings of a sampler, not checked yet: the usual ones, but for what is given.

    Another method does not take over the usual ``churn``, nor ``ddpm`` the ``steps`` of others or they its own.
    """
    values = usual.model_dump()
    if method not in (None, usual.method):
        kept = {} if "ddpm" in (method, usual.method) else {"steps": usual.steps}
        values = {"method": method, **kept}
    return values if steps is None else {**values, "steps": steps}


class DiffusionSettings(Settings):
    """What is diffused, and how."""

    of: Literal["residual", "state"] = Field(
        "residual", description="`residual`: what the regression leaves, in its deviations; `state`: the whole anomaly."
    )
    space: Literal["levels", "eof", "autoencoder"] = Field(
        "levels", description="Channels of the state: all levels, vertical EOFs, or an autoencoder's."
    )
    modes: int | None = Field(None, ge=1, description="EOFs (`eof`); default: as many as hold 99.9 % of the variance.")
    autoencoder: str | None = Field(None, description="Run of an autoencoder (`autoencoder`).")
    process: Literal["edm", "discrete"] = Field(
        "edm", description="`edm`: noise levels; `discrete`: 1,000 steps of a cosine schedule, as older models have it."
    )
    prediction: Literal["x0", "epsilon", "v"] = Field("v", description="What the network tells (`discrete`).")
    noise: NoiseSettings = Field(default_factory=lambda: NoiseSettings(), description="Noise levels (`edm`).")
    sampler: SamplerSettings = Field(default_factory=lambda: SamplerSettings(), description="Default of sampling.")

    @model_validator(mode="after")
    def _possible(self) -> DiffusionSettings:
        if (self.space == "autoencoder") != (self.autoencoder is not None):
            raise ValueError("`space: autoencoder` and `autoencoder`, the run of one, belong together")
        if self.modes is not None and self.space != "eof":
            raise ValueError(f"`modes` are of `space: eof`, not of `space: {self.space}`")
        if (self.process == "discrete") != (self.sampler.method in ("ddim", "ddpm")):
            raise ValueError(
                f"`process: {self.process}` and `sampler.method: {self.sampler.method}` do not go together: edm has "
                "dpm and heun, discrete has ddim and ddpm"
            )
        return self


class AutoencoderSettings(Settings):
    """Size of an autoencoder."""

    channels: int = Field(24, ge=1, description="Of the code.")
    widths: tuple[int, ...] = Field(
        (128, 96, 64), min_length=1, description="Channels of its layers, towards the code."
    )


class StageSettings(Settings):
    """One stage of training."""

    network: Literal["estimate", "diffusion"] = Field(
        "estimate", description="Which network learns: that of the estimate, or the diffusion around it."
    )
    objective: Literal["dense", "ambient"] = Field(
        "dense", description="`dense`: learns from the reanalysis; `ambient`: from the profiles alone."
    )
    samples: int = Field(ge=1, description="Patches that are seen, by all ranks together.")
    rate: float = Field(2e-4, gt=0, description="Learning rate, at its height.")
    schedule: Literal["cosine", "inverse_root"] = Field(
        "cosine", description="`cosine`: falls to 0 at the end; `inverse_root`: as the root of the steps."
    )
    warmup: Share = Field(
        0.05,
        description=f"Share of the stage in which the learning rate rises; at least {LEAST_WARMUP} for `inverse_root`, "
        "which falls from its end.",
    )
    squares: Share = Field(
        0.2, description="Share of the stage in which the mean learns by squared errors alone (regression)."
    )
    hidden: Share = Field(0.25, description="Share of the columns with profiles that is hidden (`ambient`).")
    loss_on: Literal["support", "withheld"] = Field(
        "support", description="Where `ambient` is scored: on all profiles, or on the hidden ones."
    )

    @model_validator(mode="after")
    def _possible(self) -> StageSettings:
        if self.objective == "ambient" and self.loss_on == "withheld" and self.hidden == 0:
            raise ValueError(
                "`loss_on: withheld` scores the hidden profiles, and with `hidden: 0` there are none: hide some, such "
                "as 0.25, or take `loss_on: support`"
            )
        if self.schedule == "inverse_root" and self.warmup < LEAST_WARMUP:
            raise ValueError(
                f"`schedule: inverse_root` falls from the end of the warm-up, and with `warmup: {self.warmup:g}` at "
                f"once: give `warmup` of at least {LEAST_WARMUP}, or take `cosine`"
            )
        return self


class LoopSettings(Settings):
    """How the stages run."""

    seed: int = Field(0, ge=0, description="Of weights, order and chance.")
    precision: Literal["auto", "float32", "bfloat16"] = Field(
        "auto", description="`auto`: bfloat16 where there is a GPU."
    )
    compile: Literal["auto", "yes", "no"] = Field(
        "auto", description="torch.compile of U-Nets; `auto`: where there is a GPU."
    )
    devices: int | Literal["auto"] = Field(
        "auto", description="Devices, or processes on a CPU; `auto`: every GPU, or one."
    )
    clip: float = Field(1.0, gt=0, description="Norm at which gradients are clipped.")
    weight_decay: float = Field(0.01, ge=0, description="Of AdamW.")
    average: float = Field(
        0.999, ge=0, lt=1, description="Decay of the average of the weights per step; it grows up to that."
    )
    log_every: int = Field(20, ge=1, description="Steps between two lines of the log.")
    validate_every: int = Field(500, ge=1, description="Steps between two validations; each also saves a checkpoint.")
    calibrate: bool = Field(
        True,
        description="Fit the spread of members, level by level, and their variance at the shortest waves to the "
        "validation rows.",
    )


class TrainSettings(Settings):
    """A training: `oceanrecon train`."""

    scenario: ScenarioName = Field("joint", description="Which fields are learnt; `--scenario` says so too.")
    output: str = Field(description="Folder of the run.")
    data: DataSettings = Field(description="What is learnt from.")
    scaling: ScalingSettings = Field(description="How values are scaled.")
    model: NetworkSettings = Field(default_factory=lambda: NetworkSettings(), description="Which model, how large.")
    drop: DropSettings = Field(default_factory=lambda: DropSettings(), description="What is hidden in training.")
    diffusion: DiffusionSettings = Field(
        default_factory=lambda: DiffusionSettings(), description="Diffusion (`model.kind: diffusion`)."
    )
    autoencoder: AutoencoderSettings = Field(
        default_factory=lambda: AutoencoderSettings(), description="Autoencoder (`model.kind: autoencoder`)."
    )
    stages: tuple[StageSettings, ...] = Field((), description="What is learnt, in order; none for a baseline.")
    training: LoopSettings = Field(default_factory=lambda: LoopSettings(), description="How the stages run.")

    @model_validator(mode="after")
    def _complete(self) -> TrainSettings:
        kind, networks = self.model.kind, [stage.network for stage in self.stages]
        if kind in ("climatology", "idw", "oi"):
            if networks:
                raise ValueError(f"`model.kind: {kind}` has no network to train: leave `stages` out")
        elif not networks:
            raise ValueError(f"`model.kind: {kind}` needs `stages`: what is learnt, from how many samples")
        guessed = kind in ("climatology", "idw", "oi") or (
            kind in ("regression", "diffusion") and (self.model.first_guess or "estimate" not in networks)
        )
        if self.scaling.of == "values" and guessed:
            raise ValueError(
                f"`scaling.of: values` has no climatology, on which `model.kind: {kind}` stands here: take "
                "`anomalies`, or a network without first guess (`model.first_guess: false`, and a stage of "
                "`network: estimate`)"
            )
        if kind != "diffusion" and "diffusion" in networks:
            raise ValueError(f"a stage of `network: diffusion` needs `model.kind: diffusion`, not {kind}")
        if kind == "diffusion" and "diffusion" not in networks:
            raise ValueError("`model.kind: diffusion` needs a stage of `network: diffusion`")
        if kind == "diffusion" and self.diffusion.of == "residual" and networks[0] != "estimate":
            raise ValueError(
                "`diffusion.of: residual` needs a first stage of `network: estimate`, whose residual it is"
            )
        if kind == "diffusion" and self.diffusion.of == "residual" and self.diffusion.space == "autoencoder":
            raise ValueError("an autoencoder codes whole anomalies: `diffusion.space: autoencoder` needs `of: state`")
        return self
