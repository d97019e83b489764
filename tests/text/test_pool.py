"""The cores that a process may use, where its container or its environment leaves it only some of the machine's."""

import os

import pytest

from mlcore.text.pool import available_cores


@pytest.mark.parametrize(
    ("own", "files", "given", "cores"),
    [
        ("0::/", {"cpu.max": "max 100000"}, "", 8),
        ("0::/", {"cpu.max": "50000 100000"}, "many", 1),
        ("0::/a/b", {"a/b/cpu.max": "300000 100000", "a/cpu.max": "150000 100000"}, "3", 2),
        ("0::/of/the/host", {"cpu.max": "400000 100000"}, "3", 3),
        ("0::/a", {"a/cpu.max": "1600000 100000"}, "16", 8),
        ("0::/a", {"a/cpu.max": "what is this"}, None, 8),
        ("1:cpu:/a\n0::/b\n", {"a/cpu.max": "100000 100000", "b/cpu.max": "300000 100000"}, None, 3),
    ],
)
def test_cores_of_a_machine_of_eight(tmp_path, monkeypatch, own, files, given, cores):
    """By quotas of control groups, and by NUMBA_NUM_THREADS."""
    monkeypatch.setattr(os, "sched_getaffinity", lambda process: set(range(8)), raising=False)
    monkeypatch.delenv("NUMBA_NUM_THREADS", raising=False)
    if given is not None:
        monkeypatch.setenv("NUMBA_NUM_THREADS", given)
    for name, content in files.items():
        path = tmp_path / "groups" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(content)
    (tmp_path / "cgroup").write_text(own + "\n")
    assert available_cores(tmp_path / "groups", tmp_path / "cgroup") == cores
    assert available_cores(tmp_path / "groups", tmp_path / "missing") == (3 if given == "3" else 8)
