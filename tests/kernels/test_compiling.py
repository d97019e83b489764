"""The cache of compiled kernels: never stale, and where it cannot be read or written, kernels answer all the same."""

import ctypes
import os
import shutil
import sys
from collections import namedtuple
from pathlib import Path

import numba
import pytest
from conftest import run_python
from numba import config

import mlcore
from mlcore.kernels import losses
from mlcore.kernels.compiling import _cache_class

pytestmark = [
    pytest.mark.skipif(bool(config.DISABLE_JIT), reason="nothing is compiled"),
    pytest.mark.skipif(sys.platform == "win32", reason="folders are made read-only by their mode"),
]
SCRIPT = """
import os, sys, tempfile, warnings
tempfile.tempdir = os.environ["TMPDIR"]
if "stranger" in sys.argv:
    os.getuid = lambda: 12345
if "changed" in sys.argv:
    import numba.core.runtime.nrt
    del numba.core.runtime.nrt.rtsys
import numpy as np
from mlcore.kernels.compiling import watch_compilation
from mlcore.kernels import losses
compiled, dZ = [], np.zeros((1, 1))
with watch_compilation(compiled.append):
    losses.logistic_backward(np.zeros((1, 1)), np.zeros((1, 1)), 1.0, dZ)
print(dZ[0, 0], *compiled, "arraymath" if "numba.np.arraymath" in sys.modules else "")
"""
COMPILED, CACHED = "0.5 logistic_backward sigmoid_of arraymath", "0.5"


@pytest.fixture(scope="module")
def package(tmp_path_factory):
    """A copy of the package with its cache, and a home and a folder for temporary files beside it."""
    folder = tmp_path_factory.mktemp("compiled")
    for name in ("home", "temporary"):
        (folder / name).mkdir()
    source = Path(mlcore.__file__).parent
    shutil.copytree(source, folder / "mlcore", ignore=lambda path, names: {"__pycache__", "text", "sentiment"})
    assert run(folder) == (COMPILED, "")
    return folder


@pytest.fixture
def folder(tmp_path, package):
    """A copy of all that."""
    shutil.copytree(package, tmp_path, dirs_exist_ok=True)
    yield tmp_path
    for path in [tmp_path, *tmp_path.rglob("*")]:
        path.chmod(0o700)


def run(folder, *arguments):
    """What a process prints, with its warnings; root, too, may only do what modes allow."""
    environment = {name: value for name, value in os.environ.items() if not name.startswith(("NUMBA", "XDG", "PYTHON"))}
    environment |= {"HOME": str(folder / "home"), "TMPDIR": str(folder / "temporary")}
    drop = lambda: ctypes.CDLL(None).prctl(24, 1, 0, 0, 0)  # noqa: E731, CAP_DAC_OVERRIDE for what is executed
    done = run_python(SCRIPT, *arguments, cwd=folder, env=environment, preexec_fn=drop)
    return done.stdout.strip(), done.stderr


def make_read_only(*folders):
    for folder in folders:
        for path in [folder, *folder.rglob("*")]:
            path.chmod(path.stat().st_mode & 0o555)


def test_a_ready_cache_is_used_where_nothing_can_be_written_until_what_the_kernel_uses_changes(folder):
    make_read_only(folder)
    assert run(folder) == (CACHED, "")
    callee = folder / "mlcore" / "kernels" / "layers.py"
    callee.chmod(0o700)
    callee.write_text(callee.read_text().replace("/ (one + decay)", "/ (one + one + decay + decay)"))
    assert run(folder)[0] == COMPILED.replace("0.5", "0.25")


def test_a_cache_for_the_user_or_a_private_temporary_one_is_used_where_the_package_cannot_be_written(folder):
    for path in folder.rglob("*.nbc"):
        path.unlink()
    make_read_only(folder / "mlcore")
    assert run(folder) == (COMPILED, "")
    assert list((folder / "home").rglob("*.nbc"))
    assert run(folder) == (CACHED, "")
    shutil.rmtree(folder / "home" / ".cache")
    make_read_only(folder / "home")
    assert run(folder) == (COMPILED, "")
    assert run(folder) == (CACHED, "")
    (private,) = (folder / "temporary").iterdir()
    assert private.stat().st_mode & 0o777 == 0o700
    private.chmod(0o777)
    output, errors = run(folder)
    assert output == COMPILED
    assert errors.count("RuntimeWarning: Compiled kernels cannot be kept") == 1
    assert errors.count(f"RuntimeWarning: {private} is not used for compiled kernels") == 1


def test_a_folder_that_others_can_write_or_own_is_not_used(folder):
    beside = folder / "mlcore" / "kernels" / "__pycache__"
    beside.chmod(0o775)
    output, errors = run(folder)
    assert (output, f"{beside} is not used for compiled kernels" in errors) == (COMPILED, True)
    (folder / "mlcore" / "kernels").chmod(0o775)
    assert run(folder) == (CACHED, ""), "who can write the cache can write the source, too"
    beside.chmod(0o777)
    for path in [*folder.rglob("*")] if os.getuid() == 0 else []:  # root is trusted
        os.chown(path, 4321, -1)
    output, errors = run(folder, "stranger")
    assert output == COMPILED
    assert errors.count("is not used for compiled kernels") >= 2, "beside the source, and at home"


@pytest.mark.skipif(sys.platform != "linux", reason="looks for a place in its format of compiled code")
def test_a_damaged_cache_is_not_run_and_written_again(folder):
    (path,) = folder.rglob("*logistic_backward*.nbc")
    whole = path.read_bytes()
    harmless = whole.index(b"ELF") + 10  # unused: such a kernel would run
    path.write_bytes(whole[:harmless] + b"4" + whole[harmless + 1 :])
    assert run(folder) == (COMPILED, "")
    assert run(folder) == (CACHED, "")
    assert sorted(folder.rglob("*logistic_backward*")) == [path], "nothing is left over"


def test_named_tuples_of_the_same_name_are_kept_apart():
    """Text's Documents and verification's have the same fields; a kernel for the one fits no caller with the other."""
    cache = _cache_class()(losses.softmax_loss.py_func)
    codegen, types = losses.softmax_loss.targetdescr.target_context.codegen(), []
    for module in ("a", "b", "a"):
        inner = namedtuple("Inner", "x", module=module)
        types.append(numba.typeof((namedtuple("Outer", "i", module="c")(inner(1.0)), 1)))
    names = [cache.find([kind], codegen)[0] for kind in types]
    assert names[0] == names[2] != names[1]


def test_a_numba_with_other_private_parts_caches_in_its_own_way(folder):
    for expected in (COMPILED, "0.5 arraymath"):
        assert run(folder, "changed")[0].split() == expected.split()


def test_a_number_of_threads_that_numba_refuses_is_named():
    done = run_python("import mlcore.kernels.layers", env=os.environ | {"NUMBA_NUM_THREADS": "0"})
    assert "InputError: NUMBA_NUM_THREADS is 0; expected a whole number from 1 on." in done.stderr


def test_another_process_compiles_kernels_at_the_same_time(tmp_path):
    script = """
import numpy as np
from mlcore.kernels import losses
from mlcore.kernels.compiling import compiling_ahead, watch_compilation
other = "import numpy; from mlcore.kernels import losses; losses.logistic(*numpy.zeros((2, 1, 1)), numpy.zeros(1))"
single = np.zeros((2, 1, 1), np.float32)
for turn in range(2):  # in the second one, nothing has to be compiled
    with compiling_ahead(exec, other, lambda: print("waiting")):
        losses.logistic(*single, single[0, 0])
with watch_compilation(print):
    losses.logistic(*single.astype(float), np.zeros(1))
"""
    done = run_python(script, env=os.environ | {"NUMBA_CACHE_DIR": str(tmp_path)})
    assert (done.stdout, done.stderr) == ("waiting\n", "")


def test_a_process_that_hangs_is_not_waited_for_for_ever(tmp_path):
    script = """
import numpy as np
from mlcore.kernels import compiling, losses
compiling.PATIENCE = 0.1
with compiling.compiling_ahead(exec, "import time; time.sleep(600)"):
    losses.logistic(*np.zeros((2, 1, 1)), np.zeros(1))
"""
    run_python(script, env=os.environ | {"NUMBA_CACHE_DIR": str(tmp_path)}, timeout=60)


def test_a_signal_ends_the_process_that_compiles():
    """That one keeps the output open, so that who reads it would wait for it."""
    script = """
import os, signal, subprocess, sys
from mlcore.cli import interrupts
from mlcore.kernels import compiling
interrupts.listen()
compiling._others.append(subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)"]))
os.kill(os.getpid(), signal.SIGTERM)
"""
    done = run_python(script, timeout=60)
    assert (done.returncode, done.stderr) == (143, "mlcore: terminated.\n")
