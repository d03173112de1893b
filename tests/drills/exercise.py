"""A drill: a job is submitted, something goes wrong, and what becomes of the job and of its output is checked."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import oceanrecon
from oceanrecon.config import ExportSettings, dump_settings
from oceanrecon.pipeline.verify import verify
from oceanrecon.service.jobs.find import JobSeen, look
from oceanrecon.stores.files import Root
from oceanrecon.stores.jobs import JobRecord, read_record
from oceanrecon.stores.lease import current
from tests.clocks import wait_for
from tests.drills.observe import DATA, Observer, Reference, manifest, observing
from tests.drills.processes import Cluster, command, ran
from tests.drills.table import Row, asserted

#: Seconds that a drill's job may take.
LONG = 240.0


def undisturbed(settings: ExportSettings, cluster: Cluster) -> Reference:
    """An export to compare with; what it holds was made again from its sources, and is the same."""
    assert oceanrecon.export(settings, scheduler=cluster.address).complete
    assert verify(settings.output, deep=True).good
    return Reference.of(settings.output)


@dataclass
class Job:
    """A job that was submitted, and who watches it."""

    id: str
    settings: ExportSettings
    cluster: Cluster
    observer: Observer
    watch: subprocess.Popen[str]
    env: Mapping[str, str] = field(default_factory=dict)
    prefix: Sequence[str] = ()

    @property
    def root(self) -> Root:
        """Its output, as this process sees it."""
        return self.observer.root

    def record(self) -> JobRecord:
        """Its record."""
        return read_record(self.root, self.id)

    def seen(self) -> JobSeen:
        """What it looks like from outside."""
        return look(_here(self.record(), self.root))

    def wait_for_receipts(self, count: int) -> None:
        """Wait until so many blocks are made."""
        wait_for(lambda: len(self.observer.receipts()) >= count, f"{count} receipts")

    def wait_until_over(self, seconds: float = LONG) -> JobSeen:
        """Wait until nothing happens any more."""
        wait_for(lambda: self.seen().over, f"the end of job {self.id}", seconds)
        return self.seen()

    def wait_for_state(self, state: str, seconds: float = LONG) -> None:
        """Wait until it looks like this from outside."""
        wait_for(lambda: self.seen().state == state, f"job {self.id} to be {state}", seconds)

    def driver(self) -> Any:
        """The process of its driver."""
        address = self.record().driver
        assert address is not None
        return self.cluster.worker(address)

    def command(self, *words: object) -> tuple[int, str, str]:
        """A command of the user."""
        return ran(command(*words, env=self.env, prefix=self.prefix))

    def ends(self, row: Row) -> JobRecord:
        """It ends as the table says, and the user is told so, also in the words of the table."""
        code, out, err = ran(self.watch, LONG)
        if row.ends != "lost" and f"job {self.id} is lost" in out:  # as it was for a while
            code, out, err = self.command("watch", self.id, "--in", self.settings.output)
        self.wait_until_over()
        self.observer.check()
        return self.told(row, code, out, err)

    def told(self, row: Row, code: int, out: str, err: str, more: str = "") -> JobRecord:
        """Its state, and what ``watch`` and others have said of it, are those of the table."""
        seen = self.seen()
        assert seen.state == row.ends, f"{seen.state}, not {row.ends}: {seen.record.message}{self._log()}"
        assert f"job {self.id} is {row.ends}" in out, out + err
        assert code == int(row.ends != "complete")
        if row.ends != "complete":
            assert f"oceanrecon resume {self.id}" in err, err
        told = out + err + self._log() + more
        for words in row.words:
            assert words in " ".join(told.split()), f"{words!r} is not in {told}"
        asserted.append(row)
        return seen.record

    def completes(self) -> None:
        """It goes to its end, and nothing is wrong."""
        code, out, err = ran(self.watch, LONG)
        assert code == 0 and self.seen().state == "complete", out + err
        self.observer.check()

    def resume(self, cluster: Cluster | None = None) -> None:
        """As the user would, on this or another cluster, to the end."""
        self.cluster = cluster or self.cluster
        before = self.observer.receipts()
        code, out, err = self.command(
            "resume", self.id, "--in", self.settings.output, "--scheduler", self.cluster.address, "--json"
        )
        assert code == 0 and json.loads(out)["id"] == self.id, out + err
        seen = self.wait_until_over()
        assert seen.state == "complete", f"{seen.state}: {seen.record.message}{self._log()}"
        kept = seen.record.total("kept")
        assert kept >= len(before), f"{kept} of {len(before)} blocks were kept"

    def check_same(self) -> None:
        """What is there is what an undisturbed run gives, to the byte; nobody holds it, and nothing else is there."""
        self.observer.check()
        check_same(self.root, self.observer.reference, self.id)

    def _log(self) -> str:
        if not self.root.exists(f"jobs/{self.id}/log.jsonl"):
            return ""
        lines = self.root.read(f"jobs/{self.id}/log.jsonl").decode().splitlines()
        return "\n".join(["", *(json.loads(line)["message"] for line in lines)])


def check_same(root: Root, reference: Reference, *jobs: str, woken: bool = False) -> None:
    """An output is what an undisturbed run gives, to the byte; nobody holds it, and nothing else is there."""
    paths = {path for path in root.list() if not path.startswith(("lease", "jobs/"))}
    assert paths == {path for path in reference.root.list() if not path.startswith(("lease", "jobs/"))}
    assert root.read_many([path for path in paths if path.startswith(DATA)]) == reference.files
    assert manifest(root) == reference.manifest
    checked = verify(root.url)
    assert checked.good, checked.problems
    assert current(root) is None, current(root)
    files = {f"jobs/{job}/{name}" for job in jobs for name in ("record.json", "log.jsonl", "report.html")}
    assert {path for path in root.list() if path.startswith("jobs/")} <= files
    if root.local_path is not None:
        staging = root.local_path / ".staging"
        # one that wakes up when others have the output may make the folder, and has no right to remove it
        assert not staging.exists() or (woken and not list(staging.iterdir()))
        # who is killed while it renews a lease leaves a hidden file, which others remove after an hour
        assert len(list((root.local_path / "lease").glob("[!.]*"))) == 1


@contextmanager
def drill(
    folder: Path,
    settings: ExportSettings,
    reference: Reference,
    cluster: Cluster,
    *,
    env: Mapping[str, str] | None = None,
    prefix: Sequence[str] = (),
    seen_at: str | None = None,
    options: Sequence[str] = (),
) -> Iterator[Job]:
    """Submit an export by its command, watch it from another process, and look at its output all the time.

    Args:
        folder: for the settings.
        settings: of the export.
        reference: the undisturbed export.
        cluster: that makes it.
        env: further environment of commands.
        prefix: what runs them.
        seen_at: the output as this process sees it, where that is another place.
        options: further words for ``submit``.
    """
    folder.mkdir(parents=True, exist_ok=True)
    config = folder / "export.yaml"
    config.write_text(dump_settings(settings))
    with observing(seen_at or settings.output, reference) as observer:
        code, out, err = ran(
            command("submit", config, "--scheduler", cluster.address, "--json", *options, env=env, prefix=prefix)
        )
        assert code == 0, out + err
        job = json.loads(out)["id"]
        watch = command("watch", job, "--in", settings.output, env=env, prefix=prefix)
        try:
            yield Job(job, settings, cluster, observer, watch, env or {}, prefix)
        finally:
            cluster.orders.give()
            if watch.poll() is None:
                watch.kill()
            if watch.stdout is not None and not watch.stdout.closed:
                watch.communicate()


def _here(record: JobRecord, root: Root) -> JobRecord:
    from dataclasses import replace

    return replace(record, output=root.url)
