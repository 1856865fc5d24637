/** The style of the report's page, in the light and in the dark. */
export const PAGE_STYLE = `
:root { color-scheme: light dark; --ink: #1c2430; --soft: #5b6675; --line: #d9dee5; --paper: #fff; --card: #fbfcfd;
  --mark: #fff4d6; --good: #2b8a3e; --bad: #c92a2a; }
@media (prefers-color-scheme: dark) {
  :root { --ink: #e3e8ef; --soft: #98a3b3; --line: #343c48; --paper: #14181e; --card: #191f27;
    --mark: #3b3115; --good: #69db7c; --bad: #ff8787; }
}
html { color: var(--ink); }
body { margin: 0; background: var(--paper); font: 15px/1.5 system-ui, sans-serif; }
main { max-width: 1240px; margin: 0 auto; padding: 2rem 1.2rem 4rem; }
h1 { font-size: 1.6rem; margin: 0 0 .3rem; }
h2 { font-size: 1.15rem; margin: 2.2rem 0 .6rem; }
.about { color: var(--soft); margin-top: 0; }
.verdict { font-size: 1.05rem; padding-left: 1.2rem; }
details, figure { border: 1px solid var(--line); border-radius: 8px; background: var(--card); }
details { padding: .5rem .9rem; }
summary { cursor: pointer; font-weight: 600; }
dl { display: grid; grid-template-columns: max-content 1fr; gap: .2rem 1rem; margin: .5rem 0; font-size: .9rem; }
dt { font-weight: 600; }
dd { margin: 0; color: var(--soft); }
.grid { display: grid; grid-template-columns: repeat(auto-fill, minmax(min(540px, 100%), 1fr)); gap: 1.2rem; margin-top: 1.2rem; }
figure { margin: 0; padding: .8rem; overflow: hidden; min-width: 0; }
figcaption { font-weight: 600; }
.note { color: var(--soft); font-size: .85rem; margin: .1rem 0 .4rem; }
.u-legend { font-size: .8rem; text-align: left; }
.u-legend th { font-weight: 400; color: var(--ink); }
.u-legend .u-marker { width: 1.6em; height: 0; border-width: 0 0 3px !important; vertical-align: middle; }
.u-inline tr { margin-right: 14px; }
.wide { overflow-x: auto; }
table { border-collapse: collapse; font-size: .85rem; width: 100%; }
.wide th { color: var(--soft); font-weight: 600; }
.wide th, .wide td { text-align: left; padding: .25rem .6rem; border-bottom: 1px solid var(--line); vertical-align: top; }
.wide td:nth-child(n+3):nth-child(-n+6) { font-variant-numeric: tabular-nums; white-space: nowrap; }
.goals td:nth-child(2) { min-width: 21rem; }
.wide .goals td:nth-child(4) { white-space: normal; }
tr.first td { border-top: 2px solid var(--line); }
tr.reference td { font-weight: 600; }
tr.lost { background: var(--mark); }
tr.skipped { color: var(--soft); }
.goal td:last-child { font-weight: 600; color: var(--good); }
.missed td:last-child { color: var(--bad); }
.not-measured td:last-child { color: var(--soft); font-weight: 400; }
`;
