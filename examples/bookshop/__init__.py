"""
A bookshop on the web: pages, an API, the same services behind three more doors.

    python -m examples.bookshop           serves it on http://127.0.0.1:8000/
    python -m examples.bookshop --once    places one order, prints it, and is done

Read the rooms in this order: ``settings``, ``database``, ``cache``, ``rates``,
``services``, ``app``, ``web``.  Only the doors know that there is a container
(``web``, and in a few lines each ``starlette_door``, ``mcp_door``, ``command``);
everything else says what it needs and awaits it.  ``reviews`` adds the models of
``examples.pipeline``, where their packages are installed.

By itself it keeps its books in a new SQLite file, which goes when the program does.
``DATABASE_URL=postgresql://...`` or ``DATABASE_URL=sqlite:///shop.sqlite3`` says where else,
``REDIS_URL=redis://...`` who keeps the cache, ``RATES_URL=https://...`` who knows what
a euro costs.
"""
