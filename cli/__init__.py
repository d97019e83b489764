"""The command line of mlcore. Modules of the library, and ``render``, are executed when something of them is used.

So commands import them at the top (``from mlcore.sentiment import evaluation``), and ``--help`` loads neither NumPy,
Numba nor Rich, each of which takes longer than everything else. ``from module import name`` executes at once.
"""

import sys
from collections.abc import Sequence
from importlib.abc import Loader
from importlib.machinery import ModuleSpec, PathFinder
from threading import RLock
from types import ModuleType
from typing import Any

_lock = RLock()


class _AtFirstUse(ModuleType):
    """A module that the first thread to use it executes, while others wait; importlib's does not let them wait."""

    def __getattribute__(self, name: str) -> Any:
        with _lock:
            values = ModuleType.__getattribute__(self, "__dict__")
            if loader := values.pop("_loader", None):  # not there while the module is being executed
                try:
                    loader.exec_module(self)
                except BaseException:
                    values["_loader"] = loader
                    raise
                self.__class__ = ModuleType  # type: ignore[assignment]
        return ModuleType.__getattribute__(self, name)


class _Loader(Loader):
    """A loader that leaves the execution of a module to ``_AtFirstUse``, and all else to the usual one."""

    def __init__(self, usual: Any) -> None:
        self.usual = usual

    def __getattr__(self, name: str) -> Any:
        return getattr(self.usual, name)

    def create_module(self, spec: ModuleSpec) -> ModuleType | None:
        return self.usual.create_module(spec)  # type: ignore[no-any-return]

    def exec_module(self, module: ModuleType) -> None:
        assert module.__spec__
        module.__spec__.loader = module.__loader__ = self.usual
        module.__dict__["_loader"] = self.usual
        module.__class__ = _AtFirstUse


class _Finder:
    """A finder of mlcore's modules, packages aside."""

    @staticmethod
    def find_spec(name: str, path: Sequence[str] | None = None, target: Any = None) -> ModuleSpec | None:
        spec = PathFinder.find_spec(name, path, target) if name.startswith("mlcore.") else None
        if spec and spec.loader and spec.submodule_search_locations is None:
            spec.loader = _Loader(spec.loader)
        return spec


sys.meta_path.insert(0, _Finder)
