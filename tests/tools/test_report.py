"""What do the reports say, and how do they draw it?"""

import html
import json
import os
import re
from html.parser import HTMLParser

import pytest

from asyncmeta import AsyncServiceBase, Container, StartReport, Timing
from asyncmeta.report import Health, HealthReport

HOSTILE = '"</script><b onload=x>\n:;#\u202e\x1b[31m'


def report(*rows, seconds=1.0):
    """Return a report of rows (key, waited, ran, needs)."""
    return StartReport([Timing(key, waited, ran, waited + ran, tuple(needs)) for key, waited, ran, needs in rows], seconds)


class Page(HTMLParser):
    """Collects the tags of a page, and its text."""

    def __init__(self, text):
        super().__init__()
        self.tags, self.text = [], ""
        self.feed(text)
        self.close()

    def handle_starttag(self, tag, attrs):
        self.tags.append((tag, dict(attrs)))

    def handle_data(self, data):
        self.text += data


# --- the start report -----------------------------------------------------------------------------


@pytest.mark.parametrize("width", [40, 57, 80, 200])
@pytest.mark.parametrize("ascii", [True, False])
def test_no_line_of_the_waterfall_is_wider_than_asked(width, ascii):
    """
    The waterfall fits the width, whatever the names and times.
    """
    drawn = report(("A" * 90, 0, 0.5, ()), ("b", 0.5, 0.5, ["A" * 90]), ("late", 1.0, 0.0, ()), seconds=0.9)

    assert max(map(len, drawn.to_text(width, ascii=ascii).splitlines()[1:-1])) <= width


def test_bars_stand_where_their_time_was():
    """
    A bar begins where its factory began and is as long as it ran; the shortest is still seen.
    """
    first, second, third = report(
        ("a", 0, 0.5, ()), ("b", 0.5, 0.5, ["a"]), ("c", 0.25, 0.0, ())
    ).to_text(58, ascii=True).splitlines()[1:4]  # fmt: skip

    assert first == "  a  " + "#" * 20 + " " * 20 + "    0.500 s *"
    assert second == "  c  " + " " * 10 + "=" + " " * 29 + "    0.000 s"
    assert third == "  b  " + " " * 20 + "#" * 20 + "    0.500 s *"


def test_the_waterfall_is_as_wide_as_the_terminal(monkeypatch):
    """
    str() asks the terminal for its width; COLUMNS overrides it.
    """
    drawn = report(("a", 0, 1.0, ()))
    monkeypatch.setenv("COLUMNS", "63")

    assert len(str(drawn).splitlines()[1]) == 63


@pytest.mark.parametrize(("columns", "size", "width"), [("", 70, 70), ("0", 70, 70), ("wide", 0, 80), ("", None, 80)])
def test_the_width_of_a_terminal_that_says_little(monkeypatch, columns, size, width):
    """
    Where COLUMNS is no number the terminal is asked, and where that knows nothing, or there is none, it is 80.
    """

    def asked(descriptor):
        if size is None:
            raise OSError("no terminal")
        return os.terminal_size((size, 24))

    monkeypatch.setenv("COLUMNS", columns)
    monkeypatch.setattr("os.get_terminal_size", asked)

    assert len(str(report(("a", 0, 1.0, ()))).splitlines()[1]) == width


@pytest.mark.parametrize(("encoding", "bar"), [("ascii", "#"), ("utf-8", "█"), ("latin-1", "#"), (None, "#"), ("nonsense", "#")])
def test_the_waterfall_is_drawn_with_what_can_be_shown(encoding, bar, monkeypatch):
    """
    Where the standard output cannot show blocks, ASCII is drawn.
    """

    class Stream:
        pass

    stream = Stream()
    stream.encoding = encoding
    monkeypatch.setattr("sys.stdout", stream)

    assert bar in str(report(("a", 0, 1.0, ())))


def test_a_report_without_builds_is_a_line():
    """
    A start that built nothing says so in every form.
    """
    empty = report(seconds=0.0)

    assert str(empty) == "started 0 values in 0.000 s; one after another: 0.000 s"
    assert empty.critical_path == ()
    assert json.loads(empty.to_json())["builds"] == []
    assert empty.to_mermaid().startswith("gantt\n")
    assert "Started 0 values" in empty.to_html()


def test_values_of_one_name_are_told_apart():
    """
    Several values under one name keep their own times, and the path goes through the one that was there in time.
    """
    several = report(("plugin", 0, 0.9, ()), ("plugin", 0, 0.1, ()), ("all", 0.1, 0.85, ["plugin"]), seconds=1.0)

    path = several.critical_path

    assert [(timing.key, timing.ran) for timing in path] == [("plugin", 0.9), ("all", 0.85)]
    assert [build["critical"] for build in json.loads(several.to_json())["builds"]] == [True, False, True]


def test_a_circle_of_names_ends_the_path():
    """
    Names that seem to need each other do not hold the report for ever.
    """
    path = report(("a", 0, 0.5, ["b"]), ("b", 0, 0.5, ["a"])).critical_path

    assert sorted(timing.key for timing in path) == ["a", "b"]


def held(key, begin, end, *needs):
    """Return the timing of a synchronous factory that held the loop."""
    return Timing(key, begin, end - begin, end, needs, [(begin, end)])


def test_the_path_goes_through_who_held_the_loop():
    """
    What could not begin, or could not go on, because a synchronous factory held the loop waited for that one.
    """
    begun_late = StartReport([held("blocking", 0, 0.5), Timing("quick", 0.5, 0.1, 0.6, ())], 0.6)
    base, io = Timing("base", 0, 0.2, 0.2, ()), Timing("io", 0, 0.3, 1.0, ())
    interrupted = StartReport([held("blocking", 0.2, 0.9, "base"), io, base], 1.0)

    assert [timing.key for timing in begun_late.critical_path] == ["blocking", "quick"]
    assert [timing.key for timing in interrupted.critical_path] == ["base", "blocking", "io"]
    assert [build["held"] for build in json.loads(interrupted.to_json())["builds"]] == pytest.approx([0.7, 0, 0])


def test_one_hold_after_another():
    """
    Who waited for several that held the loop, one after another, waited for all of them.
    """
    holds = [held("a", 0, 0.05), held("b", 0.05, 0.1), held("c", 0.1, 0.15)]

    told = StartReport([*holds, Timing("late", 0.15, 0.1, 0.25, ())], 0.25)

    assert [timing.key for timing in told.critical_path] == ["a", "b", "c", "late"]


def test_what_would_have_been_there_without_the_hold_decided_nothing():
    """
    A value whose own time was over while another held the loop is not on the path.
    """
    told = StartReport([held("blocking", 0.001, 0.5), Timing("quick", 0, 0.002, 0.501, ())], 0.501)

    assert [timing.key for timing in told.critical_path] == ["blocking"]


def test_a_short_hold_is_not_to_blame():
    """
    What took longer than the hold of the loop beside it went on meanwhile elsewhere, and every hold of a moment is none.
    """
    told = StartReport([held("blocking", 0.2, 0.4), held("moment", 0, 0.001), Timing("io", 0.001, 0.8, 1.0, ())], 1.0)

    assert [timing.key for timing in told.critical_path] == ["io"]


def test_a_hold_is_marked_where_somebody_waited():
    """
    Who held the loop is told to run in a thread, in text and on the page, but not where everybody needed its value.
    """
    beside = StartReport([held("a", 0, 0.5), Timing("b", 0.5, 0.1, 0.6, ())], 0.6)
    alone = StartReport([held("a", 0, 0.5), Timing("b", 0.5, 0.1, 0.6, ("a",))], 0.6)

    advice = "held the event loop for 0.500 s: in_thread=True runs it beside the others"
    assert beside.to_text(80, ascii=True).splitlines()[-1] == f"  ! a {advice}"
    assert advice in Page(beside.to_html()).text
    assert advice not in alone.to_text() + Page(alone.to_html()).text
    assert [timing.key for timing in alone.critical_path] == ["a", "b"]


def test_a_bar_shows_when_another_held_the_loop():
    """
    The part of a bar in which another factory held the loop is dotted, and its seconds are not those of the row.
    """
    told = StartReport([held("a", 0.25, 0.75), Timing("b", 0, 0.5, 1.0, ())], 1.0)

    first, second = told.to_text(58, ascii=True).splitlines()[1:3]

    assert first == "  b  " + "#" * 10 + "." * 20 + "#" * 10 + "    0.500 s *"
    assert second == "  a  " + " " * 10 + "#" * 20 + " " * 10 + "    0.500 s *"


def test_json_tells_the_sum_beside_the_whole():
    """
    The seconds of all factories and those of the clock stand beside each other.
    """
    told = json.loads(report(("a", 0, 0.5, ()), ("b", 0, 0.75, ()), seconds=0.8).to_json())

    assert told["sum"] == pytest.approx(1.25)
    assert told["seconds"] == pytest.approx(0.8)


def test_a_hostile_name_in_a_report_stays_text():
    """
    A name full of markup, control characters and marks of direction is text in every form.
    """
    drawn = report((HOSTILE, 0, 1.0, ()), ("b", 0, 0.5, [HOSTILE]))
    page = Page(drawn.to_html())

    assert [tag for tag, _ in page.tags if tag in ("script", "b")] == ["b", "b", "b"]  # the sum, and a tip for each row
    assert not any(name.startswith("on") for _, attrs in page.tags for name in attrs)
    assert r'"</script><b onload=x>\n:;#\u202e\x1b[31m' in page.text
    for text in (drawn.to_text(80, ascii=False), drawn.to_text(80, ascii=True), drawn.to_mermaid(), drawn.to_html()):
        assert all(line.isprintable() for line in text.split("\n"))
    assert len(drawn.to_mermaid().splitlines()) == 6
    assert drawn.to_mermaid().splitlines()[4].count(":") == 1


@pytest.mark.parametrize("word", ["click me", "section", "title", "dateFormat", "topAxis", "todayMarker", "weekend"])
def test_a_name_like_a_keyword_is_a_task(word):
    """
    A name that begins like a statement of Mermaid does not begin the line as one.
    """
    line = report((word, 0, 1.0, ())).to_mermaid().splitlines()[-1].strip()

    assert not line.startswith(word)
    assert line.startswith(f"#{ord(word[0])};{word[1:]} :crit, b0, 0, 1000")


def test_the_page_loads_nothing():
    """
    The page names no other resource, and its policy allows none.
    """
    page = Page(report(("a", 0, 1.0, ())).to_html())
    policy = next(attrs["content"] for tag, attrs in page.tags if attrs.get("http-equiv") == "Content-Security-Policy")

    assert policy.startswith("default-src 'none'")
    assert "script-src" not in policy
    assert [attrs for _, attrs in page.tags if "src" in attrs or (attrs.get("href") or "data:").partition(":")[0] != "data"] == []


def test_the_bars_of_the_page_add_up():
    """
    Each row of the page has the seconds of its build, and the sum is that of the rows.
    """
    page = Page(report(("a", 0, 0.5, ()), ("b", 0.5, 0.25, ["a"])).to_html())
    rows = [attrs for tag, attrs in page.tags if tag == "li"]
    bars = [re.findall(r"[\d.]+", attrs["style"]) for tag, attrs in page.tags if attrs.get("class") == "bar"]

    assert [float(row["data-ran"]) for row in rows] == [0.5, 0.25]
    assert [tuple(map(float, bar)) for bar in bars] == [(0.0, 50.0), (50.0, 25.0)]
    assert next(attrs["data-seconds"] for _, attrs in page.tags if attrs.get("id") == "sum") == "0.750000"


async def test_a_real_start_fills_every_form():
    """
    What a container reports can be written in every form.
    """

    class App(AsyncServiceBase):
        pass

    App.register_dependency("base", lambda: 1)
    App.register_dependency("top", lambda base: 2)

    async with Container(App) as container:
        told = await container.start()

    assert '"base"' in told.to_text(80, ascii=True)
    assert "base" in told.to_mermaid()
    assert html.escape('"top"') in told.to_html()


# --- health -----------------------------------------------------------------------------------------


def test_a_health_report_is_ok_while_nothing_fails():
    """
    What is not started is no failure; what failed or ran out of time is.
    """
    well = Health("a", "ok", 0.01)
    waits = Health("b", "not started")

    assert HealthReport([]).ok
    assert HealthReport([well, waits]).ok
    assert not HealthReport([well, Health("c", "failed", 0.1, "OSError")]).ok
    assert not HealthReport([well, Health("d", "timed out", 5.0, "no answer after 5 s")]).ok


def test_a_health_report_speaks_json():
    """
    The report as JSON has every entry with all that is known of it.
    """
    told = json.loads(HealthReport([Health("a", "failed", 0.5, "OSError", ["b", "c"]), Health("z", "not started")]).to_json())

    assert told == {
        "ok": False,
        "entries": [
            {"key": "a", "state": "failed", "seconds": 0.5, "error": "OSError", "degraded": ["b", "c"]},
            {"key": "z", "state": "not started", "seconds": None, "error": None, "degraded": []},
        ],
    }


def test_degraded_is_what_needs_something_that_failed():
    """
    Dependents are named once, and only those of what is not well.
    """
    found = HealthReport(
        [
            Health("a", "failed", 0.1, "OSError", ["x", "y"]),
            Health("b", "timed out", 5.0, None, ["y"]),
            Health("c", "ok", 0.1, None, ["z"]),
        ]
    )

    assert found.degraded == ("x", "y")
    assert [entry.key for entry in found.entries] == ["a", "b", "c"]


def test_a_health_report_is_readable():
    """
    str() has a line for each value, and no control character of anybody's.
    """
    entries = [Health("database", "failed", 0.5, "OSError\x1b[31m", ["b"]), Health("c", "ok", 0.25), Health("d", "not started")]

    assert str(HealthReport(entries)).splitlines() == [
        "not well",
        "  database  failed after 0.500 s: OSError\\x1b[31m; degraded: b",
        "  c         ok after 0.250 s",
        "  d         not started",
    ]


def test_a_state_is_one_of_four():
    """
    A typing error in a state is told where it is made.
    """
    with pytest.raises(ValueError, match="not 'okay'"):
        Health("a", "okay")
