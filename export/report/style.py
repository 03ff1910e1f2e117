"""The style sheet of the report's page, for wide and narrow windows, dark mode and print."""

from __future__ import annotations

from camserve.pages.files import BASE_STYLE

__all__ = ["STYLE"]

_REPORT = """
.verdict { font-size: 14px; font-weight: 600; padding: 2px 12px; border-radius: 20px; color: #fff; background: #1a7f4b;
  white-space: nowrap; }
.verdict.failed { background: #c42b2b; } .verdict.widened { background: #b45309; }
.note.failed { border-color: var(--bad); } .note ul { margin: 2px 0; padding-left: 18px; }
.columns { display: grid; gap: 20px 28px; margin-bottom: 18px; align-items: start; }
.stack > section + section { margin-top: 18px; }
th[scope=rowgroup] { color: var(--faint); font-size: 12px; }
th[scope=rowgroup] { padding-top: 8px; font-weight: 600; color: var(--text); }
td.near { color: var(--near); } td.failed { color: var(--bad); font-weight: 600; }
.batches th:nth-child(n+3) { text-align: right; } .gate ~ details dt { width: 132px; }
.effects th:nth-child(n+2) { text-align: right; }
td.empty, td.unjudged { color: var(--faint); }
.gate { table-layout: fixed; } .gate thead th:first-child { width: 28%; }
.gate th[scope=row] { padding-block: 6px; } .gate td { padding-block: 6px; vertical-align: top; }
.gate th { vertical-align: top; } .gate .line { display: flex; justify-content: space-between; gap: 0 8px;
  flex-wrap: wrap; font-variant-numeric: tabular-nums; line-height: 1.2; margin-bottom: 3px; }
.gate td small { display: block; line-height: 1.25; margin-top: 2px; }
.gate td { color: inherit; } .gate b { font-weight: 400; } .gate .passed b { color: var(--good); }
.gate .near b { color: var(--near); }
.gate .failed b { color: var(--bad); font-weight: 600; } .gate .unjudged b { color: var(--faint); }
.bar { display: block; position: relative; width: 100%; height: 7px; border-radius: 2px;
  background: var(--panel); overflow: hidden; }
.bar i { position: absolute; inset: 0 auto 0 0; background: var(--good); }
.near .bar i { background: var(--near); } .failed .bar i { background: var(--bad); }
.bar::before { content: ""; position: absolute; inset: 0; z-index: 1;
  background: repeating-linear-gradient(90deg, transparent 0 calc(20% - 1px), var(--line) calc(20% - 1px) 20%); }
.bar::after { content: ""; position: absolute; inset: 0 auto 0 80%; width: 2px; margin-left: -2px; z-index: 2;
  background: var(--text); }
.maps figure { display: flex; gap: 12px; margin: 0; padding: 6px 0; border-bottom: 1px solid var(--line); }
.trio { display: flex; gap: 6px; flex: none; } .trio > div { width: 106px; text-align: center; }
.trio small { display: block; line-height: 1.2; }
.trio img { display: block; width: 100%; max-height: 106px; object-fit: contain; border-radius: 4px; }
.absent { height: 106px; margin: 0; display: grid; place-content: center; background: var(--panel); color: var(--faint);
  font-size: 12px; border-radius: 4px; padding: 4px; }
figcaption { min-width: 0; flex: 1; overflow-wrap: anywhere; line-height: 1.3; }
figcaption small { display: block; } figcaption dl { margin-top: 4px; font-variant-numeric: tabular-nums; }
.scale { display: flex; align-items: center; gap: 6px; margin-top: 4px; font-size: 12px; white-space: nowrap; }
.scale i { flex: 1; max-width: 96px; height: 8px; border-radius: 2px; }
dl { margin: 0; } dl div { display: flex; gap: 10px; padding: 3px 0; border-bottom: 1px solid var(--line); }
figcaption dl div { border: 0; padding: 0; gap: 0 6px; font-size: 12px; flex-wrap: wrap; }
figcaption dd { white-space: nowrap; }
dt { flex: none; width: 98px; color: var(--faint); } dd { margin: 0; min-width: 0; overflow-wrap: anywhere; flex: 1; }
figcaption dt { width: auto; }
.pair { display: grid; grid-template-columns: 1fr 1fr; gap: 18px; } .pair > div { min-width: 0; }
.counts td { padding-right: 8px; border: 0; padding-block: 1px; overflow-wrap: anywhere; font-size: 13px; }
.counts td.count { width: 28%; vertical-align: middle; }
.counts i { display: block; height: 7px; background: var(--faint); opacity: .55; border-radius: 2px; min-width: 2px; }
.digest { display: block; overflow: hidden; text-overflow: ellipsis; }
.files { table-layout: fixed; } .files td, .files th { white-space: nowrap; overflow: hidden; text-overflow: ellipsis; }
.files th:nth-child(2) { width: 84px; text-align: right; }
.chips { display: flex; flex-wrap: wrap; gap: 4px; margin-top: 8px; }
.chips span { background: var(--panel); border-radius: 4px; padding: 1px 7px; font-size: 12px; white-space: nowrap; }
.counts + details { font-size: 13px; }
.quality { margin-bottom: 18px; } .charts figure { margin: 0; }
.charts svg { display: block; width: 100%; max-width: 400px; }
.charts text { font-size: 11px; fill: var(--faint); } .charts .grid { stroke: var(--line); }
.charts polyline { fill: none; stroke-width: 2; } .charts .keras { stroke: var(--near); stroke-width: 4; opacity: .6; }
.charts .export { stroke: var(--good); } .charts .random { stroke: var(--faint); stroke-dasharray: 4 3; }
.keys { display: flex; flex-wrap: wrap; gap: 2px 16px; font-size: 12px; }
.key::before { content: ""; display: inline-block; width: 18px; border-top: 2px solid; margin-right: 6px;
  vertical-align: middle; }
.key.keras::before { border-top: 4px solid var(--near); opacity: .6; }
.key.export::before { border-color: var(--good); }
.key.random::before { border-top-style: dashed; border-color: var(--faint); }
@media (min-width: 1180px) { .columns { grid-template-columns: minmax(0, 11fr) minmax(0, 9fr); } }
@media (max-width: 640px) {
  .pair { grid-template-columns: 1fr; }
  .gate thead th:first-child { display: none; } .gate tr { display: flex; flex-wrap: wrap; gap: 0 14px; padding: 5px 0;
    border-bottom: 1px solid var(--line); }
  .gate th, .gate td { border: 0; padding: 0; flex: 1 1 120px; min-width: 0; } .gate th[scope=row] { width: auto;
    flex: 1 0 100%; padding: 0 0 2px; font-weight: 600; } .gate td { padding: 0; }
  .maps figure { display: block; } .trio { width: 100%; } .trio > div { flex: 1; width: auto; }
  .trio img, .absent { max-height: 130px; } figcaption { margin-top: 4px; }
}
@media print { body { max-width: none; font-size: 11px; } details::details-content { content-visibility: visible; } }
"""

STYLE = f"{BASE_STYLE}{_REPORT}"
