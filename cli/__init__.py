"""The command line of mlcore. Its module ``render`` loads at its first use: Rich takes longer than everything else."""

import sys
from importlib.util import LazyLoader, find_spec, module_from_spec

_spec = find_spec(f"{__name__}.render")
assert _spec is not None
assert _spec.loader is not None
_spec.loader = LazyLoader(_spec.loader)
globals()["render"] = sys.modules[_spec.name] = module_from_spec(_spec)
_spec.loader.exec_module(sys.modules[_spec.name])
