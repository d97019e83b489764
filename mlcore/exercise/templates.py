"""Texts from the templates in ``data/templates``."""

from collections.abc import Callable
from typing import Any

from mlcore.files import installed


def fill(name: str, escape: Callable[[str], str] | None = None, **values: Any) -> str:
    """The template with its values.

    ``escape``: what every text that an expression gives goes through, macros included; by default it is escaped for
    HTML and XML.
    """
    from jinja2 import Environment, FileSystemLoader, StrictUndefined

    environment = Environment(
        loader=FileSystemLoader(installed("templates")),
        autoescape=escape is None,
        finalize=lambda value: escape(value) if escape and isinstance(value, str) else value,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )
    return environment.get_template(name).render(values)
