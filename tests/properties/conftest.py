"""In CI the examples are the same at every run, so that a change is judged by itself; elsewhere they are new each time."""

import os

from hypothesis import settings

settings.register_profile("ci", derandomize=True)
if os.environ.get("CI"):
    settings.load_profile("ci")
