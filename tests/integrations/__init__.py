"""Integrations, tested against the real libraries."""

import ast
import sys

if sys.version_info < (3, 12):
    # Sanic reads its own source as it starts, and CPython 3.11 errs in that by chance (gh-106905): it is tried again.
    _parse = ast.parse

    def _parse_again(*args, **kwargs):
        for _ in range(9):
            try:
                return _parse(*args, **kwargs)
            except SystemError:
                pass
        return _parse(*args, **kwargs)

    ast.parse = _parse_again
