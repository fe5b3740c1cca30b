"""What can be asked on a command line?  check, graph, explain, source, start and diff."""

from __future__ import annotations

import argparse
import asyncio
import io
import json
import os
import sys
import traceback
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from .. import AsyncMetaError, Container, GraphErrors, __version__
from .._names import name_of
from .._solve.whole import findings as worth_knowing
from ..diagrams import changes, diagram
from ..integrations._handlers import unfilled
from ..report import CheckReport
from .application import Failed, Refusal, application, container_for, graph_of, items_named, key_named
from .explaining import explanation, source_of
from .findings import FORMATS, failed, problems_of, told, warnings_of
from .served import Served
from .starting import started

__all__ = ["main"]

_RUNS = "MODULE is imported, and importing a module runs it: name only modules that you would run."
_CODES = "Exit codes: 0 all is well, 1 something is wrong with the application, 2 the command cannot be carried out."


def main(arguments: Sequence[str] | None = None) -> int:
    """
    Carry out one command and return its exit code.

    Args:
        arguments: What stands after the program's name; None takes it from the process.
    """
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):  # what a terminal cannot show is shown as an escape
            stream.reconfigure(errors="backslashreplace")
    options = _parser().parse_args(arguments)
    try:
        return options.command(options)  # type: ignore[no-any-return]  # one of the functions below
    except Refusal as refusal:
        print(f"asyncmeta: {refusal}", file=sys.stderr)
    except BrokenPipeError:  # the reader, `head` perhaps, has seen enough; nothing must be flushed to it at exit
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    return 2


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="asyncmeta", description=f"Look at an application of asyncmeta.  {_RUNS}", epilog=_CODES
    )  # fmt: skip
    parser.add_argument("--version", action="version", version=f"asyncmeta {__version__}")
    commands = parser.add_subparsers(title="commands", required=True, metavar="COMMAND")

    def add(command: Callable[[Any], int], name: str, what: str, *, app: bool = True) -> argparse.ArgumentParser:
        about = f"{what}  {_RUNS}" if app else what
        made = commands.add_parser(name, help=what, description=about, epilog=_CODES)
        made.set_defaults(command=command)
        if app:
            what = "a service class, a container or an application of a framework, as in shop.main:Shop"
            made.add_argument("application", metavar="MODULE:APP", help=what)
            made.add_argument("--factory", action="store_true", help="APP is a function without arguments that makes it")
        return made

    check = add(_check, "check", "Tell every problem with its place; and what is replaced or unused, as warnings.")
    check.add_argument("--format", choices=sorted(FORMATS), default="text")
    check.add_argument("--strict", action="store_true", help="take warnings for errors")
    check.add_argument("--all", action="store_true", help="check all of the shared layer too, reached or not")

    graph = add(_graph, "graph", "Draw what the application declares and reaches.")
    graph.add_argument("--format", choices=["dot", "html", "json", "mermaid", "text"], default="text")
    graph.add_argument("--all", action="store_true", help="draw all of the shared layer too, reached or not")
    graph.add_argument("-o", "--output", type=Path, metavar="FILE", help="write to FILE instead of the standard output")

    explain = add(_explain, "explain", "Tell who provides a token, what it needs, who needs it, and what it shadows.")
    explain.add_argument("token", metavar="TOKEN", help="a name, as other commands print it, or MODULE:NAME")
    explain.add_argument("--source", action="store_true", help="print the generated source too")

    source = add(_source, "source", "Print the source that is generated for a token, below what its names stand for.")
    source.add_argument("token", metavar="TOKEN", help="a name, as other commands print it, or MODULE:NAME")
    source.add_argument("--opening", action="store_true", help="for a scope that is opened for this one value")

    start = add(_start, "start", "Run the start-up, print where the time went, and close again.")
    start.add_argument("--format", choices=["json", "mermaid", "text"], default="text")
    start.add_argument("--html", type=Path, metavar="FILE", help="write the report as a page too")
    start.add_argument("--concurrency", type=_above_zero, metavar="N", help="build at most N values at once")

    diff = add(_diff, "diff", "Compare two graphs that `graph --format json` wrote; exit code 1 for a new captive edge.", app=False)
    diff.add_argument("old", type=Path, metavar="OLD")
    diff.add_argument("new", type=Path, metavar="NEW")
    diff.add_argument("--format", choices=["json", "text"], default="text")
    return parser


def _above_zero(text: str) -> int:
    if not text.isdecimal() or not int(text):
        raise argparse.ArgumentTypeError("a whole number above 0")
    return int(text)


def _loaded(options: Any) -> Any:
    """Return the application; a module that raises something of its own is refused with its traceback."""
    try:
        return application(options.application, factory=options.factory)
    except (AsyncMetaError, Refusal, KeyboardInterrupt):
        raise
    except BaseException as error:  # also SystemExit: a program that was not made to be imported
        raised, what = error, f"importing {options.application.partition(':')[0]}"
        if isinstance(error, Failed) and error.__cause__ is not None:
            raised, what = error.__cause__, f"calling {options.application}"
        traceback.print_exception(raised)
        raise Refusal(f"{what} raised {type(raised).__name__}") from None


def _graph_loaded(options: Any) -> Any:
    """Return the graph of the application; what is declared wrongly refuses the command."""
    try:
        return graph_of(_loaded(options))
    except AsyncMetaError as error:
        raise Refusal(f"{error}\n(`asyncmeta check {options.application}` tells more)") from None


def _written(text: str, file: Path | None) -> None:
    if file is None:
        print(text.rstrip("\n"))
        return
    try:
        file.write_text(text, encoding="utf-8")
    except OSError as error:
        raise Refusal(f"{file} cannot be written: {error.strerror}") from None


def _shows_unicode() -> bool:
    try:
        "█├┄".encode(sys.stdout.encoding or "ascii")
    except (UnicodeError, LookupError):
        return False
    return True


# --- commands ---------------------------------------------------------------------------------------


def _check(options: Any) -> int:
    name, findings = options.application, []
    try:
        loaded = _loaded(options)
        if isinstance(loaded, Served):
            refused = [error for one in loaded.handlers if (error := unfilled(one, loaded.cure)) is not None]
            findings += [finding for error in refused for finding in problems_of(error)]
        graph = graph_of(loaded)
        name = name_of(graph.app)
        picture = diagram(graph, whole=options.all)
    except AsyncMetaError as error:  # the module, or a container that it makes, has a problem already
        findings += problems_of(error)
    else:
        findings += [finding for problem in picture.problems for finding in problems_of(problem)]
        findings += warnings_of(CheckReport(*worth_knowing(graph, ())), "error" if options.strict else "warning")
    text = told(options.format, name, findings)
    if text:
        print(text)
    return int(failed(findings))


def _graph(options: Any) -> int:
    picture = diagram(_graph_loaded(options), whole=options.all)
    forms = {
        "text": lambda: picture.to_text(ascii=options.output is None and not _shows_unicode()),
        "mermaid": picture.to_mermaid,
        "dot": picture.to_dot,
        "json": picture.to_json,
        "html": picture.to_html,
    }
    _written(forms[options.format](), options.output)
    return 0


def _explain(options: Any) -> int:
    graph = _graph_loaded(options)
    items = diagram(graph, whole=True).items
    print("\n\n".join(explanation(graph, item) for item in items_named(items, options.token)))
    if not options.source:
        return 0
    print()
    return _print_source(graph, items, options.token, False)


def _source(options: Any) -> int:
    graph = _graph_loaded(options)
    return _print_source(graph, diagram(graph, whole=True).items, options.token, options.opening)


def _print_source(graph: Any, items: Any, token: str, opening: bool) -> int:
    key = key_named(items, token)
    try:
        print(source_of(graph, key, opening=opening).rstrip("\n"))
    except AsyncMetaError as error:
        print(f"asyncmeta: {error}", file=sys.stderr)
        return 1
    return 0


def _start(options: Any) -> int:
    found = _loaded_for_start(options)
    if isinstance(found, int):
        return found
    try:
        report = asyncio.run(started(found, options.concurrency))
    except KeyboardInterrupt:
        return 130
    except Exception as error:
        traceback.print_exception(error)
        return 1
    forms = {"text": report.to_text, "json": report.to_json, "mermaid": report.to_mermaid}
    print(forms[options.format]().rstrip("\n"))
    if options.html is not None:
        _written(report.to_html(), options.html)
    return 0


def _loaded_for_start(options: Any) -> Container | int:
    try:
        found = _loaded(options)
        return container_for(found)
    except AsyncMetaError as error:
        print(
            f"asyncmeta: {error}" if isinstance(error, GraphErrors) else f"asyncmeta: {type(error).__name__}: {error}",
            file=sys.stderr,
        )
        return 1


def _diff(options: Any) -> int:
    texts = []
    for file in (options.old, options.new):
        try:
            texts.append(file.read_text(encoding="utf-8"))
        except (OSError, UnicodeError) as error:
            raise Refusal(f"{file} cannot be read: {getattr(error, 'strerror', None) or 'it is no UTF-8'}") from None
    try:
        found = changes(*texts)
    except ValueError as error:
        raise Refusal(str(error)) from None
    if options.format == "json":
        print(json.dumps([change._asdict() for change in found], indent=1))
    else:
        lines = [f"{change.kind}: {change.text}{f' ({change.where})' if change.where else ''}" for change in found]
        print("\n".join(lines) or "no difference")
    return int(any(change.kind == "new captive edge" for change in found))
