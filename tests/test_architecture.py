"""Rules that a machine can check beyond ruff, mypy and import-linter: what help costs, and what the package shows."""

import re

import pytest
from conftest import REPOSITORY, run_python


def test_the_library_names_no_option_of_the_command_line():
    """Errors carry the parameter, and each caller names it in its own way. Nor are pickles read, or sums reordered."""
    for path in (REPOSITORY / "mlcore").rglob("*.py"):
        found = re.findall(r'(?:"| )--[a-z][\w-]*|allow_pickle|fastmath=', path.read_text())
        assert bool(found) == (path.name == "settings.py"), path  # which writes the command that reproduces a model


def test_the_javascript_stays_small():
    assert sum(len(path.read_text().splitlines()) for path in (REPOSITORY / "data/web").glob("*.js")) <= 900


def imported_by(arguments, modules):
    """Output of a command, and which of these modules it imports."""
    code = (
        f"import sys; sys.argv = ['mlcore', *{arguments!r}]; from mlcore.cli.app import main\n"
        f"try: main()\nfinally: print(*(m for m in {modules!r} if m in sys.modules), file=sys.stderr)"
    )
    done = run_python(code)
    return done.stdout + done.stderr, done.stderr.splitlines()[-1].split()


@pytest.mark.parametrize("arguments", [[], ["train-sentiment", "-h"], ["explain", "-h"], ["data", "-h"]])
def test_help_imports_nothing_large(arguments):
    output, imported = imported_by(arguments, ["numba", "numpy", "pydantic", "rich", "jinja2", "safetensors"])
    assert imported == []
    assert "Example: mlcore" in output
    assert "<" not in output, "a type of Python, such as <list[str]>"


def test_a_command_loads_what_it_needs(model):
    needless = ["numba.np.arraymath", "scipy.linalg", "pydantic", "jinja2", "mlcore.cli.training"]
    for arguments, printed, needed in (
        (["forward"], "on the kink", ["mlcore.kernels", "rich"]),
        (["predict", str(model), "good film"], "pos\t", ["mlcore.kernels"]),
    ):
        output, imported = imported_by(arguments, ["mlcore.kernels", "rich", *needless])
        assert imported == needed
        assert printed in output


def test_public_names_are_there():
    import mlcore

    for name in mlcore.__all__:
        assert getattr(mlcore, name) is not None
        assert name in dir(mlcore)
    with pytest.raises(AttributeError, match="no attribute 'Nothing'"):
        mlcore.Nothing  # noqa: B018


def test_threads_wait_for_the_one_that_executes_a_module():
    code = """if True:
        import threading
        import mlcore.cli
        from mlcore.text import tokenizer
        barrier, found = threading.Barrier(8), []
        def use():
            barrier.wait()
            found.append(tokenizer.tokenise)
        threads = [threading.Thread(target=use) for _ in range(8)]
        for thread in threads: thread.start()
        for thread in threads: thread.join()
        print(len(set(found)), len(found))
    """
    assert run_python(code).stdout == "1 8\n"
