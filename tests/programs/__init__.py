"""The programs in examples/, run as their users run them."""

import pytest

#: Warnings are errors, but for what a word list that has not been released since 2020 calls: deprecated by CPython 3.14.
STRICT = ("-W", "error", "-W", "ignore:codecs.open() is deprecated")
reads_the_word_list = pytest.mark.filterwarnings(r"ignore:codecs\.open\(\) is deprecated:DeprecationWarning")
