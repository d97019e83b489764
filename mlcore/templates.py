"""Texts from the templates in ``data/templates``, and pages with the JavaScript of ``data/web``."""

import base64
import hashlib
import json
import re
from collections.abc import Callable, Iterable
from functools import cache
from typing import Any

from mlcore.files import installed

# Control characters other than white space, and those that reverse the direction of what follows
CONTROL = re.compile("[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069\ud800-\udfff]")


def fill(name: str, escape: Callable[[str], str] | None = None, **values: Any) -> str:
    """The template with its values; ``format`` is Python's, and shows None as a dash.

    ``escape``: what every text that an expression gives goes through, macros included; by default it is escaped for
    HTML and XML, and what could not be seen there is replaced.
    """
    return str(_environment(escape).get_template(name).render(values))


@cache  # an environment keeps its compiled templates
def _environment(escape: Callable[[str], str] | None) -> Any:
    """Where templates are found, and what values in them go through."""
    from jinja2 import Environment, FileSystemLoader, StrictUndefined

    def show(value: object) -> object:
        if escape is None:
            return CONTROL.sub("\N{REPLACEMENT CHARACTER}", value) if type(value) is str else value  # not markup
        return escape(value) if isinstance(value, str) else value

    environment = Environment(
        loader=FileSystemLoader(installed("templates")),
        autoescape=escape is None,
        finalize=show,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )
    environment.filters["format"] = lambda value, spec: "–" if value is None else f"{value:{spec}}".replace("-", "−")
    return environment


def web_page(name: str, scripts: Iterable[str], data: Any, **values: Any) -> str:
    """A page of this template that may run only these scripts, and has ``data`` for them as JSON."""
    from markupsafe import Markup

    code = "\n".join(installed(f"web/{script}.js").read_text(encoding="utf-8") for script in scripts)
    digest = base64.b64encode(hashlib.sha256(code.encode()).digest()).decode()
    # without "<", no text in it can end the element
    content = json.dumps(data, allow_nan=False, separators=(",", ":")).replace("<", r"\u003c")
    return fill(name, code=Markup(code), digest=digest, data=Markup(content), **values)
