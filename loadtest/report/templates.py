"""The page's own files: templates, style sheet and script, and data that is safe within them."""

from importlib import resources
from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup

_environment = Environment(
    loader=PackageLoader("loadtest.report", "assets"),
    autoescape=True,
    undefined=StrictUndefined,
    trim_blocks=True,
    lstrip_blocks=True,
)


def render(template: str, *, css: Markup | None = None, **context: Any) -> str:
    """Return a rendered page; every string in the context is escaped.

    Args:
        css: The style sheet, for a page that is one file; None: the dashboard serves it.
    """
    return _environment.get_template(template).render(context, css=css)


def asset(name: str) -> str:
    """Return the text of one of the page's own files."""
    return (resources.files("loadtest.report") / "assets" / name).read_text(encoding="utf-8")


def as_json(encoded: bytes) -> Markup:
    """Return JSON that no content can break out of a script element."""
    return Markup(encoded.decode().replace("<", "\\u003c"))  # noqa: S704  # it cannot end it
