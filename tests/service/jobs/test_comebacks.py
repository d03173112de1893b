"""Risk: what was given up comes back, and undoes or repeats what others have done since."""

from __future__ import annotations

import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from distributed import Client

import oceanrecon
from oceanrecon.errors import LeaseError
from oceanrecon.pipeline import export as exporting
from oceanrecon.pipeline.make import make_block
from oceanrecon.pipeline.tasks import MayPass, _timed
from oceanrecon.pipeline.verify import verify
from oceanrecon.service.jobs import control
from oceanrecon.service.jobs.control import cancel_job
from oceanrecon.service.jobs.driver import run_job
from oceanrecon.service.jobs.submit import begin
from oceanrecon.stores.files import Root
from oceanrecon.stores.jobs import ended, read_record, write_record
from oceanrecon.stores.lease import Lease, current
from oceanrecon.stores.memory import forget_peak, peak_memory
from tests.archives import files_of, settings
from tests.service.jobs.test_driver import ready


def test_blocks_of_an_earlier_driver_of_the_same_job_write_nothing(
    archive: Path, tmp_path: Path, client: Client, exported: Path
) -> None:
    planned, job, root = ready(archive, tmp_path / "export", client)
    earlier = Lease.take(root, job.id).hold
    late: list[Any] = []

    def wake(*_: object) -> None:
        if not late:
            block = planned.blocks[0]
            late.append(_timed(earlier, make_block, block, planned.recipe, 0)[0])
            late.append(_timed(earlier, exporting._try_mask, block, planned.recipe)[0])
            gone = replace(block, sources=tuple(replace(source, path="/nowhere.nc") for source in block.sources))
            late.append(_timed(earlier, make_block, gone, planned.recipe, 0)[0])

    assert run_job(planned, client, job.id, driver="tcp://worker", on_progress=wake).record.state == "complete"
    assert isinstance(late[0], LeaseError) and isinstance(late[1], LeaseError) and late[2].error == "SourceError"
    assert files_of(tmp_path / "export", "rasters", "dense.zarr") == files_of(exported, "rasters", "dense.zarr")


def test_a_job_is_not_complete_where_something_that_it_made_is_gone(
    archive: Path, tmp_path: Path, client: Client
) -> None:
    planned, job, root = ready(archive, tmp_path / "export", client)

    def remove(*_: object) -> None:
        for path in root.list("receipts/adt")[:1]:
            root.remove(path)

    driven = run_job(planned, client, job.id, on_progress=remove)
    assert driven.record.state == "incomplete"
    assert all("its receipt is gone" in failure["message"] for failure in driven.record.failures)
    assert driven.record.total("done") + driven.record.total("failed") == planned.tasks
    assert 1 <= driven.record.failure_count == len(driven.record.failures)
    assert oceanrecon.export(settings(archive, root.url), client=client, resume=True).complete


def test_an_export_without_a_land_mask_is_not_complete(
    archive: Path, tmp_path: Path, client: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    planned, job, root = ready(archive, tmp_path / "export", client)
    with monkeypatch.context() as patched:
        patched.setattr(exporting, "_land_mask", lambda *_: None)
        record = run_job(planned, client, job.id).record
    assert record.state == "incomplete" and "no land mask" in record.message
    assert oceanrecon.export(settings(archive, root.url), client=client, resume=True).complete
    assert verify(root.url).good


def test_a_mask_waits_for_a_server_that_is_away(monkeypatch: pytest.MonkeyPatch) -> None:
    def away(*_: object) -> None:
        raise ConnectionResetError("cut")

    monkeypatch.setattr(exporting, "make_land_mask", away)
    assert exporting._try_mask(None, None) == MayPass("cut")  # type: ignore[arg-type]


def test_a_driver_that_is_run_again_after_the_end_does_nothing(archive: Path, tmp_path: Path, client: Client) -> None:
    planned, job, root = ready(archive, tmp_path / "export", client)
    done = run_job(planned, client, job.id, driver="tcp://worker").record
    other = Lease.take(root, "0ther000")
    again = run_job(planned, client, job.id, driver="tcp://worker")
    assert again.record == done == read_record(root, job.id) and other.held()


def test_a_driver_of_an_earlier_time_leaves_the_job_to_the_later_one(
    archive: Path, tmp_path: Path, client: Client
) -> None:
    planned, job, _ = ready(archive, tmp_path / "export", client)
    small = replace(planned, blocks=planned.blocks[:3])
    later, planned = begin(planned, client, job.id, resume=True, overwrite=False, before=job)
    assert (job.handed, later.handed) == (1, 2)
    assert run_job(small, client, job.id, handed=1, driver="tcp://old").record.state == "queued"
    record = run_job(planned, client, job.id, handed=2, driver="tcp://new").record
    assert (record.state, record.total("done")) == ("complete", planned.tasks)


def test_a_driver_leaves_an_output_alone_that_is_half_emptied(archive: Path, tmp_path: Path, client: Client) -> None:
    planned, job, root = ready(archive, tmp_path / "export", client)
    root.write(".overwriting", b"")
    record = run_job(planned, client, job.id, driver="tcp://worker").record
    assert record.state == "failed" and "was being emptied" in record.message
    assert not root.list("receipts")


def test_a_job_that_ends_while_it_is_cancelled_has_ended(
    archive: Path, tmp_path: Path, client: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    _, job, root = ready(archive, tmp_path / "export", client)

    class Later(Lease):
        @classmethod
        def take(cls, root: Root, holder: str, **more: Any) -> Lease:
            write_record(root, ended(read_record(root, holder), "complete"))
            return Lease.take(root, holder, **more)

    monkeypatch.setattr(control, "Lease", Later)
    assert cancel_job(root.url, job.id).state == "complete"
    assert current(root) is None


def test_bad_files_are_not_discarded_under_a_job(exported: Path, tmp_path: Path) -> None:
    output = tmp_path / "export"
    shutil.copytree(exported, output)
    raster = next(output.glob("rasters/*/adt/*.tif"))
    raster.write_bytes(b"")
    lease = Lease.take(Root(str(output)), "0ther000")
    with pytest.raises(LeaseError, match="0ther000"):
        verify(str(output), discard_bad=True)
    assert not verify(str(output)).good
    lease.release()
    verify(str(output), discard_bad=True)
    assert len(list(output.glob("receipts/adt/*"))) == len(list(exported.glob("receipts/adt/*"))) - 1


def test_the_memory_of_a_block_is_its_own() -> None:
    held = np.ones(50_000_000)
    before = peak_memory()
    del held
    forget_peak()
    assert peak_memory() < before - 300_000_000
