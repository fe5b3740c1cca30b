"""
Doing it: the only wing that awaits.

What many programs never need is loaded when it is first needed, so that ``import asyncmeta`` stays quick: provider lists,
generics, handles, generated code, injected functions, overlays, observers and middleware, reports, threads, words of errors.
The import then stands in the function that needs it, marked ``# lazy import``, on a path that is cold or costs much more than
a look at ``sys.modules``.  It points down like every other import, and ``tests/test_layers.py`` names each such room with its
reason.  At the front door a name from such a room loads it (PEP 562).

Some of these rooms are first needed while the lock is held, as most of solving is.  So none of them takes it in its body.
"""

from .._compat import keep_seat

keep_seat(__name__)
