"""The style and the script of every page. Both stand in the page itself; its policy names them by
hash."""

STYLE = """
:root{color-scheme:light dark;--page:#fbfbfa;--ink:#1d2023;--soft:#5c636b;--line:#dfe1e4;
--panel:#fff;--bar:#2f6f9f;--mark:#b4581c;--bad:#a8322a;--code:#f2f3f4}
@media(prefers-color-scheme:dark){:root:not([data-theme=light]){--page:#15181b;--ink:#e4e7ea;
--soft:#9aa3ac;--line:#31373d;--panel:#1c2024;--bar:#6fb1e0;--mark:#e39a5f;--bad:#f08a80;
--code:#23282d}}
:root[data-theme=dark]{color-scheme:dark;--page:#15181b;--ink:#e4e7ea;--soft:#9aa3ac;
--line:#31373d;--panel:#1c2024;--bar:#6fb1e0;--mark:#e39a5f;--bad:#f08a80;--code:#23282d}
:root[data-theme=light]{color-scheme:light}
*{box-sizing:border-box}
body{margin:0;background:var(--page);color:var(--ink);
font:15px/1.5 system-ui,-apple-system,"Segoe UI","Noto Sans","Noto Sans SC",sans-serif}
main{max-width:1080px;margin:0 auto;padding:24px 20px 60px}
h1{font-size:24px;margin:0 0 4px;overflow-wrap:anywhere}
h2{font-size:17px;margin:34px 0 10px;padding-top:14px;border-top:1px solid var(--line)}
h3{font-size:15px;margin:18px 0 6px}
p{margin:4px 0 10px}.soft{color:var(--soft)}.bad{color:var(--bad)}
.tiles{display:grid;grid-template-columns:repeat(auto-fit,minmax(142px,1fr));gap:10px;
margin:18px 0}
.tile{background:var(--panel);border:1px solid var(--line);border-radius:8px;padding:10px 12px}
.tile b{display:block;font-size:20px;font-variant-numeric:tabular-nums}
.tile span{color:var(--soft);font-size:13px}
.two{display:grid;grid-template-columns:repeat(auto-fit,minmax(min(430px,100%),1fr));gap:8px 28px}
svg{display:block;width:100%;height:auto}svg.share{width:120px;height:10px}
.bar{fill:var(--bar)}.column{fill:transparent}g:hover .column{fill:var(--line)}
.grid{stroke:var(--line)}.axis{stroke:var(--soft)}.mark{stroke:var(--mark);stroke-dasharray:3 3}
.curve{fill:none;stroke:var(--bar);stroke-width:2}.dot{fill:var(--bar);stroke:var(--panel)}
.small{max-width:300px}
svg text{font-size:11px;fill:var(--soft)}text.value{text-anchor:end}
table{border-collapse:collapse;width:100%;font-variant-numeric:tabular-nums}
th,td{text-align:left;padding:5px 12px 5px 0;border-bottom:1px solid var(--line);
vertical-align:top}
th{color:var(--soft);font-weight:500;font-size:13px}td.n,th.n{text-align:right}
.scroll{overflow-x:auto}
pre{margin:0;white-space:pre-wrap;overflow-wrap:anywhere;font:13px/1.45 ui-monospace,
"SFMono-Regular",Menlo,Consolas,"Noto Sans Mono CJK SC",monospace;max-height:22em;overflow:auto}
details{margin:6px 0}summary{cursor:pointer;color:var(--soft)}
.tools{display:flex;gap:8px;align-items:center;flex-wrap:wrap;margin:8px 0}
button,input{font:inherit;color:inherit;background:var(--panel);border:1px solid var(--line);
border-radius:6px;padding:4px 10px}
.top{display:flex;justify-content:space-between;gap:12px;align-items:start}
[hidden]{display:none!important}
@media print{.tools,#theme{display:none}pre{max-height:none}}
"""

SCRIPT = """
'use strict';
const root = document.documentElement;
const theme = document.getElementById('theme');
theme.hidden = false;
theme.addEventListener('click', () => {
  const dark = root.dataset.theme
    ? root.dataset.theme === 'dark'
    : matchMedia('(prefers-color-scheme: dark)').matches;
  root.dataset.theme = dark ? 'light' : 'dark';
});
"""
