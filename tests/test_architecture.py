"""Rules that a machine can check beyond ruff, mypy and import-linter, each with the proof that it can fail."""

import ast
import subprocess
import sys

import pytest
from conftest import REPOSITORY

SOURCES = {
    str(path.relative_to(REPOSITORY)): path.read_text()
    for folder in ("mlcore", "cli")
    for path in sorted((REPOSITORY / folder).rglob("*.py"))
}
FORBIDDEN_IMPORTS = {"pickle", "marshal", "shelve", "urllib", "http", "socket"}


def violations(path, source):
    """What this project forbids, in one source file."""
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import | ast.ImportFrom):
            names = [alias.name for alias in node.names] if isinstance(node, ast.Import) else [node.module or ""]
            yield from (f"imports {name}" for name in names if name.split(".")[0] in FORBIDDEN_IMPORTS)
        called = node.func.id if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) else ""
        if called in ("eval", "exec") or (called == "print" and not path.startswith("cli/")):
            yield f"calls {called}"
        if isinstance(node, ast.keyword) and node.arg == "allow_pickle" and ast.unparse(node.value) != "False":
            yield "allows pickle"
        if isinstance(node, ast.keyword) and node.arg == "fastmath":
            yield "sets fastmath"  # the bits of results would depend on the order in which kernels are compiled
        text = node.value if isinstance(node, ast.Constant) and isinstance(node.value, str) else ""
        if path.startswith("mlcore/") and any(word[:2] == "--" and word[2:3].isalpha() for word in text.split()):
            yield f"names an option of the command line: {text[:40]!r}"


ALLOWED = {"mlcore/sentiment/settings.py"}  # writes the command that reproduces a model


def test_rules():
    found = {path: list(violations(path, source)) for path, source in SOURCES.items() if path not in ALLOWED}
    assert {path: names for path, names in found.items() if names} == {}


@pytest.mark.parametrize(
    ("path", "source", "expected"),
    [
        ("mlcore/exercise/network.py", "print(1)", "calls print"),
        ("cli/exercise.py", "eval('1')", "calls eval"),
        ("mlcore/exercise/network.py", "import pickle", "imports pickle"),
        ("mlcore/exercise/network.py", "from urllib.request import urlopen", "imports urllib.request"),
        ("mlcore/exercise/network.py", "numpy.load(f, allow_pickle=True)", "allows pickle"),
        ("mlcore/kernels/layers.py", "@njit(fastmath=True)\ndef f(): pass", "sets fastmath"),
        ("mlcore/text/dataset.py", "raise ValueError('try --dev 0')", "names an option"),
    ],
)
def test_the_rules_can_be_broken(path, source, expected):
    assert any(found.startswith(expected) for found in violations(path, source))


def imported_by(arguments, modules):
    """Output of a command, and which of these modules it imports."""
    code = (
        f"import sys; sys.argv = ['mlcore', *{arguments!r}]; from mlcore.cli.app import main\n"
        f"try: main()\nfinally: print(*(m for m in {modules!r} if m in sys.modules), file=sys.stderr)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    return done.stdout + done.stderr, done.stderr.splitlines()[-1].split()


@pytest.mark.parametrize(
    "arguments",
    [
        ["--help"],
        [],
        *([name, "-h"] for name in ("train-sentiment", "explain", "compare-embeddings", "data", "report")),
    ],
)
def test_help_imports_nothing_large(arguments):
    output, imported = imported_by(arguments, ["numba", "numpy", "pydantic", "rich", "jinja2", "safetensors"])
    assert imported == []
    assert "Example: mlcore" in output


def test_a_command_loads_what_it_needs(model):
    needless = ["numba.np.arraymath", "scipy.linalg", "pydantic", "jinja2", "mlcore.cli.training"]
    for arguments, printed, needed in (
        (["forward"], "on the kink", ["mlcore.kernels", "rich"]),
        (["predict", str(model), "good film"], "pos\t", ["mlcore.kernels"]),
    ):
        imported_by(arguments, [])  # compiles
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
