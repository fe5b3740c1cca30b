"""
Texts of a file through a pipeline of models, several at a time.

    python -m examples.pipeline
    python -m examples.pipeline texts.csv --database results.sqlite3 --at-once 4
    python -m examples.pipeline --model words

Read the rooms in this order: ``steps``, ``languages``, ``sentiment``, ``analysis``;
these four know nothing of files, databases and containers, and an endpoint of
another application can use them as they are. Then ``texts``, ``database``, ``app``.

``texts.csv`` is invented: some thirty texts in known languages, a few of them faulty.
"""
