"""How is a graph written down?  A tree, Mermaid, DOT and JSON."""

from __future__ import annotations

import json
from collections import deque

from ..report.page import printable
from .facts import Facts, Item, Line

__all__ = ["FORMAT", "as_json", "dot", "mermaid", "tree"]

#: Version of the JSON form.
FORMAT = 1

#: A branch of the tree that would be deeper is drawn as a tree of its own.
_DEEPEST = 20


# --- a tree -------------------------------------------------------------------------------------


def tree(facts: Facts, ascii: bool) -> str:
    """Return *facts* as a tree of text."""
    middle, last, past = ("|- ", "`- ", "|  ") if ascii else ("├─ ", "└─ ", "│  ")
    middle_late, last_late = ("|~ ", "`~ ") if ascii else ("├┄ ", "└┄ ")
    text: list[str] = []
    drawn: set[Item] = set()
    roots = deque(item for item in facts.items if not item.dependents)
    if facts.items and facts.items[0].factory == facts.application:
        roots.appendleft(facts.items[0])  # the application stands on top, also where something needs it
    rest = iter(facts.items)  # what only a circle reaches
    while True:
        root = roots.popleft() if roots else next((item for item in rest if item not in drawn), None)
        if root is None:
            break
        if root in drawn:
            continue
        drawn.add(root)
        text.append(_described(root))
        # What is left to draw: a line, and what stands before it.
        pending: list[tuple[Line, str, bool]] = [(line, "", line is root.lines[-1]) for line in reversed(root.lines)]
        while pending:
            line, before, ends = pending.pop()
            item = line.target
            branch = (last_late if ends else middle_late) if line.late else (last if ends else middle)
            head = f"{before}{branch}{printable(line.name)}: {_described(item, line)}"
            if item in drawn:
                text.append(f"{head}  (above)" if item.lines else head)
                continue
            if len(before) >= 3 * _DEEPEST and item.lines:
                text.append(f"{head}  (below)")
                roots.appendleft(item)
                continue
            drawn.add(item)
            text.append(head)
            before += "   " if ends else past
            pending += [(inner, before, inner is item.lines[-1]) for inner in reversed(item.lines)]
    found = [(item, problem) for item in facts.items for problem in item.problems]
    if found:
        text += ["", "problems:"]
        text += [f"  ! {printable(part)}" for _, problem in found for part in problem.splitlines()[:1]]
    joined = "\n".join(text)
    return joined.encode("ascii", "backslashreplace").decode("ascii") if ascii else joined


def _described(item: Item, line: Line | None = None) -> str:
    words = [printable(item.id), item.lifetime if item.lifetime != item.kind else ""]
    if item.kind not in ("class", "service"):
        words.append(item.kind)
    if line is not None and line.how not in ("value", "attribute"):
        words.append(line.how)
    words.append(f"({item.where})" if item.where else "")
    if item.problems:
        words.append("!")
    return "  ".join(printable(word) for word in words if word)


# --- Mermaid --------------------------------------------------------------------------------------

#: Inside of quotes; Mermaid turns the numbers back into the characters.
_MERMAID = {ord(one): f"#{ord(one)};" for one in "#;%<>&\"'`\\"}
_MERMAID_STYLES = """\
    classDef singleton stroke:#3b6fb6,stroke-width:2px
    classDef scoped stroke:#1a7f4b,stroke-width:2px
    classDef transient stroke:#8a6d00,stroke-width:2px
    classDef given stroke:#7a7f87,stroke-dasharray:4 3
    classDef problem stroke:#b42318,stroke-width:4px"""


def mermaid(facts: Facts) -> str:
    """Return *facts* as a Mermaid flowchart."""
    text = ["flowchart LR"]
    wrong: list[int] = []
    count = 0
    for item in facts.items:
        left, right = ("([", "])") if kind_class(item) == "given" else ("[", "]")
        text.append(f'    n{item.number}{left}"{_for_mermaid(item.id)}<br/>{_for_mermaid(item.lifetime)}"{right}')
    for item in facts.items:
        for line in item.lines:
            arrow = "-.->" if line.late else "-->"
            text.append(f'    n{item.number} {arrow}|"{_for_mermaid(line.name)}"| n{line.target.number}')
            if line.captive or line.circular:
                wrong.append(count)
            count += 1
    text.append(_MERMAID_STYLES)
    for item in facts.items:
        text.append(f"    class n{item.number} {'problem' if item.problems else kind_class(item)}")
    if wrong:
        text.append(f"    linkStyle {','.join(map(str, wrong))} stroke:#b42318,stroke-width:3px")
    return "\n".join(text) + "\n"


def _for_mermaid(text: str) -> str:
    return printable(text).translate(_MERMAID)


def kind_class(item: Item) -> str:
    """Return what an item looks like: a lifetime of the usual three, or "given" for what is not made."""
    if item.kind in ("context", "container", "scope"):
        return "given"
    return item.lifetime if item.lifetime in ("singleton", "transient") else "scoped"


# --- DOT --------------------------------------------------------------------------------------------

_COLOURS = {"singleton": "#3b6fb6", "scoped": "#1a7f4b", "transient": "#8a6d00", "given": "#7a7f87"}


def dot(facts: Facts) -> str:
    """Return *facts* for Graphviz."""
    text = [
        f"digraph {_quoted(facts.application)} {{",
        "    rankdir=LR;",
        '    node [shape=box, fontname="sans-serif", fontsize=11];',
        '    edge [fontname="sans-serif", fontsize=9];',
    ]
    for item in facts.items:
        about = ", ".join(word for word in (item.kind, item.factory, item.where) if word)
        colour = "#b42318" if item.problems else _COLOURS[kind_class(item)]
        bold = ", penwidth=3" if item.problems else ""
        label = f"{item.id} ({item.lifetime})"
        looks = f"label={_quoted(label)}, tooltip={_quoted(about)}, color={_quoted(colour)}{bold}"
        text.append(f"    n{item.number} [{looks}];")
    for item in facts.items:
        for line in item.lines:
            late = ", style=dashed" if line.late else ""
            wrong = ', color="#b42318", penwidth=2' if line.captive or line.circular else ""
            text.append(f"    n{item.number} -> n{line.target.number} [label={_quoted(line.name)}{late}{wrong}];")
    text.append("}")
    return "\n".join(text) + "\n"


def _quoted(text: str) -> str:
    text = printable(text).replace("\\", "\\\\").replace('"', '\\"')
    return f'"{text}"'


# --- JSON -------------------------------------------------------------------------------------------


def as_json(facts: Facts) -> str:
    """Return *facts* as JSON."""
    told = {
        "format": FORMAT,
        "application": facts.application,
        "levels": list(facts.levels),
        "nodes": [_as_object(item) for item in facts.items],
        "problems": [str(problem) for problem in facts.problems],
    }
    return json.dumps(told, indent=1)


def _as_object(item: Item) -> dict[str, object]:
    return {
        "id": item.id,
        "name": item.name,
        "also": list(item.also),
        "lifetime": item.lifetime,
        "kind": item.kind,
        "factory": item.factory,
        "where": item.where,
        "layer": item.layer,
        "options": item.options,
        "dependencies": [
            {
                "name": line.name,
                "id": line.target.id,
                "how": line.how,
                "late": line.late,
                "captive": line.captive,
                "circular": line.circular,
            }
            for line in item.lines
        ],
        "dependents": [user.id for user in item.dependents],
        "problems": item.problems,
        "notes": item.notes,
    }
