"""While modules that are not ours are imported, coverage does not watch: PyTorch's 2,000 take it two seconds.

Python imports this file at its start where its folder is on PYTHONPATH, as `.ci/run` sets it.
"""

import os
import sys
from importlib.machinery import SourceFileLoader

LIBRARY = os.__file__.rpartition(os.sep)[0]  # Python's own


def unwatched(method, concerns):
    """The loader's method with no trace function set, where the file concerns us."""

    def call(loader, *arguments):
        tracer = sys.gettrace()
        if tracer is None or not concerns(loader.path):
            return method(loader, *arguments)
        sys.settrace(None)
        try:
            return method(loader, *arguments)
        finally:
            sys.settrace(tracer)

    return call


def is_not_ours(path):
    return "site-packages" in path or path.startswith(LIBRARY)


SourceFileLoader.exec_module = unwatched(SourceFileLoader.exec_module, is_not_ours)
SourceFileLoader.get_code = unwatched(SourceFileLoader.get_code, lambda path: True)  # reading and compiling
