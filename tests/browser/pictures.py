"""Take the pictures of the how-to pages: ``PYTHONPATH=.:tests python tests/browser/pictures.py docs/howto/pictures``."""

import asyncio
import sys
import tempfile
from pathlib import Path

from asyncmeta import Container, StartReport
from asyncmeta.diagrams import diagram
from browser import chromium
from examples.orders.app import Production
from examples.orders.settings import Settings


async def started() -> StartReport:
    """Start the example's application once."""
    async with Container(Production) as container:
        return await container.start()


def main(folder: Path) -> None:
    """Write the pictures into *folder*."""
    folder.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory() as name:
        work = Path(name)
        Production.register_value(Settings, Settings(work / "orders.csv", work / "orders.sqlite3", spool=work / "spool"))
        pages = {"start": asyncio.run(started()).to_html(), "graph": diagram(Container(Production)).to_html()}
        with chromium.browser() as driver:
            for title, text in pages.items():
                file = work / f"{title}.html"
                file.write_text(text, encoding="utf-8")
                for scheme in ("light", "dark"):
                    chromium.scheme(driver, scheme)
                    driver.set_window_size(1200, 560 if title == "start" else 620)
                    driver.get(file.as_uri())
                    if title == "graph":
                        search = driver.find_element("id", "search")
                        search.send_keys("Session")
                        search.send_keys("\n")
                    else:
                        driver.execute_script("document.querySelectorAll('.critical')[0].focus()")
                    driver.save_screenshot(str(folder / f"{title}-{scheme}.png"))


if __name__ == "__main__":
    main(Path(sys.argv[1]))
