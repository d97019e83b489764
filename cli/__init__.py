"""The command line of mlcore. Modules of the library, and ``render``, are executed when something of them is used.

So commands import them at the top (``from mlcore.sentiment import evaluation``), and ``--help`` loads neither NumPy,
Numba nor Rich, each of which takes longer than everything else. ``from module import name`` executes at once. Before
Python 3.12, several threads may not be the first to use a module.
"""

import sys
from collections.abc import Sequence
from importlib.machinery import ModuleSpec, PathFinder
from importlib.util import LazyLoader
from typing import Any


class _AtFirstUse:
    """A finder of mlcore's modules, packages aside."""

    @staticmethod
    def find_spec(name: str, path: Sequence[str] | None = None, target: Any = None) -> ModuleSpec | None:
        spec = PathFinder.find_spec(name, path, target) if name.startswith("mlcore.") else None
        if spec and spec.loader and spec.submodule_search_locations is None:
            spec.loader = LazyLoader(spec.loader)
        return spec


sys.meta_path.insert(0, _AtFirstUse)
