"""The rules of the house that a machine can check, each with the proof that it can fail."""

import ast
import subprocess
import sys
from pathlib import Path

import pytest

REPOSITORY = Path(__file__).parent.parent
# Rooms from the bottom up; a file imports only from rooms below its own, or from earlier files of its own package.
ROOMS = [
    ["mlcore"],
    ["mlcore.errors", "mlcore.files", "mlcore.kernels.compiling", "mlcore.text.memory"],
    ["mlcore.kernels.simd", "mlcore.kernels.simd"],
    ["mlcore.kernels.simd"],
    ["mlcore.kernels"],
    ["mlcore.kernels.training_step"],
    ["mlcore.kernels.reference", "mlcore.kernels.finite_differences"],
    ["mlcore.exercise.network", "mlcore.exercise.rational"],
    ["mlcore.exercise.exact", "mlcore.exercise.descent"],
    ["mlcore.exercise.problem", "mlcore.exercise.formulas"],
    [
        "mlcore.exercise.derivation",
        "mlcore.exercise.drawing.graph",
        "mlcore.exercise.programs",
        "mlcore.exercise.generator",
        "mlcore.exercise.mistakes",
    ],
    ["mlcore.exercise.marking", "mlcore.exercise.formats"],
    [
        "mlcore.exercise.drawing.text",
        "mlcore.exercise.drawing.markup",
        "mlcore.exercise.drawing.svg",
        "mlcore.sentiment.charts",
    ],
    ["mlcore.text.tokenizer", "mlcore.text.growing", "mlcore.text.pool"],
    ["mlcore.text.vocabulary"],
    ["mlcore.text.pairs"],
    ["mlcore.text.features"],
    ["mlcore.text.unpacking"],
    ["mlcore.text.lines"],
    ["mlcore.text.readers", "mlcore.text.vectors"],
    ["mlcore.text.corpus"],
    ["mlcore.text.numbered"],
    ["mlcore.text.inspection"],
    ["mlcore.sentiment.settings"],
    ["mlcore.sentiment.model"],
    ["mlcore.sentiment.preparation"],
    ["mlcore.sentiment.cache"],
    ["mlcore.sentiment.initialization"],
    ["mlcore.sentiment.prediction"],
    ["mlcore.sentiment.arrayfile"],
    ["mlcore.sentiment.evaluation", "mlcore.sentiment.model_file"],
    ["mlcore.sentiment.precise"],
    ["mlcore.sentiment.explanation"],
    ["mlcore.sentiment.markup", "mlcore.sentiment.backpropagation", "mlcore.sentiment.neighbors"],
    ["mlcore.sentiment.description"],
    ["mlcore.sentiment.report"],
    ["mlcore.sentiment.training"],
    ["mlcore.sentiment.checkpoint"],
    ["mlcore.sentiment.arguments"],
    ["mlcore.sentiment.estimator"],
    ["mlcore.sentiment.baselines"],
    ["mlcore.sentiment.comparison"],
    ["mlcore.sentiment.twins"],
    ["mlcore.sentiment.verification"],
    ["mlcore.cli.render"],
    ["mlcore.cli.documents"],
    ["mlcore.cli.exercise_view"],
    ["mlcore.cli.classroom_view"],
    ["mlcore.cli.dataset_view", "mlcore.cli.explanation_view", "mlcore.cli.prediction_view"],
    ["mlcore.cli.lesson_view"],
    ["mlcore.cli.lesson"],
    ["mlcore.cli.dataset"],
    ["mlcore.cli.exercise", "mlcore.cli.prediction"],
    ["mlcore.cli.explanation", "mlcore.cli.report"],
    ["mlcore.cli.vectors"],
    ["mlcore.cli.training_view"],
    ["mlcore.cli.training_run"],
    ["mlcore.cli.comparison_view"],
    ["mlcore.cli.training", "mlcore.cli.comparison"],
    ["mlcore.cli.classroom"],
    ["mlcore.cli.commands"],
    ["mlcore.cli.app"],
    ["mlcore.__main__"],
]
ROOM_OF = {module: number for number, room in enumerate(ROOMS) for module in room}


def sources():
    for folder, package in (("mlcore", "mlcore"), ("cli", "mlcore.cli"), ("data", "mlcore.data")):
        for path in sorted((REPOSITORY / folder).rglob("*.py")):
            parts = path.relative_to(REPOSITORY / folder).with_suffix("").parts
            yield ".".join((package, *(part for part in parts if part != "__init__"))), path.read_text()


def imported_modules(module, source):
    """Modules that a source imports when it is loaded or used, but not those for type checkers only."""
    tree = ast.parse(source)
    for node in ast.walk(tree):
        if isinstance(node, ast.If) and ast.unparse(node.test) == "TYPE_CHECKING":
            node.body = []
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            base = f"{module.rpartition('.')[0]}.{node.module or ''}".rstrip(".") if node.level else node.module
            yield base
            yield from (f"{base}.{alias.name}" for alias in node.names if f"{base}.{alias.name}" in ROOM_OF)


def violations(module, source):
    """What the house forbids in this source."""
    tree, found = ast.parse(source), []
    in_cli = module.startswith("mlcore.cli")
    for name in imported_modules(module, source):
        top = name.split(".")[0]
        if name in ROOM_OF and module in ROOM_OF and ROOM_OF[name] >= ROOM_OF[module]:
            found.append(f"imports {name} from a room that is not below")
        if top == "rich" and module != "mlcore.cli.render" or top == "typer" and not in_cli:
            found.append(f"imports {top}")
        if top in ("pickle", "marshal", "shelve", "urllib", "http", "socket"):
            found.append(f"imports {top}")
    for node in ast.walk(tree):
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name):
            if node.func.id in ("eval", "exec") or node.func.id == "print" and not in_cli:
                found.append(f"calls {node.func.id}")
    if any(keyword.arg == "allow_pickle" and ast.unparse(keyword.value) != "False"
           for node in ast.walk(tree) if isinstance(node, ast.Call) for keyword in node.keywords):  # fmt: skip
        found.append("allows pickle")
    return found


def test_rules():
    modules = dict(sources())
    assert set(ROOM_OF) <= set(modules), "every room is there"
    packages = {"mlcore.exercise.drawing", "mlcore.text", "mlcore.sentiment", "mlcore.cli", "mlcore.data"}
    assert set(modules) <= set(ROOM_OF) | packages, "every file has a room"
    assert {module: found for module, source in modules.items() if (found := violations(module, source))} == {}


@pytest.mark.parametrize(
    ("module", "source", "expected"),
    [
        (
            "mlcore.kernels",
            "from mlcore.exercise.network import Network",
            "imports mlcore.exercise.network from a room that is not below",
        ),
        (
            "mlcore.text.tokenizer",
            "from mlcore import kernels\nfrom mlcore.text import corpus",
            "imports mlcore.text.corpus",
        ),
        ("mlcore.exercise.network", "def f():\n    import rich.table", "imports rich"),
        ("mlcore.cli.exercise", "from rich import print", "imports rich"),
        ("mlcore.exercise.network", "import typer", "imports typer"),
        ("mlcore.exercise.network", "print(1)", "calls print"),
        ("mlcore.cli.exercise", "eval('1')", "calls eval"),
        ("mlcore.exercise.network", "import pickle", "imports pickle"),
        ("mlcore.exercise.network", "numpy.load(f, allow_pickle=True)", "allows pickle"),
    ],
)
def test_the_rules_can_be_broken(module, source, expected):
    assert any(expected in found for found in violations(module, source))


def sets_fastmath(source):
    return any(isinstance(node, ast.keyword) and node.arg == "fastmath" for node in ast.walk(ast.parse(source)))


def test_compiler_may_not_reorder_sums_nor_assume_finite_numbers():
    """Else bits depend on the order in which a process compiles kernels or takes them from the cache."""
    assert [module for module, source in sources() if sets_fastmath(source)] == []
    assert sets_fastmath("options = dict(fastmath={'reassoc'})")
    assert sets_fastmath("@njit(fastmath=True)\ndef f(): pass")


def imported_by(arguments, modules):
    """Output of a command, and which of these modules it imports."""
    code = (
        f"import sys; sys.argv = ['mlcore', *{arguments!r}]; from mlcore.cli.app import main\n"
        f"try: main()\nfinally: print(*(m for m in {modules!r} if m in sys.modules), file=sys.stderr)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    return done.stdout + done.stderr, done.stderr.splitlines()[-1].split()


@pytest.mark.parametrize("arguments", [["--help"], ["-h"], ["train-sentiment", "--help"], []])
def test_help_imports_nothing_large(arguments):
    output, imported = imported_by(arguments, ["numba", "numpy", "pydantic", "rich"])
    assert imported == []
    assert "Example: mlcore" in output


def test_a_command_loads_what_it_needs():
    needless = ["numba.np.arraymath", "scipy.linalg", "pydantic", "mlcore.cli.training"]
    output, imported = imported_by(["forward"], ["mlcore.kernels", *needless])
    assert imported == ["mlcore.kernels"]
    assert "on the kink" in output


def test_public_names_are_there():
    import mlcore

    for name in mlcore.__all__:
        assert getattr(mlcore, name) is not None
    with pytest.raises(AttributeError, match="no attribute 'Nothing'"):
        mlcore.Nothing  # noqa: B018
