"""The network as a picture: as data first, then as text, SVG or TikZ."""
