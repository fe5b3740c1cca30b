"""Can people buy a book, with a real browser from a real server?"""

import sqlite3
from contextlib import closing, contextmanager

import pytest

from browser import chromium

pytest.importorskip("aiosqlite")
pytest.importorskip("asyncpg")
pytest.importorskip("fastapi")
pytest.importorskip("greenlet")
pytest.importorskip("httpx")
pytest.importorskip("jinja2")
pytest.importorskip("PIL")
pytest.importorskip("python_multipart")
pytest.importorskip("redis")
pytest.importorskip("sqlalchemy")
pytest.importorskip("uvicorn")

from serving import serving

from asyncmeta import Container
from examples.bookshop.app import Bookshop
from examples.bookshop.settings import Settings
from examples.bookshop.web import make_app

pytestmark = pytest.mark.skipif(bool(chromium.missing()), reason=chromium.missing() or "a browser is there")


@pytest.fixture
def database(tmp_path):
    return tmp_path / "shop.sqlite3"


@pytest.fixture
def shop(driver, database):
    """The first page of a shop that is served; at the end nobody else was asked, and nothing complained of."""
    container = Container(Bookshop, overrides={Settings: Settings(database_url=f"sqlite:///{database}")})
    chromium.requests(driver)
    chromium.console(driver)
    with serving(make_app(container)) as server:
        driver.get(server.address)
        yield driver
        asked = [address for address in chromium.requests(driver) if not address.startswith("data:")]
        driver.get("about:blank")  # the browser lets go of its connections, and the server can end
    assert [address for address in asked if not address.startswith(server.address)] == []


def text(driver, selector):
    return driver.find_element("css selector", selector).text


@contextmanager
def new_page(driver):
    """Wait until what is done in the block has led to another page."""
    from selenium.common.exceptions import WebDriverException
    from selenium.webdriver.support.expected_conditions import staleness_of
    from selenium.webdriver.support.ui import WebDriverWait

    old = driver.find_element("css selector", "html")
    yield
    # In the middle of the change Chromium may say that the node belongs to no document, which is another exception.
    WebDriverWait(driver, 20, ignored_exceptions=[WebDriverException]).until(staleness_of(old))


def follow(driver, link):
    with new_page(driver):
        driver.find_element("link text", link).click()


def fill(driver, **fields):
    """Write into the form."""
    from selenium.webdriver.support.ui import Select

    for name, value in fields.items():
        element = driver.find_element("id", name)
        if element.tag_name == "select":
            Select(element).select_by_value(value)
        else:
            element.clear()
            element.send_keys(value)


def send(driver):
    driver.find_element("css selector", "form button").click()


def orders(database):
    with closing(sqlite3.connect(f"{database.as_uri()}?mode=ro", uri=True)) as connection:
        return connection.execute("SELECT book, quantity, customer, total FROM orders").fetchall()


def test_a_book_is_ordered(shop, database):
    """
    Somebody looks at the books, orders two, is thanked, and finds two fewer on the shelf; reloading orders no more.
    """
    before = text(shop, "#GEB .stock")
    fill(shop, book="GEB", quantity="2", customer="ada@example.org")
    with new_page(shop):
        send(shop)
    thanks, told = text(shop, "h1"), text(shop, "#order")
    with new_page(shop):
        shop.refresh()
    follow(shop, "Back to the books")

    assert thanks == "Thank you"
    assert told == "2 of GEB for ada@example.org: 57.98 EUR"
    assert (before, text(shop, "#GEB .stock")) == ("20", "18")
    assert orders(database) == [("GEB", 2, "ada@example.org", 5798)]
    assert chromium.console(shop) == []


def test_prices_follow_the_currency(shop):
    """
    A click shows the prices in another currency.
    """
    follow(shop, "USD")

    assert text(shop, "#GEB .price") == "31.89"
    assert text(shop, "th:nth-child(3)") == "USD"


def test_the_browser_refuses_what_it_can(shop, database):
    """
    What the form itself forbids is not even sent.
    """
    fill(shop, quantity="0", customer="ada")
    send(shop)

    assert text(shop, "h1") == "Bookshop"
    assert shop.execute_script("return document.querySelectorAll('input:invalid').length") == 2
    assert orders(database) == []


@pytest.mark.parametrize(
    ("fields", "why"),
    [
        ({"quantity": "0", "customer": "ada@example.org"}, "quantity: Input should be greater than or equal to 1"),
        ({"quantity": "21", "customer": "ada@example.org"}, "only 20 of GEB are left"),
        ({"quantity": "1", "customer": "<script>alert(1)</script>@example.org"}, "customer: "),
    ],
)
def test_a_bad_order_is_refused_by_the_shop(shop, database, fields, why):
    """
    Whoever gets past the form is told by the shop; nothing is ordered, and nothing that was written is run.
    """
    shop.execute_script("document.forms[0].noValidate = true")
    fill(shop, book="GEB", **fields)
    with new_page(shop):
        send(shop)

    assert text(shop, "h1") == "That did not work"
    assert text(shop, "#wrong").startswith(why)
    assert orders(database) == []
    follow(shop, "Back to the books")
    assert text(shop, "#GEB .stock") == "20"


def test_the_reports_are_pages(shop):
    """
    The start report opens in the browser and names the database.
    """
    address = shop.current_url

    shop.get(f"{address}start")

    assert "AsyncEngine" in shop.execute_script("return document.body.textContent")
    assert chromium.console(shop) == []
