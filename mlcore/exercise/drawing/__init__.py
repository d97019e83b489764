"""The network as a picture: as data first, then as text, Mermaid, Graphviz, SVG or TikZ."""
