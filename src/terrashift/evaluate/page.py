"""The outcome as one self-contained HTML page: tables that can be sorted, figures inside, nothing fetched."""

from __future__ import annotations

import base64
import io
import math
from collections.abc import Iterable, Mapping, Sequence

from ..analyse.metrics import METRICS, metric_of
from ..core.text import markup
from .figures import Drawing
from .run import Outcome, Record
from .table import BETTER_LOW, COST, groups_in, heading, rows, shown

DOTS_PER_INCH = 110
HALF_INCHES = 7.0
"""Wider figures have a line of their own."""
STYLE = """
:root { color-scheme: light; --ink: #1b1f24; --soft: #5c6670; --line: #d9dee3; --best: #e3f3ea; --head: #f5f7f9; }
* { box-sizing: border-box; }
body { font: 15px/1.5 system-ui, "Segoe UI", Roboto, sans-serif; color: var(--ink); margin: 0 auto; max-width: 1180px;
  padding: 2rem 1.5rem 4rem; }
h1 { font-size: 1.7rem; margin: 0 0 .3rem; } h2 { margin: 2.6rem 0 .3rem; padding-top: .6rem;
  border-top: 2px solid var(--ink); text-transform: capitalize; } h3 { margin: 1.4rem 0 .4rem; font-size: 1rem; }
p { margin: .3rem 0; } .soft { color: var(--soft); font-size: .86rem; }
code { font-size: .85em; background: var(--head); padding: .1em .35em; border-radius: 3px; overflow-wrap: anywhere; }
nav a { margin-right: 1rem; } a { color: #0b5cad; }
.wide { overflow-x: auto; } table { border-collapse: collapse; font-variant-numeric: tabular-nums; font-size: .85rem; }
th, td { padding: .3rem .6rem; border-bottom: 1px solid var(--line); text-align: right; white-space: nowrap; }
th { white-space: normal; vertical-align: bottom; min-width: 4.5rem; }
th:first-child, td:first-child { text-align: left; position: sticky; left: 0; background: #fff; }
thead th, thead th:first-child { background: var(--head); cursor: pointer; user-select: none; }
td.best { background: var(--best); font-weight: 600; } td small { color: var(--soft); }
figure { margin: 1.2rem 0; } figure img { max-width: 100%; height: auto; border: 1px solid var(--line); }
figure.half { display: inline-block; vertical-align: top; width: 49%; padding-right: 1%; }
figcaption { color: var(--soft); font-size: .86rem; }
@media print { body { max-width: none; padding: 0; } nav { display: none; } figure, table { break-inside: avoid; } }
"""
SORT = """
for (const head of document.querySelectorAll("thead th")) head.addEventListener("click", () => {
  const table = head.closest("table"), at = head.cellIndex, body = table.tBodies[0];
  const up = head.dataset.up !== "1";
  for (const other of table.querySelectorAll("thead th")) delete other.dataset.up;
  head.dataset.up = up ? "1" : "0";
  const value = row => { const v = row.cells[at].dataset.v; return v === undefined ? row.cells[at].textContent : v; };
  [...body.rows].sort((a, b) => {
    const p = value(a), q = value(b), x = parseFloat(p), y = parseFloat(q);
    const order = isNaN(x) && isNaN(y) ? p.localeCompare(q) : isNaN(x) ? 1 : isNaN(y) ? -1 : x - y;
    return up ? order : -order;
  }).forEach(row => body.append(row));
});
"""


def page(outcome: Outcome, headlines: Mapping[str, Sequence[str]], against: str, figures: Iterable[Drawing]) -> str:
    """HTML; ratios to `against` stand in brackets, the best number of a column is marked."""
    by_suite: dict[str, list[str]] = {}
    for drawing in figures:
        by_suite.setdefault(drawing.suite, []).append(_figure(drawing))
    facts = outcome.facts
    parts = [
        f"<h1>Evaluation</h1><p class=soft>TerraShift {markup(facts['settings']['version'])}, {markup(facts['when'])}, "
        f"{markup(facts['machine'])}</p><p><code>{markup(facts['command'])}</code></p>",
        "<nav>" + "".join(f'<a href="#{markup(s)}">{markup(s)}</a>' for s in headlines) + "</nav>",
        f"<p class=soft>In brackets: over {markup(against)} on the same cases. Marked: best of a column. Click a "
        "heading to sort.</p>",
    ]
    for suite, headline in headlines.items():
        of_suite = [record for record in outcome.records if record.suite == suite]
        parts.append(
            f'<h2 id="{markup(suite)}">{markup(suite)}</h2><p>{markup(facts["suites"][suite].capitalize())}.</p>'
        )
        for group in groups_in(of_suite):
            records = [record for record in of_suite if record.group == group]
            cases = len({record.case for record in records})
            parts.append(f"<h3>{markup(group)} <span class=soft>({cases} case{'s' if cases > 1 else ''})</span></h3>")
            parts.append(_table(records, headline, against))
        parts += by_suite.get(suite, [])
    parts += [_failures(outcome.records), _glossary(headlines)]
    return (
        '<!doctype html><html lang="en"><head><meta charset="utf-8"><meta name="viewport" content="width=device-width">'
        f"<title>TerraShift evaluation</title><style>{STYLE}</style></head><body>{''.join(parts)}"
        f"<script>{SORT}</script></body></html>\n"
    )


def _table(records: Sequence[Record], headline: Sequence[str], against: str) -> str:
    columns = (*headline, *COST)
    found = rows(records, headline, against)
    best = [_best([cells[k][0] for _, cells in found], metric) for k, metric in enumerate(columns)]
    head = "".join(
        f'<th title="{markup(metric_of(metric).meaning)}">{markup(heading(metric))}</th>' for metric in columns
    )
    lines = []
    for method, cells in found:
        texts = []
        for k, ((value, other), metric) in enumerate(zip(cells, columns, strict=True)):
            ratio = f" <small>({other:.2f})</small>" if math.isfinite(other) else ""
            mark = " class=best" if math.isfinite(value) and value == best[k] else ""
            data = f' data-v="{value:.6g}"' if math.isfinite(value) else ' data-v=""'
            texts.append(f"<td{mark}{data}>{shown(value, metric)}{ratio}</td>")
        lines.append(f"<tr><td>{markup(method)}</td>{''.join(texts)}</tr>")
    head = f"<thead><tr><th>method</th>{head}</tr></thead>"
    return f'<div class="wide"><table>{head}<tbody>{"".join(lines)}</tbody></table></div>'


def _best(values: Sequence[float], metric: str) -> float | None:
    """The least of a column where less is better."""
    known = [value for value in values if math.isfinite(value)]
    return min(known) if len(known) > 1 and metric.startswith(BETTER_LOW) else None


def _figure(drawing: Drawing) -> str:
    memory = io.BytesIO()
    drawing.figure.savefig(memory, format="png", dpi=DOTS_PER_INCH)
    data = base64.b64encode(memory.getvalue()).decode()
    kind = "" if drawing.figure.get_figwidth() > HALF_INCHES else ' class="half"'
    return (
        f'<figure{kind}><img alt="{markup(drawing.caption)}" src="data:image/png;base64,{data}">'
        f"<figcaption>{markup(drawing.caption)}</figcaption></figure>"
    )


def _failures(records: Iterable[Record]) -> str:
    items = [
        f"<li>{markup(r.method)} on {markup(r.suite)}, {markup(r.case)}: {markup(r.failed)}</li>"
        for r in records
        if r.failed
    ]
    return f"<h2>No answer</h2><ul>{''.join(items)}</ul>" if items else ""


def _glossary(headlines: Mapping[str, Sequence[str]]) -> str:
    """What the numbers mean."""
    used = dict.fromkeys(name for headline in headlines.values() for name in headline)
    kinds = dict.fromkeys(name if name in METRICS else name.rpartition("_")[0] for name in (*used, *COST))
    items = []
    for kind in kinds:
        found = METRICS[kind]
        paper = f" [{markup(found.paper)}]" if found.paper else ""
        items.append(f"<li><b>{markup(found.title)}</b> ({markup(found.unit)}): {markup(found.meaning)}{paper}</li>")
    return f"<h2>What the numbers mean</h2><ul>{''.join(items)}</ul>"
