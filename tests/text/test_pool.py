"""The cores that a process may use, where its container or its environment leaves it only some of the machine's."""

import os

import pytest

from mlcore.text.pool import available_cores


@pytest.fixture(autouse=True)
def machine_of_eight_cores(monkeypatch):
    monkeypatch.setattr(os, "sched_getaffinity", lambda process: set(range(8)), raising=False)
    monkeypatch.delenv("NUMBA_NUM_THREADS", raising=False)


@pytest.mark.parametrize(
    ("own", "files", "cores"),
    [
        ("0::/", {}, 8),
        ("0::/", {"cpu.max": "max 100000"}, 8),
        ("0::/", {"cpu.max": "50000 100000"}, 1),
        ("0::/a/b", {"a/b/cpu.max": "300000 100000", "a/cpu.max": "150000 100000"}, 2),
        ("0::/of/the/host", {"cpu.max": "400000 100000"}, 4),
        ("0::/a", {"a/cpu.max": "1600000 100000"}, 8),
        ("0::/a", {"a/cpu.max": "what is this"}, 8),
        ("1:cpu:/a\n0::/b\n", {"a/cpu.max": "100000 100000", "b/cpu.max": "300000 100000"}, 3),
    ],
)
def test_quotas_of_control_groups(tmp_path, own, files, cores):
    groups = tmp_path / "groups"
    for name, content in files.items():
        path = groups / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(content)
    (tmp_path / "cgroup").write_text(own + "\n")
    assert available_cores(groups, tmp_path / "cgroup") == cores


@pytest.mark.parametrize(("given", "cores"), [("3", 3), ("16", 8), ("", 8), ("many", 8)])
def test_numba_num_threads(tmp_path, monkeypatch, given, cores):
    monkeypatch.setenv("NUMBA_NUM_THREADS", given)
    assert available_cores(tmp_path, tmp_path / "missing") == cores
