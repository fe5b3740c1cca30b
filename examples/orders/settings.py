"""What the program is told from outside."""

from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True, slots=True)
class Settings:
    """What the command line said; made once, in ``__main__``."""

    orders: Path  #: the CSV file to read
    database: Path  #: the SQLite file; made if it is not there
    spool: Path  #: the directory in which production leaves its mails
    sender: str = "orders@example.org"
