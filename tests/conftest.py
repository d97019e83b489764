"""Shared by all tests: how to run the command line, and a small corpus."""

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

REPOSITORY = Path(__file__).parent.parent
DATASETS = REPOSITORY.parent / "shared" / "datasets"

Run = Callable[..., subprocess.CompletedProcess]


@pytest.fixture
def run(tmp_path: Path) -> Run:
    """Run ``mlcore`` in a process of its own, in an empty folder; stdout and stderr apart."""

    def call(*arguments: object, **options: object) -> subprocess.CompletedProcess:
        defaults = {"cwd": tmp_path, "capture_output": True, "text": True, "timeout": 300, "stdin": subprocess.DEVNULL}
        if "input" in options:
            del defaults["stdin"]
        return subprocess.run([sys.executable, "-m", "mlcore", *map(str, arguments)], **(defaults | options))

    return call


REVIEWS = [("pos", "A good, warm film."), ("neg", "A bad, dull film."), ("pos", "good good fun"), ("neg", "bad plot, bad!")]


@pytest.fixture
def reviews(tmp_path: Path) -> Path:
    """TSV file of 40 easy texts."""
    path = tmp_path / "reviews.tsv"
    path.write_text("label\ttext\n" + "".join(f"{label}\t{text}\n" for label, text in REVIEWS * 10))
    return path
