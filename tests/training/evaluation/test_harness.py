"""Risk: a score is of other floats, other rows or other units than it says, or of floats that a model has seen."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from typer.testing import CliRunner

from oceanrecon.cli.app import app
from oceanrecon.errors import ConfigError, OutputError
from oceanrecon.pipeline.patches.proof import prove, write_proof
from oceanrecon.plots import evaluation as evaluation_plots
from oceanrecon.samples.references import FloatReferences
from oceanrecon.samples.withheld import FloatSplit
from oceanrecon.stores.files import Root
from oceanrecon.training.data import ExportPatches
from oceanrecon.training.evaluation import contenders
from oceanrecon.training.evaluation.contenders import Sampling
from oceanrecon.training.evaluation.harness import Evaluation, evaluate
from oceanrecon.training.evaluation.selection import apart
from oceanrecon.training.loop import data
from oceanrecon.training.loop.run import Training
from oceanrecon.training.model.stored import load_model
from tests.training.prepared import FLOATS, settings

Runs = dict[str, str]
SPLIT = FloatSplit(**FLOATS)  # type: ignore[arg-type]


@pytest.fixture(scope="module")
def proven(prepared: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The same data, whose index has a proof."""
    folder = tmp_path_factory.mktemp("proven") / "data"
    shutil.copytree(prepared, folder)
    proof = prove(Root(str(folder / "patches")))
    assert proof.holds
    write_proof(Root(str(folder / "patches")), proof)
    return folder


@pytest.fixture(scope="module")
def runs(with_profiles: dict[str, Path], proven: Path, tmp_path_factory: pytest.TempPathFactory) -> Runs:
    """Folders of trained models, for reading."""
    top = tmp_path_factory.mktemp("runs")
    found = {}
    for name, kind, changes in (
        ("diffusion", "diffusion", {}),
        ("climatology", "climatology", {}),
        ("published", "unet", {"scaling": {"of": "values"}}),
        ("salinity", "climatology", {"scenario": "salinity"}),
        ("temperature", "climatology", {"scenario": "temperature"}),
    ):
        found[name] = str(top / name)
        Training(settings(proven, with_profiles["uint16"], top / name, kind, **changes)).fit()
    return found


@pytest.fixture(scope="module")
def evaluation(runs: Runs) -> Evaluation:
    return evaluate([runs["diffusion"], runs["climatology"], runs["published"]], members=3, device="cpu")


def pooled(numbers: Any, reference: str, model: str, field: str) -> Any:
    return numbers["scores"][reference][model]["groups"]["all"]["all"][field]["pooled"]


def test_the_reanalysis_is_scored_on_the_floats_of_the_test(
    with_profiles: dict[str, Path], prepared: Path, evaluation: Evaluation
) -> None:
    """By hand: profile by profile, its pixel in the published samples."""
    patches = ExportPatches(
        str(with_profiles["uint16"]), str(prepared / "patches"), split="test", scenario="joint", require_profiles=False
    )
    grid = patches.source.grid  # type: ignore[attr-defined]
    rows = apart(patches.rows, grid)
    references = FloatReferences(
        str(with_profiles["uint16"]), patches.rows, floats=SPLIT, sides=("test",), scenario="joint", days=7
    )
    errors: dict[str, list[float]] = {"temperature": [], "salinity": []}
    seen, platforms = set(), set()
    for row in rows.tolist():
        sample = patches[row]
        for field, (y, mean, std) in {
            "temperature": ("y", 289.74267177946783, 10.933397487585731),
            "salinity": ("y_salinity", 34.54260282159372, 1.158266487751096),
        }.items():
            (one,) = references.read([row])
            for number, (r, c) in enumerate(zip(one.row, one.column, strict=True)):
                seen.add(int(one.number[number]))
                platforms.add(one.platform[number].strip())
                for level, value in enumerate(one.values[field][number].tolist()):  # type: ignore[index]
                    if np.isfinite(value) and sample[f"{y}_valid_mask"][level, r, c]:
                        errors[field].append(float(sample[y][level, r, c]) * std + mean - value)
    numbers = evaluation.numbers
    assert numbers["floats"] == {"profiles": len(seen), "platforms": len(platforms)}
    assert all(SPLIT.side(platform) == "test" for platform in platforms)
    for field, some in errors.items():
        found = pooled(numbers, "floats", "reanalysis", field)
        assert found["count"] == len(some) > 5
        assert found["bias"]["value"] == pytest.approx(np.mean(some), abs=1e-4)
        assert found["rmse"]["value"] == pytest.approx(np.sqrt(np.mean(np.square(some))), rel=1e-3)


def test_models_are_scored_side_by_side(evaluation: Evaluation) -> None:
    numbers = evaluation.numbers
    assert list(numbers["models"]) == [
        "diffusion", "climatology", "published", "regression of diffusion", "reanalysis"
    ]  # fmt: skip
    assert [one["members"] for one in numbers["models"].values()] == [3, 3, 1, 3, 1]
    assert [one["samples"] for one in numbers["models"].values()] == [True, False, False, False, False]
    counts = {
        (reference, model): pooled(numbers, reference, model, "salinity")["count"]
        for reference, models in numbers["scores"].items()
        for model in models
    }
    assert len({count for (reference, _), count in counts.items() if reference == "floats"}) == 1
    assert ("target", "reanalysis") not in counts
    # the climatology is where anomalies begin: its correlation is not defined
    assert pooled(numbers, "target", "climatology", "temperature")["correlation"]["value"] is None
    # one with the published scaling has begun with a constant, and is compared in K
    assert 3.0 < pooled(numbers, "target", "published", "temperature")["rmse"]["value"] < 30.0
    assert pooled(numbers, "target", "climatology", "temperature")["rmse"]["value"] < 2.0
    assert set(numbers["differences"]["floats"]) == {*numbers["models"]} - {"diffusion"}
    assert set(numbers["spectra"]) == set(numbers["physics"]) == {*numbers["models"]} - {"reanalysis"}
    assert numbers["physics"]["diffusion"]["inversions"]["columns"] > 0
    assert numbers["rows"]["scored"] <= numbers["rows"]["without overlap"] <= numbers["rows"]["of the split"]


def test_it_is_proven_that_nothing_was_seen(evaluation: Evaluation) -> None:
    floats, split, *others = evaluation.numbers["checks"]
    assert floats["holds"] and floats["found"].startswith("0 of ") and not floats["found"].startswith("0 of 0 ")
    assert split["holds"] and "proof.json" in split["found"]
    assert all(one["holds"] for one in others) and len(others) == 12
    assert evaluation.broken == ()


def test_tables_that_are_not_those_of_the_proof_are_told(runs: Runs, proven: Path) -> None:
    table = proven / "patches" / "profiles.parquet"
    before = table.read_bytes()
    try:
        table.write_bytes(before + b" ")
        (text,) = evaluate([runs["climatology"]], members=2, rows=1, device="cpu").broken
    finally:
        table.write_bytes(before)
    assert text.endswith("the proof is of other tables than those that are there: profiles.parquet")


def test_a_float_that_was_seen_after_all_is_told(runs: Runs, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(data, "float_split", lambda floats: FloatSplit(seed=99, val=0.0, test=0.01))
    found = evaluate([runs["climatology"]], members=2, rows=60, device="cpu")
    (text,) = found.broken
    assert text.startswith("no withheld float among the inputs: ") and ": 0 of" not in text


def test_numbers_are_the_same_again(runs: Runs) -> None:
    def again(rows: int) -> Any:
        done: list[tuple[int, int]] = []
        found = evaluate(
            [runs["diffusion"]], "val", members=2, rows=rows, seed=3, device="cpu", told=lambda *one: done.append(one)
        )
        assert done == [(number + 1, len(done)) for number in range(len(done))]
        return {name: value for name, value in found.numbers.items() if name != "created_utc"}

    assert again(5) == again(5)
    assert again(3)["rows"]["scored"] == 3


def test_what_not_all_models_have_is_left_out(runs: Runs) -> None:
    found = evaluate([runs["climatology"], runs["salinity"]], members=2, rows=4, device="cpu").numbers
    assert found["fields"] == {"salinity": "PSU"} and found["physics"] == {}
    assert any("temperature was not scored" in note for note in found["notes"])
    assert all(one["field"] == "salinity" for one in found["examples"]["maps"])


@pytest.mark.parametrize(
    ("chosen", "given", "match"),
    [
        (["climatology"], {"split": "train"}, "no split 'train' to score on: it is test or val"),
        (["climatology"], {"members": 1}, "members=1"),
        (["climatology", "climatology"], {}, "named twice"),
        (["temperature", "salinity"], {}, "no field in common"),
    ],
)
def test_what_cannot_be_scored_is_refused(runs: Runs, chosen: list[str], given: Any, match: str) -> None:
    with pytest.raises(ConfigError, match=match):
        evaluate([runs[name] for name in chosen], device="cpu", **given)


def test_runs_of_other_floats_or_another_index_are_refused(runs: Runs, monkeypatch: pytest.MonkeyPatch) -> None:
    real: Callable[..., Any] = load_model

    def other_floats(run: str, device: str, **more: Any) -> Any:
        found = real(run, device, **more)
        if run == runs["salinity"]:
            found.settings.data.__dict__["floats"] = found.settings.data.floats.model_copy(update={"seed": 9})
        return found

    monkeypatch.setattr(contenders, "load_model", other_floats)
    with pytest.raises(ConfigError, match=r"have different data\.floats"):
        evaluate([runs["climatology"], runs["salinity"]], device="cpu")
    monkeypatch.setattr(contenders, "digest", lambda url, kind: "another")
    with pytest.raises(ConfigError, match=r"is not the index that .* was trained with"):
        evaluate([runs["climatology"]], device="cpu")


def test_floats_count_by_the_flags_that_the_model_learnt_from(
    runs: Runs, evaluation: Evaluation, monkeypatch: pytest.MonkeyPatch
) -> None:
    real: Callable[..., Any] = load_model
    strict = {runs["climatology"]}
    monkeypatch.setattr(
        contenders,
        "load_model",
        lambda run, *given, **more: replace(real(run, *given, **more), quality=(1,) if run in strict else (1, 2)),
    )
    numbers = evaluate([runs["climatology"]], members=2, device="cpu").numbers
    few, usual = (
        pooled(found, "floats", "climatology", "temperature")["count"] for found in (numbers, evaluation.numbers)
    )
    assert 0 < few < usual
    with pytest.raises(ConfigError, match=r"different flags of levels \(rows.quality\) \(\(1,\) and \(1, 2\)\)"):
        evaluate([runs["climatology"], runs["salinity"]], device="cpu")


def test_the_command_writes_a_page_and_numbers(runs: Runs, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    command = [
        "evaluate", runs["diffusion"], runs["climatology"], "--members", "2", "--rows", "60", "--device", "cpu",
        "--output", str(tmp_path / "report"), "--steps", "3", "--guidance", "1",
    ]  # fmt: skip
    found = CliRunner().invoke(app, command)
    assert found.exit_code == 0, found.output
    assert "withheld floats" in found.output
    written = json.loads((tmp_path / "report" / "evaluation.json").read_text())
    page = (tmp_path / "report" / "index.html").read_text()
    assert "no withheld float among the inputs" in page and "does not hold" not in page
    assert 6 < written["rows"]["scored"] <= 60
    assert written["models"]["diffusion"]["sampler"]["steps"] == 3 and written["models"]["diffusion"]["guidance"] == 1
    with np.load(tmp_path / "report" / "examples.npz") as arrays:
        named = {one["values"] for example in written["examples"]["maps"] for one in example["panels"]}
        assert named and named <= set(arrays)

    monkeypatch.setattr(data, "float_split", lambda floats: FloatSplit(seed=99, val=0.0, test=0.01))
    monkeypatch.setattr(
        evaluation_plots, "draw_evaluation", lambda numbers, arrays, output, on_done: f"{output}/index.html"
    )
    found = CliRunner().invoke(app, [*command, "--json"])
    assert found.exit_code == 1
    assert "scores may be too good" in found.stderr
    assert json.loads(found.stdout)["page"].endswith("index.html")


def test_members_are_scored_as_the_sampling_says(runs: Runs, evaluation: Evaluation) -> None:
    def scored(sampling: Sampling) -> Any:
        return evaluate(
            [runs["diffusion"], runs["climatology"]], members=2, rows=4, sampling=sampling, device="cpu"
        ).numbers

    usual, guided, few = (scored(one) for one in (Sampling(), Sampling(guidance=50.0), Sampling("heun", 2)))
    (sampler,) = {json.dumps(found["models"]["diffusion"]["sampler"]) for found in (usual, guided, evaluation.numbers)}
    assert guided["models"]["diffusion"]["guidance"] == 50 and usual["models"]["diffusion"]["guidance"] == 0
    assert "guided by profiles with the strength 50" in guided["models"]["diffusion"]["what"]
    assert few["models"]["diffusion"]["sampler"] == json.loads(sampler) | {"method": "heun", "steps": 2}
    rmse = [pooled(found, "target", "diffusion", "temperature")["rmse"]["value"] for found in (usual, guided, few)]
    assert len(set(rmse)) == 3
    for other in (guided, few):  # those that do not sample are as before
        for model in ("climatology", "regression of diffusion"):
            assert pooled(other, "target", model, "salinity") == pooled(usual, "target", model, "salinity")


def test_a_sampling_that_cannot_be_is_refused_before_any_row(runs: Runs, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(contenders.Contender, "estimated", lambda *_: pytest.fail("it has worked already"))
    for chosen, given, match in (
        ("climatology", {"sampling": Sampling(guidance=1.0)}, "none of these runs is one: leave guidance out"),
        ("diffusion", {"sampling": Sampling(guidance=-1.0)}, "guidance=-1.0: give 0"),
        ("diffusion", {"sampling": Sampling("ddim", 2000)}, "cannot take 2,000"),
        ("diffusion", {"sha256": ["0" * 64] * 2}, r"2 checksums \(--sha256\) of 1 runs: give one for each"),
    ):
        with pytest.raises(ConfigError, match=match):
            evaluate([runs[chosen]], device="cpu", **given)
    with pytest.raises(OutputError, match=r"and 000000000000\.\.\. was expected"):
        evaluate([runs["diffusion"]], device="cpu", sha256=["0" * 64])
