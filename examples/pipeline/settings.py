"""What the program is told from outside."""

from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True, slots=True)
class Settings:
    """What the command line said; made once, in ``__main__``."""

    texts: Path  #: the CSV file to read
    database: Path  #: the SQLite file; made if it is not there
    at_once: int = 4  #: texts that are analysed at the same time
