"""
Doing it: the only wing that awaits.

What many programs never need is loaded when it is first needed, so that ``import asyncmeta`` stays quick: provider lists,
injected functions, overlays, observers and middleware, reports, threads.  The import then stands in the function that
needs it, marked ``# late``, on a path that is cold or costs much more than the look at ``sys.modules``.  It points down like
every other import; ``tests/test_layers.py`` names each one with its reason.  At the front door a name of such a room
loads it (PEP 562).
"""
