"""What the page of a run adds to the style and the script of all pages."""

STYLE = """
.row{background:var(--panel);border:1px solid var(--line);border-radius:8px;margin:10px 0;
overflow:hidden}
.row>header{padding:6px 12px;background:var(--code);color:var(--soft);font-size:13px;
overflow-wrap:anywhere}
.pair{display:grid;grid-template-columns:1fr 1fr}.pair>div{padding:8px 12px;min-width:0}
.pair>div+div{border-left:1px solid var(--line)}
.pair h4{margin:0 0 4px;font-size:12px;font-weight:500;color:var(--soft)}
@media(max-width:680px){.pair{grid-template-columns:1fr}
.pair>div+div{border-left:0;border-top:1px solid var(--line)}}
"""

SCRIPT = """
const search = document.getElementById('search');
if (search) {
  const rows = Array.from(document.querySelectorAll('#samples .row'));
  const count = document.getElementById('matches');
  search.parentElement.hidden = false;
  search.addEventListener('input', () => {
    const words = search.value.toLowerCase();
    let shown = 0;
    for (const row of rows) {
      row.hidden = !row.textContent.toLowerCase().includes(words);
      shown += !row.hidden;
    }
    count.textContent = shown + ' / ' + rows.length;
  });
}
"""
