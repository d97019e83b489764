"""Sessions in a shell, in ``sessions/*.txt``: what commands print, with the exit code where it is not 0.

``$ cat > FILE`` writes what follows into a file, and ``$ cat FILE`` prints one. With WRITE_GOLDEN=1 in the environment,
what is printed is written into the sessions instead of compared.
"""

import json
import os
import re
import shlex
from pathlib import Path

import pytest

SESSIONS = sorted((Path(__file__).parent / "sessions").glob("*.txt"))
COMMAND = re.compile(r"^\$ (.*)\n((?:(?!\$ ).*\n)*)", re.MULTILINE)


def files(folder):
    return {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()}


@pytest.mark.parametrize("session", SESSIONS, ids=lambda path: path.stem)
def test_sessions(run, tmp_path, session):
    text = session.read_text()
    found = text[: text.index("$ ")]
    for command, content in COMMAND.findall(text):
        program, *arguments = shlex.split(command)
        path = tmp_path / arguments[-1]
        if program == "mlcore":
            before, done = files(tmp_path), run(*arguments)
            content = done.out + f"{done.code} " * (done.code > 1) + done.err + "exit code 1\n" * (done.code == 1)
            assert done.code < 2 or (done.out, done.err.count("\n"), files(tmp_path)) == ("", 1, before), command
            if done.out and "--json" in arguments:  # one document, strictly by RFC 8259
                assert not re.search(r"NaN|Infinity|-0(\.0)?[],}]", done.out.removesuffix("\n")), command
                json.loads(done.out)
            elif "--format" not in arguments:
                assert max(map(len, done.out.splitlines()), default=0) <= 80, command
        elif arguments[0] == ">":
            path.parent.mkdir(exist_ok=True)
            path.write_text(content)
        else:
            content = path.read_text("utf-8-sig")
        found += f"$ {command}\n{content}"
    if os.environ.get("WRITE_GOLDEN"):
        session.write_text(found)
    assert found.splitlines() == session.read_text().splitlines()
