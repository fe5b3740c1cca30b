"""
A bookshop on the web: pages, an API, the same services behind three more doors.

    python -m examples.bookshop           serves it on http://127.0.0.1:8000/
    python -m examples.bookshop --once    places one order, prints it, and is done

Read the rooms in this order: ``settings``, ``database``, ``cache``, ``rates``,
``services``, ``app``, ``web``.  Only ``app`` and the doors (``web``,
``mcp_door``, ``command``) know that there is a container;
everything else says what it needs and awaits it.

By itself it keeps its books in a new SQLite file, which goes when the program does.
``DATABASE_URL=postgresql://...`` or ``DATABASE_URL=sqlite:///shop.sqlite3`` says where else,
``REDIS_URL=redis://...`` who keeps the cache, ``RATES_URL=https://...`` who knows what
a euro costs.
"""
