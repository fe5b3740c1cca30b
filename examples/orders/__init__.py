"""
Orders from a file into a database, one transaction each.

    python -m examples.orders
    python -m examples.orders --environment production --database shop.sqlite3

Read the rooms in this order: ``settings``, ``database``, ``repositories``,
``mail``, ``services``, ``app``. Only ``app`` and ``__main__`` know that there is
a container; the others are plain classes, and layers that say how things are opened.

``orders.csv`` is invented: some hundred good orders and a few bad ones.
"""
