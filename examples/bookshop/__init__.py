"""
A bookshop on the web: pages, an API, the same services behind three more doors.

    python -m examples.bookshop           serves it on http://127.0.0.1:8000/
    python -m examples.bookshop --once    places one order, prints it, and is done
    REDIS_URL=redis://127.0.0.1 python -m examples.bookshop --workers 2

Read the rooms in this order: ``settings``, ``database``, ``cache``, ``rates``,
``printing``, ``chores``, ``services``, ``app``, ``web``, and ``queue`` for who has workers.
Only the doors know that there is a container (``web``, and in a few lines each ``queue``,
``starlette_door``, ``mcp_door``, ``command``);
everything else says what it needs and awaits it.  ``reviews`` adds the models of
``examples.pipeline``, where their packages are installed.

By itself it keeps its books in a new SQLite file, which goes when the program does.
``DATABASE_URL=postgresql://...`` or ``DATABASE_URL=sqlite:///shop.sqlite3`` says where else,
``REPLICA_URL=...`` where a copy of them is that answers long questions, such as what sells best: by itself
that is the same database, asked through connections of its own.
``REDIS_URL=redis://...`` who keeps the cache, ``RATES_URL=https://...`` who knows what
a euro costs, ``OUTBOX=...`` in which folder mails and thumbnails are laid.

What follows an order, a receipt and a thumbnail, is done in the process itself, or by
``--workers``, which redis tells of it: two classes, of which one stands in the list of bases.
"""
