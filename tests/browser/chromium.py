"""Where is a Chromium, and how is a page opened in it?"""

import json
import shutil
from contextlib import contextmanager

PROGRAMS = ("chromium", "chromium-browser", "google-chrome")


def missing():
    """Return why no page can be opened here, or ""."""
    try:
        import selenium.webdriver  # noqa: F401  # only whether it is there
    except ImportError:
        return "selenium is not installed"
    if not any(map(shutil.which, PROGRAMS)):
        return "no Chromium is installed"
    return "" if shutil.which("chromedriver") else "no chromedriver is installed"


@contextmanager
def browser():
    """Give a headless Chromium, driven by selenium, that notes every request and every message of its console."""
    from selenium import webdriver
    from selenium.webdriver.chrome.options import Options
    from selenium.webdriver.chrome.service import Service

    options = Options()
    options.binary_location = next(filter(None, map(shutil.which, PROGRAMS)))
    for argument in (
        "--headless=new", "--no-sandbox", "--disable-dev-shm-usage", "--disable-gpu", "--no-first-run", "--hide-scrollbars",
        "--disable-background-networking", "--disable-component-update", "--disable-extensions", "--window-size=1300,800",
    ):  # fmt: skip
        options.add_argument(argument)
    options.set_capability("goog:loggingPrefs", {"browser": "ALL", "performance": "ALL"})
    driver = webdriver.Chrome(options=options, service=Service(shutil.which("chromedriver")))
    try:
        yield driver
    finally:
        driver.quit()


def scheme(driver, name):
    """Let pages see a reader who wishes them "light" or "dark"."""
    driver.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": [{"name": "prefers-color-scheme", "value": name}]})


def console(driver):
    """Return what the console has been told since the last call."""
    return [entry["message"] for entry in driver.get_log("browser")]


def requests(driver):
    """Return the addresses that were asked for since the last call."""
    found = []
    for entry in driver.get_log("performance"):
        message = json.loads(entry["message"])["message"]
        if message["method"] in ("Network.requestWillBeSent", "Network.webSocketCreated"):
            parameters = message["params"]
            found.append(parameters.get("request", parameters)["url"])
    return found
