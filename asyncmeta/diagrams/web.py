"""How is a graph shown in a browser?  One page: a drawing, a search, and the facts of each node."""

from __future__ import annotations

import base64
import hashlib
import json

from ..report.page import escaped, page, printable
from .facts import Facts, Item, Line, searched_in
from .layout import HEIGHT, WIDTH, lay_out
from .texts import kind_class

__all__ = ["graph_page"]

_STYLE = """\
body { display: grid; grid-template: auto minmax(0, 1fr) / minmax(0, 1fr) 22rem; height: 100vh; }
header {
  grid-column: 1 / -1; display: flex; flex-wrap: wrap; gap: .4rem 1.1rem; align-items: center; padding: .5rem 1rem;
  border-bottom: 1px solid var(--line); background: var(--raised);
}
h1 { margin: 0; }
input, button { font: inherit; color: inherit; background: var(--ground); border: 1px solid var(--line); border-radius: 4px; }
input { padding: .25rem .5rem; width: 17rem; }
button { padding: .2rem .55rem; cursor: pointer; }
#found, .legend { color: var(--quiet); }
.legend span { margin-right: .8rem; white-space: nowrap; }
.legend i { display: inline-block; width: .8rem; height: .8rem; border-radius: 2px; margin-right: .3rem; vertical-align: -1px; }
.legend .dash { width: 1.4rem; height: 0; border-top: 2px dashed var(--quiet); border-radius: 0; vertical-align: 4px; }
#view { overflow: auto; }
aside { overflow: auto; padding: .8rem 1rem; border-left: 1px solid var(--line); }
aside h2 { font-size: 1rem; margin: 0 0 .5rem; overflow-wrap: anywhere; }
aside h3 { font-size: .85rem; margin: .9rem 0 .2rem; color: var(--quiet); font-weight: 600; }
aside dl { display: grid; grid-template-columns: auto 1fr; gap: .15rem .7rem; margin: 0; }
aside dt { color: var(--quiet); }
aside dd { margin: 0; overflow-wrap: anywhere; }
aside ul { margin: 0; padding: 0; list-style: none; }
aside li { margin: .15rem 0 .35rem; overflow-wrap: anywhere; white-space: pre-line; }
aside li button { border: 0; padding: 0; background: none; color: var(--accent); text-align: left; }
.wrong { color: var(--bad); }
svg { display: block; --scoped: #2f9e63; --transient: #b08900; }
.node rect { fill: var(--raised); stroke: var(--calm); stroke-width: 1.5; }
.node text { fill: var(--text); font: 600 11.5px ui-monospace, Consolas, "DejaVu Sans Mono", monospace; }
.node text.small { fill: var(--quiet); font: 9.5px system-ui, sans-serif; }
.scoped rect { stroke: var(--scoped); }
.transient rect { stroke: var(--transient); stroke-dasharray: 6 2; }
.given rect { stroke: var(--quiet); stroke-dasharray: 2 2; }
.node.problem rect { stroke: var(--bad); stroke-width: 3; }
.node { cursor: pointer; outline: none; }
.node:focus rect, .node.hit rect { stroke-width: 3; fill: var(--ground); }
.node.hit rect { stroke: var(--accent); }
.node.chosen rect { stroke: var(--accent); stroke-width: 4; }
.edge { fill: none; stroke: var(--quiet); stroke-opacity: .55; stroke-width: 1.1; marker-end: url(#tip); }
.edge.late { stroke-dasharray: 5 4; }
.edge.wrong { stroke: var(--bad); stroke-opacity: 1; stroke-width: 2.2; marker-end: url(#tip-wrong); }
.edge.hot { stroke: var(--accent); stroke-opacity: 1; stroke-width: 2; marker-end: url(#tip-hot); }
#tip path { fill: var(--quiet); } #tip-wrong path { fill: var(--bad); } #tip-hot path { fill: var(--accent); }
.focused .node:not(.near, .chosen), .searching:not(.focused) .node:not(.hit) { opacity: .3; }
.focused .edge:not(.hot) { stroke-opacity: .12; }
@media (max-width: 800px) {
  body { grid-template: auto 1fr 14rem / 1fr; }
  aside { border-left: 0; border-top: 1px solid var(--line); }
}
"""

# Text reaches the page by textContent only, never as markup.
_SCRIPT = """\
"use strict";
const graph = JSON.parse(document.getElementById("facts").textContent);
const svg = document.querySelector("svg"), view = document.getElementById("view"), side = document.querySelector("aside");
const search = document.getElementById("search"), found = document.getElementById("found");
const nodes = [...svg.querySelectorAll(".node")], edges = [...svg.querySelectorAll(".edge")];
const width = svg.viewBox.baseVal.width, height = svg.viewBox.baseVal.height;
let scale = 1, fitted = true, hits = [], at = -1;

function make(tag, text, parent, name) {
  const made = document.createElement(tag);
  if (text !== undefined) made.textContent = text;
  if (name) made.className = name;
  parent.append(made);
  return made;
}
function link(number, before, parent) {
  const line = make("li", before, parent);
  make("button", graph.nodes[number].id, line).addEventListener("click", () => choose(number, true));
  return line;
}
function list(title, parent) {
  make("h3", title, parent);
  return make("ul", undefined, parent);
}
function overview() {
  side.replaceChildren();
  make("h2", graph.application, side);
  make("p", graph.summary, side);
  if (graph.problems.length) {
    const problems = list("Problems", side);
    for (const problem of graph.problems) make("li", problem, problems, "wrong");
  }
  const marked = graph.nodes.map((node, number) => number).filter(number => graph.nodes[number].problems.length);
  if (marked.length) {
    const items = list("Marked", side);
    for (const number of marked) link(number, "", items);
  }
}
function show(number) {
  if (at >= 0 || number < 0) for (const one of [...nodes, ...edges]) one.classList.remove("chosen", "near", "hot");
  svg.classList.toggle("focused", number >= 0);
  if (number < 0) return overview();
  for (const one of [...nodes, ...edges]) one.classList.remove("chosen", "near", "hot");
  nodes[number].classList.add("chosen");
  for (const edge of edges) {
    const from = Number(edge.dataset.from), to = Number(edge.dataset.to);
    if (from !== number && to !== number) continue;
    edge.classList.add("hot");
    nodes[from === number ? to : from].classList.add("near");
  }
  const node = graph.nodes[number];
  side.replaceChildren();
  make("h2", node.id, side);
  const facts = make("dl", undefined, side);
  for (const [name, value] of node.facts) { make("dt", name, facts); make("dd", value, facts); }
  for (const problem of node.problems) make("p", problem, side, "wrong");
  for (const note of node.notes) make("p", note, side);
  if (node.needs.length) {
    const needs = list("Needs", side);
    for (const [name, target, how] of node.needs) {
      const line = link(target, name + ": ", needs);
      if (how) line.append(" " + how);
    }
  }
  if (node.users.length) {
    const users = list("Needed by", side);
    for (const user of node.users) link(user, "", users);
  }
}
function choose(number, move) {
  show(number);
  if (number >= 0 && move) into(number);
}
function into(number) {
  if (scale < 0.7) zoom(0.7);  // a graph that was fitted into a window may be too small to be read
  const box = nodes[number].getBoundingClientRect(), frame = view.getBoundingClientRect();
  view.scrollBy(box.left + box.width / 2 - frame.left - frame.width / 2, box.top + box.height / 2 - frame.top - frame.height / 2);
}
function find() {
  const wanted = search.value.trim().toLowerCase();
  hits = wanted ? graph.nodes.map((node, number) => number).filter(number => graph.nodes[number].search.includes(wanted)) : [];
  at = -1;
  svg.classList.toggle("searching", wanted !== "");
  nodes.forEach(node => node.classList.remove("hit"));
  hits.forEach(number => nodes[number].classList.add("hit"));
  found.textContent = wanted ? `${hits.length} of ${nodes.length}` : "";
  if (hits.length) into(hits[0]);
}
function zoom(to, x, y) {
  to = Math.min(3, Math.max(0.02, to));
  fitted = false;
  x = x ?? view.clientWidth / 2; y = y ?? view.clientHeight / 2;
  const left = (view.scrollLeft + x) / scale, top = (view.scrollTop + y) / scale;
  scale = to;
  svg.setAttribute("width", width * scale); svg.setAttribute("height", height * scale);
  view.scrollLeft = left * scale - x; view.scrollTop = top * scale - y;
}
function fit(most) {
  zoom(Math.min(most, view.clientWidth / width, view.clientHeight / height));
  fitted = true;
}
search.addEventListener("input", find);
search.addEventListener("keydown", event => {
  if (event.key !== "Enter" || !hits.length) return;
  at = (at + (event.shiftKey ? hits.length - 1 : 1)) % hits.length;
  choose(hits[at], true);
});
svg.addEventListener("click", event => {
  const node = event.target.closest(".node");
  choose(node ? nodes.indexOf(node) : -1, false);
});
svg.addEventListener("keydown", event => {
  const node = event.target.closest(".node");
  if (node && (event.key === "Enter" || event.key === " ")) { event.preventDefault(); choose(nodes.indexOf(node), false); }
});
document.addEventListener("keydown", event => {
  if (event.key === "Escape") { search.value = ""; find(); choose(-1, false); }
  if (event.key === "/" && document.activeElement !== search) { event.preventDefault(); search.focus(); }
});
view.addEventListener("wheel", event => {
  if (!event.ctrlKey) return;
  event.preventDefault();
  const frame = view.getBoundingClientRect();
  zoom(scale * (event.deltaY < 0 ? 1.15 : 1 / 1.15), event.clientX - frame.left, event.clientY - frame.top);
}, { passive: false });
document.getElementById("in").addEventListener("click", () => zoom(scale * 1.25));
document.getElementById("out").addEventListener("click", () => zoom(scale / 1.25));
document.getElementById("fit").addEventListener("click", () => fit(3));
addEventListener("resize", () => { if (fitted) fit(1); });
overview();
if (nodes.length) fit(1);
"""

_LEGEND = (
    '<span class="legend"><span><i style="background:var(--calm)"></i>singleton</span>'
    '<span><i style="background:#2f9e63"></i>scoped</span><span><i style="background:#b08900"></i>transient</span>'
    '<span><i class="dash"></i>late</span><span><i style="background:var(--bad)"></i>problem</span></span>'
)
_MARKER = (
    '<marker id="{name}" viewBox="0 0 8 8" refX="8" refY="4" markerWidth="7" markerHeight="7" markerUnits="userSpaceOnUse" '
    'orient="auto"><path d="M0 1 8 4 0 7z"/></marker>'
)


def graph_page(facts: Facts) -> str:
    """Return the page of *facts*."""
    digest = base64.b64encode(hashlib.sha256(_SCRIPT.encode()).digest()).decode("ascii")
    title = f"{facts.application}: {len(facts.items)} {'node' if len(facts.items) == 1 else 'nodes'}"
    # A slash after "<" could end the script element; as an escape it is the same to JSON.
    told = json.dumps(_told(facts), separators=(",", ":")).replace("<", "\\u003c")
    body = "\n".join((
        f"<header><h1>{escaped(printable(facts.application))}</h1>",
        '<input id="search" type="search" placeholder="Search: name, lifetime, file  ( / )" aria-label="Search">',
        '<span id="found" role="status"></span>',
        '<span><button id="out" title="Smaller">&minus;</button> <button id="in" title="Larger">+</button> '
        '<button id="fit" title="All of it">Fit</button></span>',
        f"{_LEGEND}</header>",
        f'<div id="view">{_drawing(facts)}</div>',
        "<aside></aside>",
        f'<script type="application/json" id="facts">{told}</script>',
        f"<script>{_SCRIPT}</script>",
    ))  # fmt: skip
    return page(title, _STYLE, body, f"; script-src 'sha256-{digest}'")


def _told(facts: Facts) -> dict[str, object]:
    """Return what the script shows."""
    lifetimes: dict[str, int] = {}
    for item in facts.items:
        lifetimes[item.lifetime] = lifetimes.get(item.lifetime, 0) + 1
    return {
        "application": printable(facts.application),
        "summary": ", ".join(f"{count} {printable(name)}" for name, count in lifetimes.items()),
        "problems": [str(problem) for problem in facts.problems],
        "nodes": [_node_told(item) for item in facts.items],
    }


def _node_told(item: Item) -> dict[str, object]:
    pairs = (
        ("lifetime", item.lifetime),
        ("kind", item.kind),
        ("made by", item.factory),
        ("written at", item.where),
        ("layer", item.layer),
        ("also", ", ".join(item.also)),
        ("options", ", ".join(item.options)),
    )
    return {
        "id": printable(item.id),
        "search": searched_in(item).lower(),
        "facts": [(name, printable(value)) for name, value in pairs if value],
        "needs": [(printable(line.name), line.target.number, _how(line)) for line in item.lines],
        "users": [user.number for user in item.dependents],
        "problems": item.problems,
        "notes": item.notes,
    }


def _how(line: Line) -> str:
    words = [line.how] if line.how != "value" else []
    words += [word for word, is_so in (("captive", line.captive), ("circular", line.circular)) if is_so]
    return f"({', '.join(words)})" if words else ""


def _drawing(facts: Facts) -> str:
    edges = [(item.number, line.target.number, line.late) for item in facts.items for line in item.lines]
    drawing = lay_out(len(facts.items), edges)
    size = f"{drawing.width:.0f}", f"{drawing.height:.0f}"
    markers = "".join(_MARKER.format(name=name) for name in ("tip", "tip-wrong", "tip-hot"))
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{size[0]}" height="{size[1]}" viewBox="0 0 {size[0]} {size[1]}" '
        f'role="group" aria-label="The graph"><defs>{markers}</defs>'
    ]
    points = iter(drawing.lines)
    for item in facts.items:
        parts += [_edge(item, line, next(points)) for line in item.lines]
    parts += [_box(item, *drawing.places[item.number]) for item in facts.items]
    parts.append("</svg>")
    return "\n".join(parts)


def _edge(item: Item, line: Line, points: list[tuple[float, float]]) -> str:
    classes = "edge" + " late" * line.late + " wrong" * (line.captive or line.circular)
    (x, y), *rest = points
    path = [f"M{x:.0f} {y:.0f}"]
    for to_x, to_y in rest:
        if to_y == y or item is line.target:
            path.append(f"L{to_x:.0f} {to_y:.0f}")
        else:
            half = (x + to_x) / 2
            path.append(f"C{half:.0f} {y:.0f} {half:.0f} {to_y:.0f} {to_x:.0f} {to_y:.0f}")
        x, y = to_x, to_y
    title = f"{item.id}.{line.name} \u2192 {line.target.id} {_how(line)}"
    return (
        f'<path class="{classes}" data-from="{item.number}" data-to="{line.target.number}" d="{"".join(path)}">'
        f"<title>{escaped(title.rstrip())}</title></path>"
    )


def _box(item: Item, x: float, y: float) -> str:
    classes = f"node {kind_class(item)}" + " problem" * bool(item.problems)
    small = " \u00b7 ".join(word for word in (item.lifetime, item.where.replace("\\", "/").rpartition("/")[2]) if word)
    about = [item.id, *(f"{name}: {value}" for name, value in (
        ("lifetime", item.lifetime), ("kind", item.kind), ("made by", item.factory), ("written at", item.where),
        ("needs", ", ".join(line.target.id for line in item.lines)), ("needed by", ", ".join(user.id for user in item.dependents)),
    ) if value), *item.problems]  # fmt: skip
    title = "\n".join(escaped(line) for line in about)
    return (
        f'<g class="{classes}" tabindex="0" role="button" transform="translate({x:.0f} {y:.0f})"><title>{title}</title>'
        f'<rect width="{WIDTH:.0f}" height="{HEIGHT:.0f}" rx="4"/><text x="9" y="16">{escaped(_cut(item.id, 25))}</text>'
        f'<text class="small" x="9" y="29">{escaped(_cut(small, 36))}</text></g>'
    )


def _cut(text: str, most: int) -> str:
    text = printable(text)
    return text if len(text) <= most else text[: most - 1] + "\u2026"
