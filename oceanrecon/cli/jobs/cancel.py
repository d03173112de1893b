"""``oceanrecon cancel``: stops a job."""

from __future__ import annotations

from oceanrecon.cli.common import JsonOption, console, errors, show_json
from oceanrecon.cli.jobs.common import JobName, PlaceOption, coloured, facts_of, remedy


def cancel_command(job: JobName, place: PlaceOption = None, as_json: JsonOption = False) -> None:
    """Stop a job within seconds; what is finished stays, and `resume` goes on from there.

    Example: `oceanrecon cancel 3f9a0c12`
    """
    from oceanrecon.service.jobs.control import cancel_job
    from oceanrecon.service.jobs.find import find_job

    before = find_job(job, place)
    found = before.record
    if before.state == "running" and not as_json:
        on = f"its driver on {found.driver}" if found.driver else f"`oceanrecon export` of {found.who}"
        errors.print(f"job {found.id} is asked to stop; waiting for {on} to say that it has", soft_wrap=True)
    seen = cancel_job(found.output, found.id)
    if as_json:
        show_json(facts_of(seen.record, seen.state))
        return
    console.print(
        f"job {seen.record.id} is {coloured(seen.state)}; {remedy(seen.record, seen.state)}".rstrip("; "),
        soft_wrap=True,
    )
