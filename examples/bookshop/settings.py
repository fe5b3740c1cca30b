"""What the program is told from outside."""

import os
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Settings:
    """What the environment says; each may be left empty."""

    database_url: str = ""  #: of PostgreSQL or SQLite; empty: a new SQLite file that goes when the program does
    redis_url: str = ""  #: empty: the cache is in memory
    rates_url: str = ""  #: answers GET latest?base=EUR with {"rates": {"USD": 1.08}}; empty: rates that we made up
    outbox: str = ""  #: a folder for mails and thumbnails; empty: a new one that goes when the program does


def read_settings() -> Settings:
    """Read the environment."""
    return Settings(*(os.environ.get(name, "") for name in ("DATABASE_URL", "REDIS_URL", "RATES_URL", "OUTBOX")))
