"""The command line: each command parses what was typed, makes one library call and renders the result."""
