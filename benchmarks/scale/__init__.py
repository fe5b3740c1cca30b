"""
What grows: registrations in one graph, scopes and tenants in one process, workers on one backend.

- ``registrations`` belongs to ``benchmarks.run``,
- ``python -m benchmarks.scale.open`` opens very many scopes and overlays at once,
- ``python -m benchmarks.scale.cluster`` maps small tasks over the workers of a cluster,
- ``python -m benchmarks.scale.storm`` lets up to 10,000 simulated workers start at once, and draws it.
"""
