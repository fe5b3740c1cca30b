"""The example of the pipeline, with the models that its packages ship; nothing here needs a network."""

import asyncio
import csv
import os
import re
import sqlite3
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Iterable, Iterator
from contextlib import closing, contextmanager
from dataclasses import replace
from pathlib import Path

import pytest

pytest.importorskip("aiosqlite", reason="needs aiosqlite")
pytest.importorskip("py3langid", reason="needs py3langid")
pytest.importorskip("vaderSentiment", reason="needs vaderSentiment")

from helpers import guarded, settled

from asyncmeta import All, AsyncServiceBase, Container, inject_dependency
from asyncmeta.testing import recording
from examples.pipeline.analysis import Analyser, TextAnalysis
from examples.pipeline.app import Outcome, Pipeline, ResearchPipeline, run
from examples.pipeline.database import Results
from examples.pipeline.languages import UNKNOWN, Guess, LanguageModel, Pretrained
from examples.pipeline.sentiment import Sentiment, SentimentModel
from examples.pipeline.settings import Settings
from examples.pipeline.steps import Limits, Refused, Step

from . import STRICT, reads_the_word_list

pytestmark = reads_the_word_list

ROOT = Path(__file__).parents[2]
TEXTS = ROOT / "examples" / "pipeline" / "texts.csv"

#: line of the shipped file -> why it is refused; all other lines are stored
REFUSED = {9: "empty", 15: "broken encoding", 20: "empty", 26: "too long"}

#: line of the shipped file -> how it sounds, to everybody
MOODS = {
    2: "positive",
    4: "negative",
    7: "neutral",
    12: "positive",
    14: "negative",
    19: "negative",
    24: "positive",
    30: "neutral",
    33: "negative",
}

CLEAR = {
    "en": "The weather was so fine that we walked home along the river.",
    "de": "Das Wetter war so schön, dass wir am Fluss entlang nach Hause gegangen sind.",
    "fr": "Il faisait si beau que nous sommes rentrés à pied le long de la rivière.",
    "es": "Hacía tan buen tiempo que volvimos a casa caminando por la orilla del río.",
    "it": "Il tempo era così bello che siamo tornati a casa a piedi lungo il fiume.",
    "nl": "Het weer was zo mooi dat we langs de rivier naar huis zijn gelopen.",
    "ru": "Погода была такая хорошая, что мы пошли домой пешком вдоль реки.",
    "el": "Χθες το βράδυ περπατήσαμε μαζί δίπλα στη θάλασσα.",
    "ja": "天気がとても良かったので、川沿いを歩いて家に帰りました。",
}


def command(*options: str | Path, code: str = "", temporary: Path | None = None) -> subprocess.CompletedProcess[str]:
    """Run the example from the project's root; a warning (a value left open, say) fails it."""
    what = ["-c", code] if code else ["-m", "examples.pipeline"]
    environment = os.environ | {"PYTHONIOENCODING": "utf-8"} | ({"TMPDIR": str(temporary)} if temporary else {})
    return subprocess.run(
        [sys.executable, *STRICT, *what, *map(str, options)],
        cwd=ROOT, env=environment, capture_output=True, encoding="utf-8", timeout=120,
    )  # fmt: skip


@contextmanager
def opened(database: Path) -> Iterator[sqlite3.Connection]:
    """Open the database file for reading, without the program."""
    with closing(sqlite3.connect(f"{database.as_uri()}?mode=ro", uri=True)) as connection:
        connection.row_factory = sqlite3.Row
        yield connection


def everything(database: Path) -> list[str]:
    """Return the whole contents of a database, as text, whatever order it was written in."""
    with opened(database) as connection:
        return sorted(connection.iterdump())


def stored(database: Path) -> dict[int, sqlite3.Row]:
    """Return what is stored, with the mood of those that have one, by line."""
    with opened(database) as connection:
        rows = connection.execute("SELECT * FROM analyses LEFT JOIN sentiments USING (file, line)").fetchall()
    return {row["line"]: row for row in rows}


def known() -> dict[int, str]:
    """Return the languages of the shipped file's rows by line, as their author wrote them."""
    with TEXTS.open(encoding="utf-8", errors="replace", newline="") as file:
        return {line: row["language"] for line, row in enumerate(csv.DictReader(file), start=2)}


def written(folder: Path, texts: Iterable[str | bytes]) -> Path:
    """Write a file of *texts*, one a line from line 2, none of which needs quoting."""
    path = folder / "texts.csv"
    lines = [b"text", *(text if isinstance(text, bytes) else text.encode() for text in texts)]
    path.write_bytes(b"\n".join(lines) + b"\n")
    return path


class English(AsyncServiceBase):
    """A layer with a model that finds all texts English, and loads nothing."""

    class Model:
        name = "english"

        async def language_of(self, text: str) -> Guess:
            return Guess("en", 1.0)

    @inject_dependency(LanguageModel)
    @staticmethod
    def make_model() -> LanguageModel:
        return English.Model()


class Flat(AsyncServiceBase):
    """A layer that hears a mood in no text, but for a word that the database takes no mood for."""

    class Model:
        async def sentiment_of(self, text: str) -> Sentiment:
            return Sentiment("furious" if "furious" in text else "neutral", 0.0)

    @inject_dependency(SentimentModel)
    @staticmethod
    def make_model() -> SentimentModel:
        return Flat.Model()


class FakePipeline(English, Flat, Pipeline):
    """The pipeline with models that are no models."""


# --- the command line, and what the models find -----------------------------------------------------

Done = tuple[subprocess.CompletedProcess[str], Path]


@pytest.fixture(scope="module")
def shipped(tmp_path_factory: pytest.TempPathFactory) -> Done:
    """The shipped texts, analysed once: what was printed, and the database."""
    database = tmp_path_factory.mktemp("pipeline") / "results.sqlite3"
    done = command(TEXTS, "--database", database, "--at-once", "4")
    assert (done.returncode, done.stderr) == (0, "")
    return done, database


def test_languages_of_the_shipped_texts_are_found(shipped: Done) -> None:
    """
    Of the texts whose language is known at least nine in ten are judged right; the number that is printed is the true one.
    """
    done, database = shipped
    language = known()
    found = stored(database)
    right = [line for line, row in found.items() if row["language"] == language[line]]

    assert found.keys() == language.keys() - REFUSED.keys()
    assert len({language[line] for line in found}) > 10
    assert len(right) >= 0.9 * len(found)
    assert re.search(rf"^right +{len(right)}  of {len(found)} ", done.stdout, re.MULTILINE)
    assert {row["model"] for row in found.values()} == {"py3langid"}


def test_only_english_texts_have_a_mood_and_it_is_theirs(shipped: Done) -> None:
    """
    Clearly kind, clearly angry and plain English texts are told apart; a text in another language has no sentiment.
    """
    found = stored(shipped[1])

    assert {line for line, language in known().items() if language == "en"} - REFUSED.keys() == MOODS.keys()
    assert {line: row["mood"] for line, row in found.items() if row["mood"]} == MOODS
    assert all((row["mood"] is None) == (row["language"] != "en") for row in found.values())


def test_a_faulty_line_is_told_and_stops_no_other(shipped: Done) -> None:
    """
    Each faulty line is printed with its reason and stored nowhere; all other lines are stored.
    """
    done, database = shipped
    refusals = done.stdout.partition("\nrefused")[2]
    told = {int(line): why for line, why in re.findall(r"^ +line +(\d+)  '.*' ([a-z ]+):", refusals, re.MULTILINE)}

    assert told == REFUSED
    assert stored(database).keys() == known().keys() - REFUSED.keys()
    assert max(map(len, done.stdout.splitlines())) < 200


def test_the_start_report_says_what_the_model_cost(shipped: Done) -> None:
    """
    What is printed names the model and its seconds, and that the start waited for it.
    """
    start = shipped[0].stdout.partition("\nStart\n")[2]
    total = re.match(r"started \d+ values in ([\d.]+) s", start)
    model = re.search(r"^  LanguageModel .* ([\d.]+) s \*$", start, re.MULTILINE)

    assert total and model
    assert 0.05 < float(model[1]) <= float(total[1])


def test_the_number_at_once_changes_no_result(shipped: Done, tmp_path: Path) -> None:
    """
    One text at a time gives the same database as four; a second run into it begins anew and gives it again.
    """
    database = tmp_path / "results.sqlite3"
    for at_once in ("1", "7"):
        done = command(TEXTS, "--database", database, "--at-once", at_once)
        assert (done.returncode, done.stderr) == (0, "")
        assert everything(database) == everything(shipped[1])


def test_another_model_is_chosen_and_the_usual_one_not_even_imported(tmp_path: Path) -> None:
    """
    With the other layer the program needs neither the package of the usual model nor the time to load it.
    """
    database = tmp_path / "results.sqlite3"
    code = (
        "import sys; sys.modules['py3langid'] = sys.modules['numpy'] = None\n"
        "from examples.pipeline.__main__ import main; sys.exit(main())"
    )

    done = command("--model", "words", "--database", database, code=code)

    assert (done.returncode, done.stderr) == (0, "")
    found = stored(database)
    language = known()
    assert {row["model"] for row in found.values()} == {"common words"}
    # It knows six languages; of the others it says that it does not know, or it is wrong.
    mine = {line: row for line, row in found.items() if language[line] in ("de", "en", "es", "fr", "it", "nl")}
    assert sum(row["language"] == language[line] for line, row in mine.items()) >= 0.9 * len(mine)
    assert all(row["language"] == UNKNOWN for line, row in found.items() if language[line] in ("el", "ja", "ko", "ru", "uk"))


def test_by_itself_it_makes_a_database_and_names_it(tmp_path: Path) -> None:
    """
    Without options the shipped file is read, and the new database's path is printed.
    """
    done = command("--model", "words", temporary=tmp_path)

    assert (done.returncode, done.stderr) == (0, "")
    named = re.match(r"texts\.csv -> (.+) \(words\)$", done.stdout, re.MULTILINE)
    assert named
    assert Path(named[1]).is_relative_to(tmp_path)
    assert stored(Path(named[1])).keys() == known().keys() - REFUSED.keys()


@pytest.mark.parametrize("contents", [None, "words\nhello\n", b"\xff\xfe\x00", "text\n" + "a" * 200_000])
def test_a_file_that_is_none_of_texts_is_refused_in_one_line(tmp_path: Path, contents: str | bytes | None) -> None:
    """
    A file that is not there, has no column of texts or no rows ends the program with a sentence.
    """
    texts = tmp_path / "texts.csv"
    if contents is not None:
        texts.write_bytes(contents if isinstance(contents, bytes) else contents.encode())

    done = command(texts, "--database", tmp_path / "results.sqlite3", "--model", "words")

    assert done.returncode == 1
    assert done.stderr.startswith("pipeline: ")
    assert done.stderr.count("\n") == 1
    assert not (tmp_path / "results.sqlite3").exists()


def test_a_file_that_is_no_database_is_refused_and_left_alone(tmp_path: Path) -> None:
    """
    What SQLite says about the file ends the program with a sentence; nothing is written to it.
    """
    database = tmp_path / "results.sqlite3"
    database.write_text("dear diary, " * 100)

    done = command("--database", database, "--model", "words")

    assert done.returncode == 1
    assert done.stderr == "pipeline: file is not a database\n"
    assert database.read_text() == "dear diary, " * 100


def test_nothing_at_once_is_refused() -> None:
    """
    A bound below one is told as a mistake of the command line.
    """
    done = command("--at-once", "0")

    assert done.returncode == 2
    assert "0 is less than 1" in done.stderr


# --- one text, as an endpoint asks --------------------------------------------------------------------


@guarded
async def test_another_application_analyses_with_a_base_and_a_line() -> None:
    """
    An application with TextAnalysis among its bases can ask for an Analyser, and clear sentences are judged right.
    """

    class Bookshop(TextAnalysis):
        pass

    async with Container(Bookshop) as container:
        analyser = await container.get(Analyser)
        found = {language: await analyser.analyse(text) for language, text in CLEAR.items()}

    assert {language: analysis.language for language, analysis in found.items()} == {language: language for language in CLEAR}
    assert [language for language, analysis in found.items() if analysis.sentiment] == ["en"]
    assert all(0.5 < analysis.confidence <= 1 for analysis in found.values())


@pytest.mark.parametrize(
    ("text", "mood"),
    [
        ("This is the best book that I have ever read, I love it!", "positive"),
        ("What a horrible, disgusting and stupid film, I hate it.", "negative"),
        ("The book has three hundred pages.", "neutral"),
        ("The food was not good.", "negative"),
    ],
)
@guarded
async def test_the_mood_of_clear_english_texts(text: str, mood: str) -> None:
    """
    Kind and angry English texts are told apart, negations included.
    """

    class Application(English, TextAnalysis):
        pass

    async with Container(Application) as container:
        analysis = await (await container.get(Analyser)).analyse(text)

    assert analysis.sentiment is not None
    assert analysis.sentiment.mood == mood


def test_who_analyses_needs_neither_files_nor_a_database_nor_a_loaded_model() -> None:
    """
    Importing the analysis imports no database, no CSV and neither model's package.
    """
    code = (
        "import sys, examples.pipeline.analysis\n"
        "print(sorted({'aiosqlite', 'sqlite3', 'csv', 'numpy', 'py3langid', 'vaderSentiment'} & set(sys.modules)))"
    )

    done = command(code=code)

    assert (done.stdout, done.stderr) == ("[]\n", "")


@guarded
async def test_steps_run_in_the_order_in_which_they_are_declared() -> None:
    """
    The shipped steps come in the order of their file, an application's own ones after them, each seeing what the last one left.
    """
    seen = []

    class Application(English, Flat, TextAnalysis):
        pass

    @inject_dependency(Step, multi=True, on=Application)
    class Shouted(AsyncServiceBase):
        async def apply(self, text: str) -> str:
            seen.append(text)
            return text.upper()

    @inject_dependency(Step, multi=True, on=Application)
    class Quoted(AsyncServiceBase):
        async def apply(self, text: str) -> str:
            seen.append(text)
            return f"«{text}»"

    async with Container(Application) as container:
        steps = await container.get(All[Step])
        analysis = await (await container.get(Analyser)).analyse(
            " Cafe\u0301,\r\n see  https://example.org/menu or\task me@example.org "
        )

    assert [type(step).__name__ for step in steps] == [
        "Readable", "Composed", "WithoutAddresses", "OneLine", "Measured", "Shouted", "Quoted",
    ]  # fmt: skip
    assert seen == ["Caf\u00e9, see or ask", "CAF\u00c9, SEE OR ASK"]
    assert analysis.text == "«CAF\u00c9, SEE OR ASK»"


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("", "empty"),
        (" \t\n", "empty"),
        ("https://example.org/", "empty"),
        ("12345678901", "too long"),
        ("caf\udce9", "broken encoding"),
        ("caf\ufffd", "broken encoding"),
    ],
)
@guarded
async def test_a_text_that_cannot_be_judged_is_refused(text: str, reason: str) -> None:
    """
    Empty, broken and too long texts are refused with a reason; an application says itself what is too long.
    """

    class Application(English, Flat, TextAnalysis):
        pass

    Application.register_value(Limits, Limits(longest=10))
    async with Container(Application) as container:
        analyser = await container.get(Analyser)
        assert (await analyser.analyse("  1234567890  ")).text == "1234567890"  # measured after the blanks are gone
        with pytest.raises(Refused) as refused:
            await analyser.analyse(text)

    assert refused.value.reason == reason


# --- several texts at a time -----------------------------------------------------------------------------


@guarded
async def test_the_bound_is_kept_and_used(tmp_path: Path) -> None:
    """
    As many texts are in work as were allowed, never more, and each is taken once.
    """
    texts = [f"text {number}" for number in range(12)]
    inside, most, judged = 0, 0, []
    full = asyncio.Barrier(3)  # hangs unless three are in work together

    class Crowd(AsyncServiceBase):
        class Model:
            name = "crowd"

            async def language_of(self, text: str) -> Guess:
                nonlocal inside, most
                judged.append(text)
                inside += 1
                most = max(most, inside)
                await settled()  # whoever else may come in, comes now
                await full.wait()
                inside -= 1
                return Guess("en", 1.0)

        @inject_dependency(LanguageModel)
        @staticmethod
        def make_model() -> LanguageModel:
            return Crowd.Model()

    class Crowded(Crowd, FakePipeline):
        pass

    outcome = await run(Crowded, Settings(written(tmp_path, texts), tmp_path / "results.sqlite3", at_once=3))

    assert most == 3
    assert sorted(judged) == sorted(texts)
    assert [row.text for row, _ in outcome.stored] == texts


@guarded
async def test_each_text_has_a_scope_and_a_transaction_of_its_own(tmp_path: Path) -> None:
    """
    For each text a desk is made and a transaction begun and ended; the models and the analyser are made once.
    """
    texts = written(tmp_path, ["one", "two", "three"])

    with recording() as seen:
        await run(FakePipeline, Settings(texts, tmp_path / "results.sqlite3", at_once=2))

    made = Counter(seen.built)
    assert made["Desk"] == 3
    assert made["Results"] == seen.closed.count("Results") == 3 + 1  # one more forgets what was there
    assert made["LanguageModel"] == made["SentimentModel"] == made["Analyser"] == made["Database"] == 1


@guarded
async def test_a_faulty_line_is_told_and_the_others_are_analysed(tmp_path: Path) -> None:
    """
    Rows that are short, broken or empty are refused one by one, in the order of their lines, whatever finishes first.
    """
    texts = written(tmp_path, ["one", b"t\xf6rn", "two", '""', "\x00", "\ufeffthree"])

    outcome: Outcome = await run(FakePipeline, Settings(texts, tmp_path / "results.sqlite3", at_once=6))

    assert [(row.line, refused.reason) for row, refused in outcome.refused] == [(3, "broken encoding"), (5, "empty")]
    assert [row.line for row, _ in outcome.stored] == [2, 4, 6, 7]
    assert stored(tmp_path / "results.sqlite3").keys() == {2, 4, 6, 7}


@pytest.mark.parametrize("at_once", [1, 3])
@guarded
async def test_a_failure_in_the_middle_leaves_no_text_half_written(tmp_path: Path, at_once: int) -> None:
    """
    Where the second statement of a text fails, its first is undone, the run ends, and what was finished stays whole.
    """
    texts = written(tmp_path, ["one", "two", "three", "furious", "five", "six", "seven"])
    database = tmp_path / "results.sqlite3"

    with pytest.raises(ExceptionGroup) as failure:
        await run(FakePipeline, Settings(texts, database, at_once))

    assert failure.group_contains(sqlite3.IntegrityError)
    found = stored(database)
    assert all(row["mood"] for row in found.values())
    assert 5 not in found
    assert found.keys() >= ({2, 3, 4} if at_once == 1 else {2})
    assert found.keys().isdisjoint({6, 7, 8} if at_once == 1 else {8})


@guarded
async def test_a_cancelled_run_leaves_no_text_half_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """
    A run that is cancelled between two statements of a text keeps what was finished, and nothing of this text.
    """
    texts = written(tmp_path, ["one", "two", "three"])
    database = tmp_path / "results.sqlite3"
    half = asyncio.Event()
    whole = Results.add

    async def add(self, row, analysis):
        if row.text == "two":
            await whole(self, row, replace(analysis, sentiment=None))
            half.set()
            await asyncio.Event().wait()
        await whole(self, row, analysis)

    monkeypatch.setattr(Results, "add", add)
    running = asyncio.create_task(run(FakePipeline, Settings(texts, database, at_once=1)))
    await half.wait()
    running.cancel()
    with pytest.raises(asyncio.CancelledError):
        await running

    assert stored(database).keys() == {2}


# --- the model -------------------------------------------------------------------------------------------------


@guarded
async def test_a_mixin_swaps_the_model(tmp_path: Path) -> None:
    """
    What a mixin class registers stands before what the pipeline has; the pipeline itself keeps its own.
    """
    texts = written(tmp_path, [CLEAR["en"], CLEAR["de"], CLEAR["ja"]])

    class Never(AsyncServiceBase):
        @inject_dependency(LanguageModel)
        @staticmethod
        def load() -> LanguageModel:
            raise AssertionError("a model that is swapped must not be loaded")

    class Swapped(ResearchPipeline, Never):
        pass

    found = {}
    for application in (Pipeline, ResearchPipeline, Swapped):
        outcome = await run(application, Settings(texts, tmp_path / "results.sqlite3"))
        assert [timing.key for timing in outcome.start.builds].count("LanguageModel") == 1
        found[application] = [(analysis.model, analysis.language) for _, analysis in outcome.stored]

    assert found[Pipeline] == [("py3langid", "en"), ("py3langid", "de"), ("py3langid", "ja")]
    assert found[ResearchPipeline] == [("common words", "en"), ("common words", "de"), ("common words", UNKNOWN)]
    assert found[Swapped] == found[ResearchPipeline]


class Timed(AsyncServiceBase):
    """A layer that notes in which threads the usual model is loaded, and how long that takes."""

    threads: list[threading.Thread]
    seconds: list[float]

    @inject_dependency(LanguageModel, in_thread=True)
    def load_model(self) -> LanguageModel:
        began = time.perf_counter()
        model = Pretrained.load_model()
        self.threads.append(threading.current_thread())
        self.seconds.append(time.perf_counter() - began)
        return model


@guarded
async def test_the_model_is_loaded_once_and_in_another_thread() -> None:
    """
    Texts that come at once and before any start share one load, which is not done by the loop's thread.
    """

    class Application(Timed, TextAnalysis):
        threads = []
        seconds = []

    async with Container(Application) as container:
        analyser = await container.get(Analyser)
        found = await asyncio.gather(*(analyser.analyse(text) for text in CLEAR.values()))

    assert [analysis.language for analysis in found] == list(CLEAR)
    assert len(Application.threads) == 1
    assert Application.threads[0] is not threading.current_thread()


@guarded
async def test_the_start_report_has_the_seconds_that_the_load_took() -> None:
    """
    The line of the model says at least what the load itself measured, and not much more than the whole start.
    """

    class Application(Timed, TextAnalysis):
        threads = []
        seconds = []

    async with Container(Application) as container:
        report = await container.start()

    (model,) = [timing for timing in report.builds if timing.key == "LanguageModel"]
    (measured,) = Application.seconds
    assert measured <= model.ran <= report.seconds
    assert model in report.critical_path


class OnTheLoop(AsyncServiceBase):
    """A layer with the usual model, loaded where it is asked for."""

    @inject_dependency(LanguageModel)
    @staticmethod
    def load_model() -> LanguageModel:
        return Pretrained.load_model()


class Blocking(OnTheLoop, TextAnalysis):
    """All that TextAnalysis is, but for the thread."""


async def longest_pause(application: type[AsyncServiceBase]) -> tuple[float, float]:
    """Start *application*; return the longest time in which the loop ran nothing else, and what the model took, in seconds."""
    longest = 0.0

    async def tick() -> None:
        nonlocal longest
        last = time.perf_counter()
        while True:
            await asyncio.sleep(0.001)
            now = time.perf_counter()
            longest, last = max(longest, now - last), now

    async with Container(application) as container:
        ticker = asyncio.create_task(tick())
        await asyncio.sleep(0)
        report = await container.start()
        await asyncio.sleep(0.002)  # the tick that a held loop owes
        ticker.cancel()
    return longest, next(timing.ran for timing in report.builds if timing.key == "LanguageModel")


# Not guarded: seven loads on a busy machine may well take longer than a test that hangs is given.
async def test_the_loop_stays_responsive_while_the_model_loads() -> None:
    """
    Loaded in a thread, the model stops the loop for less than a quarter of the time for which it does on the loop.

    Less, not never: single calls of C keep the interpreter to themselves, for 20 to 40 of 400 to 700 ms where
    this was measured. Best of three: a busy machine makes pauses longer, never shorter.
    """
    await longest_pause(TextAnalysis)  # imports what is to be imported
    in_thread = [await longest_pause(TextAnalysis) for _ in range(3)]
    on_loop = [await longest_pause(Blocking) for _ in range(3)]

    assert all(pause >= 0.9 * ran for pause, ran in on_loop)  # the measure sees a loop that is held
    assert min(pause for pause, _ in in_thread) < min(pause for pause, _ in on_loop) / 4
