"""What people see."""

from pathlib import Path

from jinja2 import Environment, FileSystemLoader, StrictUndefined


class Pages:
    """The templates; whatever is put into them stays text."""

    def __init__(self) -> None:
        self._templates = Environment(
            loader=FileSystemLoader(Path(__file__).with_name("templates")),
            autoescape=True,
            undefined=StrictUndefined,
            trim_blocks=True,
            lstrip_blocks=True,
        )
        self._templates.filters["money"] = lambda cents: f"{cents // 100:,}.{cents % 100:02}"

    def page(self, name: str, **values: object) -> str:
        """Return the page of this name."""
        return self._templates.get_template(f"{name}.html").render(values)
