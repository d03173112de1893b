"""``oceanrecon plan``: what an export would do, and what it costs."""

from __future__ import annotations

import shlex

from rich.filesize import decimal as file_size
from rich.markup import escape

from oceanrecon.cli.common import ConfigPath, JsonOption, SetOption, console, duration, facts, show_json, table


def plan_command(config: ConfigPath, overrides: SetOption = None, as_json: JsonOption = False) -> None:
    """Show what an export would do and what it costs; writes nothing.

    Example: `oceanrecon plan configs/export-demo.yaml --set encoding=uint16`
    """
    from oceanrecon.config import ExportSettings, load_settings
    from oceanrecon.pipeline.plan import check_memory, plan
    from oceanrecon.pipeline.recipe import SETTINGS
    from oceanrecon.pipeline.tasks import more_memory
    from oceanrecon.service.connect import worker_count, worker_memory
    from oceanrecon.stores.files import Root

    settings = load_settings(ExportSettings, config, tuple(overrides or ()))
    planned = plan(settings)
    figures = planned.summary()
    if as_json:
        show_json({**figures, "missing": [vars(gap) for gap in planned.missing]})
    else:
        workers = worker_count(settings.cluster)
        facts(
            {
                "output": figures["output"],
                "archive": figures["archive"],
                "grid": f"{figures['grid']}, {figures['levels']} levels, {figures['encoding']}",
                "targets": f"{figures['targets']}: {figures['first_target']} .. {figures['last_target']}",
                "blocks": ", ".join(f"{name} {count}" for name, count in figures["blocks"].items()),
                "left out": ", ".join(planned.left_out) or "nothing",
                "tasks": f"{figures['tasks']:,} (graph {file_size(figures['graph_bytes'])})",
                "to read": f"{file_size(figures['bytes_to_read_uncompressed'])} uncompressed",
                "to write": f"about {file_size(figures['bytes_to_write'])}",
                "work": f"about {duration(figures['cpu_seconds'])} of CPU, "
                f"{duration(figures['cpu_seconds'] / workers)} on {workers} workers of this machine",
                "memory": f"at most {file_size(figures['peak_memory_per_worker'])} per worker",
            }
        )
        for note in figures["notes"]:
            console.print(f"[yellow]note:[/] {escape(note)}", soft_wrap=True)
        if planned.missing:
            rows = [(gap.variable, f"{gap.date}", escape(gap.message)) for gap in planned.missing]
            table(f"{len(rows)} blocks cannot be made", ["variable", "date", "why"], rows)
    check_memory(planned, worker_memory(settings.cluster), more_memory(None))
    if not as_json:
        sets = "".join(f" --set {shlex.quote(override)}" for override in overrides or ())
        there = " --resume" if Root(planned.recipe.output).exists(SETTINGS) else ""
        console.print(
            f"run it with  [bold]oceanrecon export {shlex.quote(config)}{escape(sets)}{there}[/]", soft_wrap=True
        )
