"""What did the check find, and how is it told to people, programs and code review?"""

from __future__ import annotations

import json
import os
import re
from collections.abc import Iterable, Sequence
from pathlib import PurePath
from typing import Any, NamedTuple
from urllib.parse import quote

from .. import AmbiguousDependencyError, CheckReport, GraphErrors, __version__
from ..report.page import printable

__all__ = ["FORMATS", "Finding", "problems_of", "told", "warnings_of"]

#: What each rule is about, in the words of a code review.
_RULES = {
    "AmbiguousDependencyError": "Two modules register one key in the same layer",
    "CaptiveDependencyError": "A value would keep another beyond its life",
    "CircularDependencyError": "A value needs itself",
    "DeclarationError": "Something is written wrongly",
    "GraphError": "What was declared does not fit together",
    "MissingDependencyError": "Nothing provides what something needs",
    "replaced": "A registration is replaced by another one",
    "skipped": "A failure skips what stands behind a yield",
    "unreached": "A life-cycle method or constructor is never called",
    "unused": "Nothing that is declared asks for a registration",
}


class Finding(NamedTuple):
    """One thing that the check has to say."""

    level: str  #: "error" or "warning"
    rule: str  #: the error's class, or "replaced", "unused", "unreached"
    text: str  #: several lines, the first one says it
    file: str  #: relative to the working directory where it lies below it; "" where nobody wrote it in a file
    line: int  #: counted from 1; 0 where there is none


def problems_of(error: BaseException) -> list[Finding]:
    """Return the findings of *error*, each problem of a group by itself."""
    if isinstance(error, GraphErrors):
        return [finding for one in error.exceptions for finding in problems_of(one)]
    rule = next((cls.__name__ for cls in type(error).__mro__ if cls.__name__ in _RULES), "GraphError")
    where = getattr(error, "where", "")
    if not where and isinstance(error, AmbiguousDependencyError) and error.places:
        where = error.places[-1]
    text = "\n".join([str(error), *getattr(error, "__notes__", ())])  # a note says which handlers ask
    return [Finding("error", rule, text, *_place(where or _last_place(text.partition("\n")[0])))]


def warnings_of(report: CheckReport, level: str) -> list[Finding]:
    """Return what a report says of replaced, unused and unreached things, as findings of *level*."""
    found = []
    for fact in report.replaced:
        what, _, by = fact.rpartition(" by ")
        found.append(Finding(level, "replaced", f"{what} is replaced by {by}", *_place(_last_place(what))))
    replaced = {finding.text.partition(" is replaced by ")[0] for finding in found}
    for fact in report.unused:
        if fact in replaced:  # said already
            continue
        text = f"nothing that is declared asks for {fact}; list what handlers ask for in providers=[...]"
        found.append(Finding(level, "unused", text, *_place(_last_place(fact))))
    for fact in report.unreached:
        text = f"{fact} is never called: a method before it in the MRO does not call super()"
        found.append(Finding(level, "unreached", text, "", 0))
    for fact in report.skipped:
        text = f"{fact} skips what stands behind its yield where a failure is raised there: put it into a finally, or a with"
        found.append(Finding(level, "skipped", text, *_place(_last_place(fact))))
    return found


def _last_place(text: str) -> str:
    """Return the last "file:line" in parentheses."""
    found = re.findall(r"\(((?:[^()]|\([^()]*\))+:\d+)\)", text)
    return found[-1] if found else ""


def _place(where: str) -> tuple[str, int]:
    file, _, line = where.rpartition(":")
    if not line.isdecimal() or file.startswith("<"):  # <string>, <unknown>: no file
        return "", 0
    return file, int(line)


# --- forms ------------------------------------------------------------------------------------------


def told(form: str, application: str, findings: Sequence[Finding]) -> str:
    """Return *findings* in the form of that name."""
    return FORMATS[form](application, findings)


def _text(application: str, findings: Sequence[Finding]) -> str:
    if not findings:
        return f"{printable(application)}: nothing to report"
    lines = []
    for finding in findings:
        place = f"{finding.file}:{finding.line}: " if finding.file else ""
        first, *more = finding.text.split("\n")
        lines.append(f"{place}{finding.level}: {printable(first)}")
        lines += [f"    {printable(line.strip())}" for line in more]
    count = {level: sum(finding.level == level for finding in findings) for level in ("error", "warning")}
    total = ", ".join(f"{number} {level}{'s' * (number != 1)}" for level, number in count.items() if number)
    return "\n".join([*lines, f"{printable(application)}: {total}"])


def _json(application: str, findings: Sequence[Finding]) -> str:
    return json.dumps({"application": application, "findings": [finding._asdict() for finding in findings]}, indent=1)


def _github(application: str, findings: Sequence[Finding]) -> str:
    """Return workflow commands, which GitHub shows at the lines of a pull request."""
    return "\n".join(
        f"::{finding.level} {_properties(finding)}::{_escaped(finding.text)}" for finding in findings
    )  # fmt: skip


def _properties(finding: Finding) -> str:
    pairs = {"file": finding.file.replace(os.sep, "/"), "line": str(finding.line), "title": f"asyncmeta {finding.rule}"}
    if not finding.file:
        del pairs["file"], pairs["line"]
    return ",".join(f"{name}={_escaped(value).replace(':', '%3A').replace(',', '%2C')}" for name, value in pairs.items())


def _escaped(text: str) -> str:
    text = "\n".join(map(printable, text.split("\n")))
    return text.replace("%", "%25").replace("\r", "%0D").replace("\n", "%0A")


def _sarif(application: str, findings: Sequence[Finding]) -> str:
    """Return SARIF 2.1.0, which code scanning reads."""
    rules = sorted({finding.rule for finding in findings})
    driver = {
        "name": "asyncmeta",
        "semanticVersion": __version__,
        "rules": [{"id": rule, "shortDescription": {"text": _RULES[rule]}} for rule in rules],
    }
    results = [_result(finding, rules) for finding in findings]
    log = {
        "$schema": "https://json.schemastore.org/sarif-2.1.0.json",
        "version": "2.1.0",
        "runs": [{"tool": {"driver": driver}, "results": results, "columnKind": "unicodeCodePoints"}],
    }
    return json.dumps(log, indent=1)


def _result(finding: Finding, rules: Sequence[str]) -> dict[str, Any]:
    result: dict[str, Any] = {
        "ruleId": finding.rule,
        "ruleIndex": rules.index(finding.rule),
        "level": finding.level,
        "message": {"text": finding.text},
    }
    if finding.file:
        path = PurePath(finding.file)
        artifact = (
            {"uri": path.as_uri()} if path.is_absolute() else {"uri": quote(path.as_posix()), "uriBaseId": "%SRCROOT%"}
        )  # fmt: skip
        result["locations"] = [{"physicalLocation": {"artifactLocation": artifact, "region": {"startLine": max(1, finding.line)}}}]
    return result


FORMATS = {"text": _text, "json": _json, "github": _github, "sarif": _sarif}


def failed(findings: Iterable[Finding]) -> bool:
    """Tell whether one of *findings* is an error."""
    return any(finding.level == "error" for finding in findings)
