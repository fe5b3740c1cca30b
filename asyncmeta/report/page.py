"""What does a page of ours look like?  Text made safe for where it goes, the frame, and the page of a start."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

__all__ = ["escaped", "page", "printable", "start_page"]


def printable(text: str) -> str:
    """Return *text* in one line that no terminal, parser or reader takes for something else: the rest as escapes."""
    if text.isprintable():
        return text
    return "".join(one if one.isprintable() else one.encode("unicode_escape").decode("ascii") for one in text)


def escaped(text: str) -> str:
    """Return *text* for HTML and SVG, between tags or inside of quotes."""
    text = printable(text).replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
    return text.replace('"', "&quot;").replace("'", "&#39;")


# A page asks nobody for anything: the policy forbids it even to what might have slipped through, and the empty icon
# keeps browsers from asking for one of their own accord.
_FRAME = """\
<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta http-equiv="Content-Security-Policy" content="default-src 'none'; style-src 'unsafe-inline'; img-src data:{policy}">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="color-scheme" content="light dark">
<link rel="icon" href="data:,">
<title>{title}</title>
<style>
:root {{
  --ground: #ffffff; --raised: #f4f5f7; --line: #d5d9e0; --text: #1d2430; --quiet: #596273;
  --calm: #7fa3d1; --accent: #c2410c; --good: #1a7f4b; --bad: #b42318;
}}
@media (prefers-color-scheme: dark) {{
  :root {{
    --ground: #14171c; --raised: #1d2229; --line: #363d48; --text: #e6e9ee; --quiet: #9aa4b4;
    --calm: #4d78b0; --accent: #fb923c; --good: #4cc38a; --bad: #ff8a7a;
  }}
}}
* {{ box-sizing: border-box; }}
body {{ margin: 0; background: var(--ground); color: var(--text); font: 14px/1.45 system-ui, sans-serif; }}
h1 {{ font-size: 1.25rem; margin: 0 0 .25rem; }}
code, .name {{ font-family: ui-monospace, Consolas, "DejaVu Sans Mono", monospace; font-size: .92em; }}
{style}</style>
</head>
<body>
{body}
</body>
</html>
"""


def page(title: str, style: str, body: str, policy: str = "") -> str:
    """
    Return one self-contained page, light or dark as its reader wishes.

    Args:
        title: Plain text.
        style: CSS.
        body: HTML, whose texts are escaped already.
        policy: What the page's own script needs to be allowed, or "".
    """
    return _FRAME.format(title=escaped(title), style=style, body=body, policy=policy)


_START_STYLE = """\
main { padding: 1.25rem; max-width: 1400px; margin: auto; }
p { margin: .15rem 0; color: var(--quiet); overflow-wrap: anywhere; }
.row, .axis { display: grid; grid-template-columns: minmax(8rem, 22%) 1fr 6.5rem; gap: .75rem; align-items: center; }
.axis { color: var(--quiet); font-size: .8rem; margin-top: 1rem; padding-bottom: .2rem; border-bottom: 1px solid var(--line); }
.ticks { display: flex; justify-content: space-between; min-width: 0; }
ol { list-style: none; margin: 0; padding: 0 0 9rem; }
.row { position: relative; min-height: 1.7rem; border-bottom: 1px solid var(--raised); }
.row:hover, .row:focus-within, .row:focus { background: var(--raised); outline: none; }
.name { overflow: hidden; text-overflow: ellipsis; white-space: nowrap; }
.track { position: relative; height: 1rem; }
.bar { position: absolute; top: 0; bottom: 0; min-width: 2px; border-radius: 2px; background: var(--calm); }
.seconds { text-align: right; font-variant-numeric: tabular-nums; white-space: nowrap; }
.critical .bar { background: var(--accent); }
.critical .name, .critical .seconds { font-weight: 600; }
.critical .seconds::after { content: " *"; color: var(--accent); }
.row:not(.critical) .seconds::after { content: "  "; white-space: pre; }
.tip {
  display: none; position: absolute; z-index: 1; top: 100%; left: 22%; padding: .5rem .75rem; max-width: 40rem;
  background: var(--ground); border: 1px solid var(--line); border-radius: 4px; box-shadow: 0 4px 14px rgb(0 0 0 / .25);
}
.row:hover .tip, .row:focus .tip { display: block; }
.tip b { font-weight: 600; overflow-wrap: anywhere; }
@media (max-width: 640px) {
  .row, .axis { grid-template-columns: minmax(5rem, 30%) 1fr 5rem; gap: .4rem; }
  .ticks :nth-child(even) { display: none; }
  .tip { left: 0; }
}
@media (max-width: 400px) { .ticks :nth-child(3) { display: none; } }
"""


def start_page(builds: Sequence[Any], critical: Sequence[Any], seconds: float, holding: Sequence[Any] = ()) -> str:
    """
    Return the page of a start: a bar for each of *builds* (timings, in the order in which they are shown).

    Args:
        critical: Those that decided the end, in order.
        seconds: From the call of ``start()`` to its end.
        holding: Those that held the event loop while others waited.
    """
    whole = max([seconds, *(timing.finished for timing in builds)]) or 1.0
    ran = math.fsum(timing.ran for timing in builds)
    marked = {id(timing) for timing in critical}
    title = f"Started {len(builds)} {'value' if len(builds) == 1 else 'values'} in {seconds:.3f} s"
    body = [
        "<main>",
        f"<h1>{title}</h1>",
        f'<p>One after another it would have been <b id="sum" data-seconds="{ran:.6f}">{ran:.3f} s</b>.</p>',
    ]
    if critical:
        names = " &rarr; ".join(f"<code>{escaped(timing.key)}</code>" for timing in critical)
        body.append(f'<p id="critical">* The path that decided how long it took: {names}</p>')
    body += [
        f'<p class="holding">! <code>{escaped(timing.key)}</code> held the event loop for {timing.held:.3f} s: '
        "<code>in_thread=True</code> runs it beside the others</p>"
        for timing in holding
    ]
    ticks = "".join(f"<span>{whole * part / 4:.3f}</span>" for part in range(5))
    body.append(f'<div class="axis"><span></span><span class="ticks">{ticks}</span><span class="seconds">ran</span></div>')
    body.append(f'<ol data-seconds="{whole:.6f}">')
    body += [_row(timing, id(timing) in marked, whole) for timing in builds]
    body += ["</ol>", "</main>"]
    return page(title, _START_STYLE, "\n".join(body))


def _row(timing: Any, critical: bool, whole: float) -> str:
    key = escaped(timing.key)
    left, width = 100 * timing.waited / whole, 100 * (timing.finished - timing.waited) / whole
    needs = ", ".join(f"<code>{escaped(need)}</code>" for need in timing.needs) or "nothing"
    return (
        f'<li class="row{" critical" if critical else ""}" tabindex="0" data-waited="{timing.waited:.6f}" '
        f'data-ran="{timing.ran:.6f}" data-finished="{timing.finished:.6f}"><span class="name">{key}</span>'
        f'<span class="track"><span class="bar" style="left:{left:.3f}%;width:{width:.3f}%"></span></span>'
        f'<span class="seconds">{timing.ran:.3f} s</span><div class="tip"><b><code>{key}</code></b><br>'
        f"began after {timing.waited:.3f} s, ran {timing.ran:.3f} s, there after {timing.finished:.3f} s<br>"
        f"waited for {needs}</div></li>"
    )
