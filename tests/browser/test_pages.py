"""Do the pages work in a real browser, and ask nobody for anything?"""

import importlib
import itertools
import random
import sys
import time
from pathlib import Path

import pytest

from asyncmeta import AsyncDependencyDescriptor, AsyncServiceBase, Container, StartReport, Timing
from asyncmeta.diagrams import diagram
from browser import chromium

pytestmark = pytest.mark.skipif(bool(chromium.missing()), reason=chromium.missing() or "a browser is there")

HOSTILE = '</script></title><img src="http://127.0.0.1:9/x" onerror=alert(1)><b>\'"&amp;\n\u202e'


@pytest.fixture
def opened(driver, tmp_path):
    """Give a function that opens a page; at the end nothing may have been asked for, and nothing been complained of."""
    pages = []

    def open_page(text, scheme="light"):
        file = tmp_path / f"page{len(pages)}.html"
        file.write_text(text, encoding="utf-8")
        pages.append(file.as_uri())
        chromium.scheme(driver, scheme)
        driver.get(pages[-1])
        return driver

    chromium.requests(driver)
    chromium.console(driver)
    yield open_page
    asked = chromium.requests(driver)
    assert [address for address in asked if not address.startswith("data:")] == pages
    assert chromium.console(driver) == []
    assert driver.execute_script("return performance.getEntriesByType('resource').length") == 0


def elements(driver, selector):
    return driver.find_elements("css selector", selector)


def element(driver, selector):
    (found,) = elements(driver, selector)
    return found


def classes(driver, selector):
    """Return the texts of the nodes that *selector* finds in the drawing."""
    return [one.text.split("\n")[0] for one in elements(driver, f"svg {selector}")]


def report(*more):
    rows = [("Settings", 0.0, 0.001, ()), ("Cache", 0.001, 0.2, ("Settings",)), ("Database", 0.002, 0.4, ("Settings",)), *more]
    return StartReport([Timing(key, waited, ran, waited + ran, needs) for key, waited, ran, needs in rows], 0.5)


def golden(name):
    """Return the page of a small application."""
    folder = str(Path(__file__).parent.parent)
    if folder not in sys.path:
        sys.path.insert(0, folder)
    return diagram(Container(importlib.import_module(f"golden.{name}").Shop, check=False)).to_html()


# --- the start report -----------------------------------------------------------------------------------


def test_the_bars_add_up(opened):
    """
    Each bar begins and ends where its seconds say, and the widths together are the sum that is written.
    """
    driver = opened(report(("Schema", 0.402, 0.09, ("Database",))).to_html())
    rows = driver.execute_script("""
        return [...document.querySelectorAll(".row")].map(row => {
            const bar = row.querySelector(".bar").getBoundingClientRect();
            const track = row.querySelector(".track").getBoundingClientRect();
            return [(bar.left - track.left) / track.width, bar.width / track.width, +row.dataset.waited, +row.dataset.ran];
        });
    """)
    whole = 0.5

    assert len(rows) == 4
    for left, width, waited, ran in rows:
        assert left == pytest.approx(waited / whole, abs=0.003)
        assert width == pytest.approx(ran / whole, abs=0.003)
    assert sum(width for _, width, _, _ in rows) * whole == pytest.approx(0.691, abs=0.005)
    assert element(driver, "#sum").text == "0.691 s"


@pytest.mark.parametrize("width", [320, 400, 700, 1400])
def test_a_start_is_readable_in_any_window(opened, width):
    """
    The labels of the axis stand apart, and nothing stands beside the page, however narrow the window.
    """
    long = "Repository[A_name_that_nobody_would_give_to_anything_but_a_test]"
    driver = opened(report((long, 0.1, 0.3, ("Database",))).to_html())
    size = {"width": width, "height": 800, "deviceScaleFactor": 1, "mobile": False}
    driver.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", size)
    try:
        shown, wide, inside = driver.execute_script("""
            const labels = [...document.querySelectorAll(".axis span:not(.ticks)")].map(one => one.getBoundingClientRect());
            const shown = labels.filter(box => box.width).map(box => [box.left, box.right]);
            return [shown, document.documentElement.scrollWidth, innerWidth];
        """)
    finally:
        driver.execute_cdp_cmd("Emulation.clearDeviceMetricsOverride", {})

    assert inside == width
    assert wide <= width
    assert len(shown) >= 3  # the first and the last second, and what the last column is
    assert [one for one, after in itertools.pairwise(shown) if one[1] + 4 > after[0]] == []


def test_the_critical_path_is_marked(opened):
    """
    The rows of the critical path, and only they, have another colour and are named above.
    """
    driver = opened(report().to_html())
    colours = {}
    for row in elements(driver, ".row"):
        name, bar = (row.find_element("css selector", part) for part in (".name", ".bar"))
        colours[name.text] = bar.value_of_css_property("background-color")

    assert colours["Settings"] == colours["Database"] != colours["Cache"]
    assert "Settings → Database" in element(driver, "#critical").text


def test_details_are_shown_under_the_pointer(opened):
    """
    A row shows its details while the pointer is over it, or the keyboard on it, and not before.
    """
    from selenium.webdriver import ActionChains
    from selenium.webdriver.common.keys import Keys

    driver = opened(report().to_html())
    rows = elements(driver, ".row")
    tips = elements(driver, ".tip")
    hidden = [tip.is_displayed() for tip in tips]

    ActionChains(driver).move_to_element(rows[1]).perform()
    over = [tip.is_displayed() for tip in tips]
    told = tips[1].text
    ActionChains(driver).move_to_element(element(driver, "h1")).send_keys(Keys.TAB).perform()

    assert hidden == [False, False, False]
    assert over == [False, True, False]
    assert told == "Cache\nbegan after 0.001 s, ran 0.200 s, there after 0.201 s\nwaited for Settings"
    assert [tip.is_displayed() for tip in tips] == [True, False, False]


def luminance(colour):
    parts = [int(part) / 255 for part in colour.removeprefix("rgba(").removeprefix("rgb(").rstrip(")").split(",")[:3]]
    red, green, blue = (part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4 for part in parts)
    return 0.2126 * red + 0.7152 * green + 0.0722 * blue


@pytest.mark.parametrize("page", ["start", "application", "broken"])
def test_pages_are_readable_in_light_and_dark(opened, page):
    """
    The ground follows what the reader wishes, and text stands out from it as the accessibility guidelines ask (4.5 to 1).
    """
    text = report().to_html() if page == "start" else golden(page)
    grounds = []
    for scheme in ("light", "dark"):
        driver = opened(text, scheme)
        ground = luminance(element(driver, "body").value_of_css_property("background-color"))
        grounds.append(ground)
        for one in elements(driver, "h1, p, .name, .seconds, aside li, .wrong, #found"):
            above, below = sorted((luminance(one.value_of_css_property("color")), ground), reverse=True)
            assert (above + 0.05) / (below + 0.05) >= 4.5, (scheme, one.text)

    assert grounds[0] > 0.9
    assert grounds[1] < 0.05


# --- the graph --------------------------------------------------------------------------------------------


def test_the_search_finds_a_node(opened):
    """
    Typing marks what fits and counts it; Enter goes from one to the next and shows its facts.
    """
    driver = opened(golden("application"))
    search = element(driver, "#search")

    search.send_keys("DATABASE")
    found, marked = element(driver, "#found").text, classes(driver, ".hit")
    search.send_keys("\n")

    assert found == "1 of 23"
    assert marked == ["Database"]
    assert classes(driver, ".chosen") == ["Database"]
    assert element(driver, "aside h2").text == "Database"
    facts = element(driver, "aside").text
    assert "lifetime\nsingleton" in facts
    assert "made by\nopen_database" in facts
    assert "application.py:" in facts
    assert "dsn: Token('dsn')" in facts
    assert "Needed by\nSession" in facts


@pytest.mark.parametrize("width", [400, 1400])
def test_a_graph_fits_when_it_is_opened(opened, driver, width):
    """
    All of a graph is in the window at first, wide or narrow, also when its size changes; nothing is larger than life.
    """
    outside = """
        const frame = document.getElementById("view").getBoundingClientRect();
        const boxes = [...document.querySelectorAll("svg .node")].map(node => node.getBoundingClientRect());
        return boxes.filter(box => box.left < frame.left || box.right > frame.right + 1
            || box.top < frame.top || box.bottom > frame.bottom + 1).length;
    """
    size = {"height": 800, "deviceScaleFactor": 1, "mobile": False}
    driver.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", {"width": width, **size})
    try:
        opened(golden("application"))
        at_first = driver.execute_script(outside)
        drawn, natural = driver.execute_script("return [svg.getBoundingClientRect().width, width]")
        driver.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", {"width": 600, **size})
        drawn_twice = "const done = arguments[0]; requestAnimationFrame(() => requestAnimationFrame(done));"
        driver.execute_async_script(drawn_twice)
        afterwards = driver.execute_script(outside)
    finally:
        driver.execute_cdp_cmd("Emulation.clearDeviceMetricsOverride", {})

    assert at_first == 0
    assert drawn <= natural
    assert afterwards == 0


def test_facts_lead_from_node_to_node(opened):
    """
    A dependency in the facts is a link to its node; Escape leads back to the overview.
    """
    from selenium.webdriver import ActionChains
    from selenium.webdriver.common.keys import Keys

    driver = opened(golden("application"))
    next(one for one in elements(driver, ".node") if one.text.startswith("Session")).click()
    near = classes(driver, ".near")
    next(one for one in elements(driver, "aside button") if one.text == "Database").click()
    followed = element(driver, "aside h2").text
    ActionChains(driver).send_keys(Keys.ESCAPE).perform()

    assert sorted(near) == ["Database", "Report", "Users"]
    assert followed == "Database"
    assert element(driver, "aside h2").text == "Shop"
    assert classes(driver, ".chosen, svg .near") == []


def test_late_edges_are_dashed_and_problems_marked(opened):
    """
    Late edges, and only they, are dashed; problems have a colour of their own and are listed.
    """
    driver = opened(golden("application"))
    dashes = {late: {one.value_of_css_property("stroke-dasharray") for one in elements(driver, selector)}
              for late, selector in ((True, ".edge.late"), (False, ".edge:not(.late)"))}  # fmt: skip
    driver = opened(golden("broken"))
    strokes = {one.text.split("\n")[0]: one.find_element("css selector", "rect").value_of_css_property("stroke")
               for one in elements(driver, ".node")}  # fmt: skip
    wrong = elements(driver, "aside .wrong")

    assert dashes == {True: {"5px, 4px"}, False: {"none"}}
    assert strokes["Cart"] == strokes["Left"] == strokes["Shop"] != strokes["Session"]
    assert len(elements(driver, ".edge.wrong")) == 3
    assert len(wrong) == 4
    assert "would keep Session" in " ".join(one.text for one in wrong)


def test_hostile_names_are_text(opened):
    """
    A name full of markup is shown as it is: it makes no element, runs nothing and asks for nothing.
    """
    from selenium.common.exceptions import NoAlertPresentException

    class App(AsyncServiceBase):
        pass

    App.register_dependency(HOSTILE, lambda: 1)
    user = type(f"User{HOSTILE}", (AsyncServiceBase,), {HOSTILE: AsyncDependencyDescriptor(HOSTILE)})
    App.register_dependency("user", user)
    App.register_dependency("lost", lambda **more: 1)

    for text in (report((HOSTILE, 0.1, 0.2, (HOSTILE,))).to_html(), diagram(Container(App, check=False)).to_html()):
        driver = opened(text)
        for node in elements(driver, ".node"):
            node.click()
        with pytest.raises(NoAlertPresentException):
            driver.switch_to.alert.accept()
        assert elements(driver, "img, body > b, aside b") == []
        assert "onerror=alert(1)" in driver.execute_script("return document.body.textContent")


def test_five_hundred_nodes_are_quick(opened):
    """
    A graph of 500 nodes is there, is searched and fits the window in times that a reader does not notice.
    """
    choose = random.Random(5)

    class Big(AsyncServiceBase):
        pass

    for number in range(500):
        needs = sorted({choose.randrange(number // 2, number) for _ in range(choose.choice([0, 1, 2, 3]))} if number > 20 else ())
        Big.register_dependency(f"s{number}", eval(f"lambda {', '.join(f's{need}' for need in needs)}: 1"))
    text = diagram(Container(Big)).to_html()

    began = time.perf_counter()
    driver = opened(text)
    loaded = time.perf_counter() - began
    took = driver.execute_script("""
        const began = performance.now();
        search.value = "s499";
        search.dispatchEvent(new Event("input"));
        search.dispatchEvent(new KeyboardEvent("keydown", {key: "Enter"}));
        document.body.getBoundingClientRect();
        return performance.now() - began;
    """)
    element(driver, "#fit").click()
    drawing, view = element(driver, "svg").rect, element(driver, "#view").rect

    assert loaded < 10
    assert took < 1000  # milliseconds
    assert element(driver, "#found").text == "1 of 501"
    assert element(driver, "aside h2").text == '"s499"'
    assert drawing["width"] <= view["width"] + 1
    assert drawing["height"] <= view["height"] + 1


def test_what_is_found_is_brought_into_view(opened):
    """
    The node that a search finds stands in the window, wherever it was.
    """

    class Wide(AsyncServiceBase):
        pass

    for number in range(120):
        Wide.register_dependency(f"n{number}", eval(f"lambda n{number + 1}: 1") if number < 119 else lambda: 1)
    driver = opened(diagram(Container(Wide)).to_html())

    element(driver, "#search").send_keys("n119")
    (hit,) = elements(driver, ".hit")
    box, view = hit.rect, element(driver, "#view").rect

    assert view["x"] <= driver.execute_script("return arguments[0].getBoundingClientRect().left", hit)
    assert driver.execute_script("return arguments[0].getBoundingClientRect().right", hit) <= view["x"] + view["width"]
    assert box["width"] > 100
