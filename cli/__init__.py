"""The command line of mlcore. Modules of the library, and ``render``, are executed when something of them is used.

So commands import them at the top (``from mlcore.sentiment import evaluation``), and ``--help`` loads neither NumPy,
Numba nor Rich, each of which takes longer than everything else. ``from module import name`` executes at once.
"""

import sys
from collections.abc import Sequence
from importlib.machinery import ModuleSpec, PathFinder, SourceFileLoader
from threading import RLock
from types import ModuleType
from typing import Any

_lock = RLock()


class _AtFirstUse(ModuleType):
    """A module that the first thread to use it executes, while others wait; importlib's does not let them wait."""

    def __getattribute__(self, name: str) -> Any:
        with _lock:
            values = ModuleType.__getattribute__(self, "__dict__")
            if values.pop("_is_new", False):  # else it is being executed, or was while this thread waited
                SourceFileLoader.exec_module(values["__loader__"], self)
                self.__class__ = ModuleType  # type: ignore[assignment]
        return ModuleType.__getattribute__(self, name)


class _Loader(SourceFileLoader):
    """Leaves the execution of a module to ``_AtFirstUse``."""

    def exec_module(self, module: ModuleType) -> None:
        module.__dict__["_is_new"] = True
        module.__class__ = _AtFirstUse


class _Finder:
    """A finder of mlcore's modules, packages aside."""

    @staticmethod
    def find_spec(name: str, path: Sequence[str] | None = None, target: Any = None) -> ModuleSpec | None:
        spec = PathFinder.find_spec(name, path, target) if name.startswith("mlcore.") else None
        if spec and isinstance(spec.loader, SourceFileLoader) and not spec.submodule_search_locations:
            spec.loader = _Loader(spec.loader.name, spec.loader.path)
        return spec


sys.meta_path.insert(0, _Finder)
