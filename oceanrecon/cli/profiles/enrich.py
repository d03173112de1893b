"""``oceanrecon profiles plan`` and ``enrich``: from profile files to the enriched store."""

from __future__ import annotations

from rich.filesize import decimal as file_size
from rich.markup import escape

from oceanrecon.cli.common import (
    ConfigPath,
    JsonOption,
    OverwriteOption,
    ResumeOption,
    SchedulerOption,
    SetOption,
    TlsOption,
    console,
    duration,
    facts,
    show_json,
    show_notes,
    table,
)
from oceanrecon.cli.on_cluster import end_with, on_cluster, show_result


def plan_command(config: ConfigPath, overrides: SetOption = None, as_json: JsonOption = False) -> None:
    """Show what `profiles enrich` would do and what it costs; writes nothing.

    Example: `oceanrecon profiles plan configs/profiles.yaml`
    """
    from oceanrecon.config import load_settings
    from oceanrecon.pipeline.profiles.plan import plan_profiles
    from oceanrecon.profile_config import ProfilesSettings

    planned = plan_profiles(load_settings(ProfilesSettings, config, tuple(overrides or ())))
    found = planned.summary()
    if as_json:
        show_json(found)
        return
    months = f"{found['months']}, {found['first_month']} to {found['last_month']}" if found["months"] else "none"
    argo = ", ".join(f"{count:,} {reason}" for reason, count in found["argo_profiles"].items())
    facts(
        {
            "output": found["output"],
            "months": months,
            "EN4": f"{found['en4_files']} files",
            "Argo": f"{found['argo_files']} files, profiles: {argo or 'none'}",
            "depth": f"{found['levels']} levels",
            "quality": found["quality"],
            "fields": ", ".join(f"{name} {count} files" for name, count in found["products"].items()) or "none",
            "to read": f"{file_size(found['bytes_of_profiles'])} of profiles, {file_size(found['bytes_of_fields'])} of "
            "fields at most",
            "estimate": f"{duration(found['cpu_seconds'])} of CPU, at most "
            f"{file_size(found['peak_memory_per_worker'])} per worker",
        }
    )
    show_notes(found["notes"])
    if planned.failures:
        rows = [(failure.name, escape(failure.message)) for failure in planned.failures]
        table(f"{len(rows)} that cannot be made", ["what", "why"], rows)


def enrich_command(
    config: ConfigPath,
    scheduler: SchedulerOption = None,
    tls: TlsOption = None,
    resume: ResumeOption = False,
    overwrite: OverwriteOption = False,
    overrides: SetOption = None,
    as_json: JsonOption = False,
) -> None:
    """Align EN4 and Argo profiles to the model's depths, and sample the gridded products beside them.

    Stopping it at any time does no harm: run it again with `--resume`.

    Example: `oceanrecon profiles enrich configs/profiles.yaml --set quality=strict`
    """
    from oceanrecon.profile_config import ProfilesSettings
    from oceanrecon.service.profiles import enrich_profiles

    result = on_cluster(
        enrich_profiles, ProfilesSettings, config, overrides, "steps",
        scheduler=scheduler, tls=tls, resume=resume, overwrite=overwrite, silent=as_json,
    )  # fmt: skip
    if as_json:
        show_result(result)
    else:
        show_notes(result.notes)
        console.print(
            f"{result.profiles:,} profiles in {result.store}: {result.months_made} months made, {result.months_kept} "
            f"kept, {result.shards_written} shards written: {file_size(result.bytes_written)} in "
            f"{duration(result.wall_seconds)} ({duration(result.cpu_seconds)} of CPU, at most "
            f"{file_size(result.peak_memory)} per worker)",
            soft_wrap=True,
        )
        counts = [(name, f"{count:,}") for name, count in result.counts.items()]
        table("profiles", ["what became of them", "how many"], counts)
        console.print(f"see `oceanrecon profiles inspect {result.output}`", soft_wrap=True)
    end_with([(failure.name, failure.message) for failure in result.failures], "what", silent=as_json)
