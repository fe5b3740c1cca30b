"""What the program is told from outside."""

from pydantic_settings import BaseSettings, SettingsConfigDict


class Settings(BaseSettings):
    """What the environment says, by these names in capitals; each may be left empty."""

    model_config = SettingsConfigDict(frozen=True, extra="ignore", hide_input_in_errors=True)

    database_url: str = ""  #: of PostgreSQL or SQLite; empty: a new SQLite file that goes when the program does
    replica_url: str = ""  #: where long questions are asked, of a copy of it; empty: of the database itself
    redis_url: str = ""  #: empty: the cache is in memory
    rates_url: str = ""  #: answers GET latest?base=EUR with {"rates": {"USD": 1.08}}; empty: rates that we made up
    outbox: str = ""  #: a folder for mails and thumbnails; empty: a new one that goes when the program does
