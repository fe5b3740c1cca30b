"""How the documentation is built: ``python -m sphinx -W -b html docs docs/_build/html``."""

from docutils import nodes

import asyncmeta

project = "asyncmeta"
author = "asyncmeta contributors"
project_copyright = "asyncmeta contributors"
version = release = asyncmeta.__version__

extensions = ["sphinx.ext.autodoc", "sphinx.ext.napoleon"]
exclude_patterns = ["_build"]

html_theme = "furo"
html_title = "asyncmeta"

# `Container.start` in a docstring is a name of Python.
default_role = "py:obj"
pygments_style = "default"

autodoc_member_order = "bysource"
autodoc_typehints = "none"
napoleon_numpy_docstring = False
napoleon_use_ivar = False


html_static_path = ["_static"]
html_css_files = ["boxes.css"]


def setup(app):
    """Let the docstrings of properties be text, and say over each box what it holds."""
    app.connect("doctree-read", label_boxes)
    app.connect("autodoc-process-docstring", keep_whole, priority=900)  # after napoleon


def keep_whole(app, what, name, obj, options, lines):
    """Put together again what napoleon took for a type: "The name: what it means"."""
    if what == "property":
        types = [line for line in lines if line.startswith(":type: ")]
        if types:
            lines.remove(types[0])
            lines[0] = f"{types[0].removeprefix(':type: ')}: {lines[0]}"


def label_boxes(app, doctree):
    """Give what a program prints or raises the class of its comment: ``.. prints``, ``.. raises``."""
    for comment in list(doctree.findall(nodes.comment)):
        word = comment.astext().partition(",")[0]
        box = comment.next_node(siblings=True, descend=False)
        if word in ("prints", "raises") and isinstance(box, nodes.literal_block):
            box["classes"].append(word)
