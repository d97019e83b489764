"""A network in the languages of Mermaid and Graphviz."""

import json
import re

from mlcore.exercise.drawing.graph import Graph, edge_lines, node_lines


def to_mermaid(graph: Graph) -> str:
    """A Mermaid flowchart, for Markdown."""
    title = " ".join([f"{graph.title}.", *graph.notes])
    lines = ["---", f"title: {json.dumps(title, ensure_ascii=False)}", "---", "flowchart LR"]
    for number, column in enumerate(graph.columns):
        heading = ", ".join(filter(None, (column.title, column.subtitle)))
        lines.append(f'  subgraph c{number}["{_for_mermaid(heading)}"]')
        for index in graph.members(number):
            node = graph.nodes[index]
            left, right = ("([", "])") if node.kind in ("input", "bias") else ("(", ")")
            text = "<br/>".join(map(_for_mermaid, node_lines(graph, index)))
            state = f":::{node.state}" if node.state else ""
            lines.append(f'    n{index}{left}"{text}"{right}{state}')
        lines.append("  end")
    for edge in graph.edges:
        text = "<br/>".join(map(_for_mermaid, edge_lines(edge)))
        lines.append(f'  n{edge.source} -->|"{text}"| n{edge.target}')
    lines += ["  classDef on stroke-width:2px", "  classDef off opacity:0.6"]
    lines += ["  classDef kink stroke:#c77700,stroke-width:2px,stroke-dasharray:6 4"]
    if faint := [str(number) for number, edge in enumerate(graph.edges) if not edge.gradient]:
        lines.append(f"  linkStyle {','.join(faint)} stroke-opacity:0.35")
    return "\n".join(lines) + "\n"


def to_dot(graph: Graph) -> str:
    """A graph for ``dot`` of Graphviz."""
    title = "\\n".join(map(_for_dot, [graph.title, *graph.notes]))
    lines = [
        "digraph network {",
        f'  graph [rankdir=LR, nodesep=0.4, ranksep=1.4, labelloc=b, fontname="sans-serif", label="{title}"]',
        '  node [shape=box, style=rounded, fontname="sans-serif"]',
        '  edge [fontname="sans-serif", fontsize=10, arrowsize=0.6]',
    ]
    dashed = ', style="rounded,dashed", color=darkorange3, penwidth=2'
    styles = {"off": ", color=gray60, fontcolor=gray40", "kink": dashed}
    for index, node in enumerate(graph.nodes):
        label = "\\n".join(map(_for_dot, node_lines(graph, index)))
        lines.append(f'  n{index} [label="{label}"{styles.get(node.state, "")}]')
    for number in range(len(graph.columns)):
        members = graph.members(number)
        if len(members) > 1:  # invisible edges keep them in order
            lines.append(f"  {{ rank=same; {' -> '.join(f'n{index}' for index in members)} [style=invis] }}")
    for edge in graph.edges:
        label = "\\n".join(map(_for_dot, edge_lines(edge)))
        faint = "" if edge.gradient else ", color=gray75, fontcolor=gray45"
        lines.append(f'  n{edge.source} -> n{edge.target} [label="{label}"{faint}]')
    return "\n".join([*lines, "}"]) + "\n"


def _for_mermaid(text: str) -> str:
    """The text with ASCII punctuation that could mean something to Mermaid or Markdown as numeric entities."""
    return re.sub(r"[!-&*;<>?@\\^`{|}~]", lambda found: f"#{ord(found[0])};", text)


def _for_dot(text: str) -> str:
    return text.replace("&", "&amp;").replace("\\", "\\\\").replace('"', '\\"')
