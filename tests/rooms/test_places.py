"""Where was something written?  Lines of one code share what is known of it, and are told from those of other code."""

import sys
import threading

from asyncmeta._names import Place

SOURCE = "def note(of, frame):\n    return of(frame())\n\nfound = note(of, frame)\n"


def run(name, file="written.py"):
    """Run SOURCE anew as the module *name*; return the place that it notes."""
    names = {"__name__": name, "of": Place.of, "frame": lambda: sys._getframe(1)}
    exec(compile(SOURCE, file, "exec"), names)
    return names["found"]


def here():
    return Place.of(sys._getframe(1))


def test_a_place_says_where_it_is_whatever_was_noted_before():
    """File, line, module and function are those of the frame, also in turns with places in other code."""
    found = []
    for _ in range(2):
        found.append((here(), run("one"), run("two", "other.py")))  # no comprehension: in one Python it is a function

    for mine, one, two in found:
        assert (mine.file, mine.module) == (__file__, __name__)
        assert mine.within == test_a_place_says_where_it_is_whatever_was_noted_before.__qualname__
        assert (one.file, one.line, one.module, one.within) == ("written.py", 2, "one", "note")
        assert (two.file, two.line, two.module, two.within) == ("other.py", 2, "two", "note")


def test_code_that_is_run_by_another_name_is_another_one():
    """One code object that stands for two modules, one after the other, tells which."""
    code = compile(SOURCE, "written.py", "exec")
    found = []
    for name in ("one", "two"):
        names = {"__name__": name, "of": Place.of, "frame": lambda: sys._getframe(1)}
        exec(code, names)
        found.append(names["found"])

    assert [place.module for place in found] == ["one", "two"]


def test_lines_of_one_code_are_one_code_and_no_second_time():
    """Two lines of a function are of the same code; neither is written again."""
    first = here()
    second = here()

    assert first.line + 1 == second.line
    assert first.code == second.code
    assert not second.written_again(first)


def test_what_is_compiled_anew_is_written_again_also_when_the_former_code_is_gone():
    """A module that is run again is known by its code, which may have been freed, and its address used anew."""
    first = run("shop")
    second = run("shop")

    assert second.written_again(first)
    assert second.code != first.code


def test_a_thread_that_no_module_began_is_told_from_a_module_that_calls_the_same_function():
    """Where nothing tells which module was running, nothing is said about its being run again."""
    found = [here()]
    thread = threading.Thread(target=lambda: found.append(Place.of(sys._getframe(0))))
    thread.start()
    thread.join()
    module = {"__name__": "begins", "here": here}
    exec(compile("found = here()", "begins.py", "exec"), module)

    assert found[1].code[1] != module["found"].code[1]
    assert str(module["found"]) == "begins.py:1"
