"""Risk: the commands about jobs say less than a user needs, or lie by their exit status."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from pathlib import Path

import pytest
from distributed import Client

from oceanrecon.config import dump_settings
from tests.archives import settings
from tests.conftest import Ran
from tests.service.jobs.harm import harm

Command = Callable[..., Ran]
CLUSTER = Path(__file__).parents[2] / "configs" / "cluster-local.yaml"


@pytest.fixture
def config(archive: Path, tmp_path: Path) -> Path:
    path = tmp_path / "export.yaml"
    path.write_text(dump_settings(settings(archive, tmp_path / "export")))
    return path


@pytest.fixture
def at(client: Client, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> str:
    """A scheduler, named as users name theirs; and jobs of this test alone."""
    assert client.scheduler is not None
    monkeypatch.setenv("OCEANRECON_SCHEDULER", str(client.scheduler.address))
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    return str(client.scheduler.address)


def test_a_job_from_its_submission_to_its_end(command: Command, config: Path, at: str, client: Client) -> None:
    with harm(client, "slow"):
        code, out, _ = command("submit", config)
        assert code == 0
        job = out.split()[0]
        assert re.fullmatch("[0-9a-f]{8}", job) and f"oceanrecon watch {job}" in out
        code, out, err = command("submit", config, "--resume")
        assert code == 1 and job in err and "oceanrecon cancel" in err
        code, out, _ = command("cancel", job[:5])
        assert code == 0 and "cancelled" in out and f"oceanrecon resume {job}" in out
    code, _, err = command("verify", config.parent / "export")
    assert code == 1 and f"its job {job} is cancelled; `oceanrecon resume {job}` goes on" in err.replace("\n", " ")
    code, out, err = command("watch", job)
    assert code == 1 and "is cancelled" in out and f"oceanrecon resume {job}" in err
    code, out, _ = command("resume", job, "--json")
    told = json.loads(out)
    assert code == 0 and told["kept"] + told["left"] == 18 and told["left"] > 0
    code, out, _ = command("watch", job)
    assert code == 0 and "is complete" in out and "0 failed" in out
    code, out, _ = command("resume", job)
    assert code == 0 and f"job {job} is complete: all 18 blocks are there, and nothing was submitted" in out
    code, out, _ = command("jobs", "--json")
    (listed,) = json.loads(out)
    assert (listed["id"], listed["state"], listed["starts"]) == (job, "complete", 2)
    assert job in command("jobs")[1]
    code, out, _ = command("logs", job)
    assert code == 0 and "driver 1 begins" in out and "driver 2 begins" in out
    assert json.loads(command("logs", job, "--json")[1])[-1]["message"] == "complete"
    # an output names its newest job, for whoever never submitted it
    assert json.loads(command("watch", config.parent / "export", "--json")[1])["id"] == job


def test_a_failed_block_is_shown_with_its_reason_and_the_exit_status_says_so(
    command: Command, config: Path, archive: Path, at: str, tmp_path: Path
) -> None:
    from tests.archives import copied, truncate

    mine = copied(archive, tmp_path / "archive")
    truncate(next((mine / "glorys").glob("*20120229*.nc")))
    config.write_text(dump_settings(settings(mine, tmp_path / "export")))
    code, out, _ = command("submit", config, "--json")
    job = json.loads(out)["id"]
    code, out, err = command("watch", job)
    assert code == 1 and "is incomplete" in out and "thetao" in out and "20120229" in out
    assert "mend what is named above" in err


def test_mistakes_are_one_line_with_a_remedy(
    command: Command, config: Path, at: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for arguments, said in (
        (("watch", "3f9a0c12"), "there is no job '3f9a0c12' among the jobs that you submitted from here"),
        (("jobs", tmp_path / "nowhere"), "there is no folder"),
        (("cancel", "3f", "--in", tmp_path), "there is no job '3f' below"),
        (("watch", tmp_path), "has no jobs"),
        (("submit", config, "--scheduler", "tcp://127.0.0.1:9"), "does not answer"),
        (("submit", config, "--set", "window_days=2"), "is even"),
        (("submit", CLUSTER), "has the settings of a cluster (kind: local)"),
    ):
        code, _, err = command(*arguments)
        assert code == 1 and said in err.replace("\n", " ") and "Traceback" not in err, arguments
    assert not (tmp_path / "export").exists()  # nothing of a job that was never taken
    assert "no jobs that you submitted" in command("jobs")[1]
    monkeypatch.delenv("OCEANRECON_SCHEDULER")
    code, _, err = command("submit", config)
    assert code == 2 and "oceanrecon cluster start" in re.sub(r"[\s│]+", " ", err)
