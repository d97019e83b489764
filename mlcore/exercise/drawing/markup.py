"""A network in the languages of Mermaid and Graphviz."""

import re

from mlcore.exercise.drawing.graph import Graph
from mlcore.exercise.templates import fill


def to_mermaid(graph: Graph) -> str:
    """A Mermaid flowchart, for Markdown."""
    return fill("network.mmd.j2", _for_mermaid, graph=graph)


def to_dot(graph: Graph) -> str:
    """A graph for ``dot`` of Graphviz."""
    return fill("network.dot.j2", _for_dot, graph=graph)


def _for_mermaid(text: str) -> str:
    """The text with ASCII punctuation that could mean something to Mermaid or Markdown as numeric entities."""
    return re.sub(r"[!-&*;<>?@\\^`{|}~]", lambda found: f"#{ord(found[0])};", text)


def _for_dot(text: str) -> str:
    return text.replace("&", "&amp;").replace("\\", "\\\\").replace('"', '\\"')
