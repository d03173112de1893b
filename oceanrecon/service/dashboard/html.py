"""The parts of the page that are text, as HTML. What comes from a job is escaped: a file name can be a script."""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterable, Mapping
from html import escape
from typing import Any

from oceanrecon.service.dashboard.cells import STATES
from oceanrecon.service.dashboard.state import Job
from oceanrecon.service.dashboard.words import UNKNOWN, duration, moment, number, size

#: Colours of the states of blocks, in the map too; told apart by lightness as well as by hue.
COLOURS = {"kept": "#86b9c9", "done": "#04627f", "failed": "#c0392b", "waiting": "#e3e8ea"}
_WORDS = {"kept": "kept from before", "done": "done", "failed": "failed", "waiting": "waiting"}

STYLE = """
:host { --ink: #1d2327; --soft: #5c676f; --line: #dfe3e5; --card: #fff; --accent: #04627f; --bad: #b3261e;
  color: var(--ink); font: 14px/1.45 system-ui, Helvetica, Arial, sans-serif; }
.bk-clearfix { width: 100%; }
h1 { font-size: 1.35rem; margin: .2rem 0 0; } h2 { font-size: 1.05rem; margin: 1.1rem 0 .35rem; font-weight: 600; }
p { margin: .2rem 0 .5rem; color: var(--soft); } a { color: var(--accent); }
code { font: 12.5px/1.5 ui-monospace, "DejaVu Sans Mono", monospace; overflow-wrap: anywhere; }
pre { background: #f1f3f4; border-radius: .4rem; padding: .7rem .9rem; margin: .5rem 0; overflow-x: auto; }
.chip { display: inline-block; border-radius: 1rem; padding: 0 .6rem; font-size: 12px; line-height: 1.6;
  background: #e3e8ea; }
.chip.running { background: #d3e8ef; color: #034a60; } .chip.complete { background: #d6ecdc; color: #1c5a2f; }
.chip.incomplete { background: #f8e6c6; color: #6d4a00; }
.chip.failed, .chip.silent { background: #f7d9d5; color: #8c1d13; }
.bar { display: flex; height: .8rem; border-radius: .4rem; overflow: hidden; background: #e3e8ea; min-width: 5rem; }
.bar.big { height: 1.1rem; margin: .5rem 0 .3rem; } .bar i { display: block; min-width: 0; }
.legend span { margin-right: 1.1rem; white-space: nowrap; } .legend i { display: inline-block; width: .75rem;
  height: .75rem; border-radius: .15rem; margin-right: .35rem; vertical-align: -1px; }
.tiles { display: grid; grid-template-columns: repeat(auto-fit, minmax(10.5rem, 1fr)); gap: .6rem;
  margin: .8rem 0 .2rem; }
.tiles > div { background: var(--card); border: 1px solid var(--line); border-radius: .5rem; padding: .5rem .8rem; }
.tiles dt, .tiles small { color: var(--soft); font-size: 12px; } .tiles dd { margin: 0; font-size: 1.15rem; }
.tiles .bar { height: .3rem; margin: .25rem 0; }
.bad { color: var(--bad); }
.note { border-left: 3px solid var(--bad); background: #fbeeec; padding: .4rem .8rem; margin: .6rem 0;
  border-radius: .2rem; overflow-wrap: anywhere; }
table { border-collapse: collapse; width: 100%; font-size: 13px; font-variant-numeric: tabular-nums; }
th, td { text-align: left; padding: .3rem .6rem; border-bottom: 1px solid var(--line); white-space: nowrap; }
th { color: var(--soft); font-weight: 600; font-size: 12px; } tr.chosen td { background: #eef5f7; }
.number { text-align: right; } .long { white-space: normal; overflow-wrap: anywhere; width: 70%; }
.cut { max-width: 22rem; overflow: hidden; text-overflow: ellipsis; } .wide { min-width: 11rem; width: 30%; }
.scroll { max-height: 19rem; overflow: auto; }
@media (max-width: 1000px) { .second { display: none; } .cut { max-width: 12rem; } }
@media (max-width: 640px) { .third { display: none; } }
"""

_HOW = """
<h1>Exports</h1>
<p>No export has been submitted to this scheduler since it started. Submit one from any machine that reaches it:</p>
<pre><code>oceanrecon submit export.yaml --scheduler {address}</code></pre>
<p>Its progress by product and date, its rate, what is left and what failed are shown here while it runs.
Jobs that an earlier scheduler ran are recorded beside their outputs: <code>oceanrecon jobs OUTPUT</code> lists them,
and <code>oceanrecon resume JOB</code> completes one.</p>
"""


def empty(address: str) -> str:
    """What to do where there is no job yet."""
    return _HOW.format(address=escape(address))


def summary(jobs: Iterable[Job]) -> str:
    """The heading: how many jobs there are in each state."""
    count: dict[str, int] = {}
    for job in jobs:
        count[job.record["state"]] = count.get(job.record["state"], 0) + 1
    words = " · ".join(f"{count[state]} {state}" for state in _ORDER if state in count)
    return f"<h1>Exports</h1><p>{words}</p>"


_ORDER = ("running", "queued", "complete", "incomplete", "cancelled", "failed")


def active(jobs: Iterable[Job], chosen: Job | None, now: float) -> str:
    """The table of jobs that have not ended."""
    rows = "".join(_active_row(job, job is chosen, now) for job in jobs)
    if not rows:
        return ""
    head = _head(
        ("Job", ""), ("State", ""), ("Output", "third"), ("By", "second"), ("Started", "second"), ("Progress", ""),
        ("Dates per hour", "second number"), ("Failed", "number third"), ("Time left", "number"),
    )  # fmt: skip
    return f"<table>{head}{rows}</table>"


def ended(jobs: Iterable[Job], chosen: Job | None) -> str:
    """The table of jobs that have ended, the newest first."""
    rows = "".join(_ended_row(job, job is chosen) for job in jobs)
    if not rows:
        return ""
    head = _head(
        ("Job", ""), ("State", ""), ("Output", "third"), ("By", "second"), ("Ended", ""), ("Progress", "second"),
        ("Written", "number second"), ("Failed", "number"),
    )  # fmt: skip
    return f"<h2>Ended</h2><div class='scroll'><table>{head}{rows}</table></div>"


def detail(job: Job, driver: str | None, now: float) -> str:
    """The chosen job in words and numbers; ``driver`` is the state of its driver's task, ``None`` without one."""
    record = job.record
    totals = job.totals()
    blocks = sum(totals.values())
    made = totals["done"] + totals["kept"]
    share = f"{100 * made / blocks:.1f} %" if blocks else UNKNOWN
    clock = dt.datetime.fromtimestamp(now, dt.UTC)
    facts = [f"to <code>{escape(record['output'])}</code>", f"by {escape(record['who'])}"]
    if record["started_utc"]:
        facts.append(f"started {moment(record['started_utc'], clock)}")
    if record["driver"] and not job.ended:
        facts.append(f"driven from {escape(record['driver'])}")
    if record["starts"] > 1:
        facts.append(f"begun {record['starts']} times")
    legend = "".join(
        f"<span><i style='background:{COLOURS[state]}'></i>{number(totals[state])} {_WORDS[state]}</span>"
        for state in COLOURS
    )
    return (
        f"<h2>Job {escape(job.id)} {_chip(job, now)}</h2><p>{' · '.join(facts)}</p>"
        f"{_trouble(job, driver, now)}"
        f"{_bar(totals, 'big')}"
        f"<p class='legend'><b>{number(made)} of {number(blocks)} blocks, {share}</b> &emsp;{legend}</p>"
        f"{_tiles(job, now, clock)}"
    )


def failures(job: Job) -> str:
    """What failed, the newest first, and what was set aside."""
    aside = job.record["set_aside"]
    text = ""
    if aside:
        named = ", ".join(escape(name) for name in aside[:20]) + (" and more" if len(aside) > 20 else "")
        text += (
            f"<h2>Set aside</h2><p>These blocks killed the workers that tried them again and again: {named}. The rest "
            "of the job does not wait for them.</p>"
        )
    if job.failures:
        shown = list(reversed(job.failures.values()))[:50]
        total = max(job.record["failure_count"], len(job.failures))
        rows = "".join(_failure_row(failure) for failure in shown)
        head = _head(("Date", ""), ("Variable", ""), ("Product", "third"), ("What happened", ""))
        more = f" <small>the newest {len(shown)} of {number(total)}</small>" if total > len(shown) else ""
        text += f"<h2>Failures{more}</h2><div class='scroll'><table>{head}{rows}</table></div>"
    return text


def missing(job: str) -> str:
    """The page was asked for a job that is not known here."""
    return (
        f"<div class='note'>This scheduler knows no job {escape(job)}. An earlier one may have run it: its record is "
        "beside its output, and <code>oceanrecon jobs OUTPUT</code> shows it.</div>"
    )


def _trouble(job: Job, driver: str | None, now: float) -> str:
    notes = [job.record["message"]] if job.record["message"] else []
    silent = job.silent(now)
    if silent is not None:
        where = {
            None: f"Its driver is not on this scheduler any more: `oceanrecon resume {job.id}` completes the job.",
            "processing": "Its driver is on a worker that does not answer; when that is gone, another begins it.",
        }.get(driver, "Its driver waits for a worker.")
        notes.append(f"Nothing was heard of this job for {duration(silent)}. {where}")
    elif job.record["state"] == "queued" and driver in ("queued", "no-worker", "waiting"):
        notes.append("The job waits for a free worker.")
    return "".join(f"<div class='note'>{_code(escape(note))}</div>" for note in notes)


def _code(text: str) -> str:
    """What is between backquotes, as code."""
    parts = text.split("`")
    if len(parts) % 2 == 0:
        return text
    return "".join(f"<code>{part}</code>" if index % 2 else part for index, part in enumerate(parts))


def _tiles(job: Job, now: float, clock: dt.datetime) -> str:
    record, plan = job.record, job.record["plan"]
    overall = job.overall(now)
    shown, over = (overall, "over all") if job.ended else (job.recent(now), "last 5 min")
    dates, speed, dates_note, speed_note = UNKNOWN, UNKNOWN, over, over
    if shown is not None:
        dates, speed = number(shown.dates_per_hour), _speed(shown.bytes_per_second)
    if overall is not None and not job.ended:
        dates_note += f"; {number(overall.dates_per_hour)} over all"
        speed_note += f"; {_speed(overall.bytes_per_second)} over all"
    peak, planned, failed = job.peak_memory, plan["task_memory_bytes"], record["failure_count"]
    above = bool(planned) and peak > planned
    fill = _part(COLOURS["failed" if above else "done"], min(peak / planned, 1.0) if planned else 0.0)
    memory = f"<div class='bar'>{fill}</div>of {size(planned)} planned{': above the plan' if above else ''}"
    tiles = [
        ("Dates per hour", dates, dates_note),
        ("Throughput", speed, speed_note),
        _time_tile(job, now, clock),
        ("Written", size(record["bytes_written"]), _of_all(job)),
        ("Largest memory of a worker", _flag(size(peak), above), memory),
        ("Failed blocks", _flag(number(failed), failed), _aside(record)),
    ]
    cells = "".join(f"<div><dt>{name}</dt><dd>{value}</dd><small>{note}</small></div>" for name, value, note in tiles)
    return f"<dl class='tiles'>{cells}</dl>"


def _of_all(job: Job) -> str:
    """What a job writes in all since its driver began, as are the bytes that it has written."""
    totals, planned = job.totals(), job.record["plan"]["output_bytes"]
    kept, blocks = totals["kept"], sum(totals.values())
    if not kept:
        return f"of about {size(planned)}"
    return f"of about {size(planned * (blocks - kept) / blocks)} since its driver began"


def _time_tile(job: Job, now: float, clock: dt.datetime) -> tuple[str, str, str]:
    record = job.record
    if job.ended:
        began, end = (record[name] and dt.datetime.fromisoformat(record[name]) for name in ("started_utc", "ended_utc"))
        took = (end - began).total_seconds() if began and end else None
        return "Took", duration(took), f"ended {moment(end, clock)}"
    left = job.left(now)
    ends = f"ends about {moment(clock + dt.timedelta(seconds=left), clock)}" if left is not None else "not known yet"
    return "Time left", duration(left), ends


def _aside(record: Mapping[str, Any]) -> str:
    aside = len(record["set_aside"])
    return f"{number(record['retries'])} tried again; {number(aside)} set aside"


def _active_row(job: Job, chosen: bool, now: float) -> str:
    record, totals, recent = job.record, job.totals(), job.recent(now)
    blocks = sum(totals.values())
    made = totals["done"] + totals["kept"]
    started = moment(record["started_utc"], dt.datetime.fromtimestamp(now, dt.UTC))
    progress = f"{_bar(totals)}<small>{number(made)} of {number(blocks)}</small>"
    return _row(
        chosen,
        ("", _link(job)), ("", _chip(job, now)), ("cut third", escape(record["output"])),
        ("second", escape(record["who"])), ("second", started), ("wide", progress),
        ("number second", number(recent.dates_per_hour) if recent else UNKNOWN),
        ("number third", _flag(number(totals["failed"]), totals["failed"])),
        ("number", duration(job.left(now))),
    )  # fmt: skip


def _ended_row(job: Job, chosen: bool) -> str:
    record, totals = job.record, job.totals()
    made = totals["done"] + totals["kept"]
    end = escape(str(record["ended_utc"] or "").replace("T", " ").rstrip("Z")[:16])
    return _row(
        chosen,
        ("", _link(job)), ("", _chip(job, job.heard)), ("cut third", escape(record["output"])),
        ("second", escape(record["who"])), ("", f"{end} UTC" if end else UNKNOWN),
        ("second", f"{number(made)} of {number(sum(totals.values()))}"),
        ("number second", size(record["bytes_written"])),
        ("number", _flag(number(totals["failed"]), totals["failed"])),
    )  # fmt: skip


def _failure_row(failure: Mapping[str, Any]) -> str:
    date = failure["date"]
    error = f"{escape(failure['error'])}: " if failure["error"] else ""
    return _row(
        False,
        ("", escape(f"{date[:4]}-{date[4:6]}-{date[6:8]}")), ("", escape(failure["variable"])),
        ("third", escape(failure["product"])), ("long", error + _code(escape(failure["message"]))),
    )  # fmt: skip


def _link(job: Job) -> str:
    # followed when the button goes down: the row may be replaced before it comes up
    follow = "if (event.button === 0 && !event.ctrlKey && !event.metaKey) location.assign(this.href)"
    return f"<a href='?job={escape(job.id)}' onpointerdown='{follow}'><code>{escape(job.id)}</code></a>"


def _chip(job: Job, now: float) -> str:
    state = str(job.record["state"])
    chip = f"<span class='chip {escape(state)}'>{escape(state)}</span>"
    return chip if job.silent(now) is None else f"{chip} <span class='chip silent'>silent</span>"


def _bar(totals: Mapping[str, int], kind: str = "") -> str:
    blocks = sum(totals.values()) or 1
    parts = "".join(_part(COLOURS[state], totals[state] / blocks) for state in STATES[1:])
    return f"<div class='bar {kind}'>{parts}</div>"


def _part(colour: str, share: float) -> str:
    return f"<i style='background:{colour};width:{100 * share:.2f}%'></i>"


def _speed(rate: float) -> str:
    return f"{number(rate / 1e6)} MB/s"


def _flag(text: str, wrong: object) -> str:
    """The text, in the colour of what is wrong where it is."""
    return f"<span class='bad'>{text}</span>" if wrong else text


def _head(*columns: tuple[str, str]) -> str:
    return "<tr>" + "".join(f"<th class='{kind}'>{name}</th>" for name, kind in columns) + "</tr>"


def _row(chosen: bool, *cells: tuple[str, str]) -> str:
    return (
        f"<tr{' class=chosen' if chosen else ''}>"
        + "".join(f"<td class='{kind}'>{value}</td>" for kind, value in cells)
        + "</tr>"
    )
