"""Sessions of the by-hand commands in a shell, in ``sessions/*.txt``: see ``conftest.play``."""

from pathlib import Path

import pytest
from conftest import play

SESSIONS = sorted((Path(__file__).parent / "sessions").glob("*.txt"))


@pytest.mark.parametrize("session", SESSIONS, ids=lambda path: path.stem)
def test_sessions(run, tmp_path, session):
    play(run, tmp_path, session)
