"""What the bookshop consists of."""

from asyncmeta import AsyncServiceBase

from .cache import Caching
from .chores import InProcess
from .database import Storage
from .pages import Pages
from .printing import Clerk, Printing
from .rates import Rates, Supplying
from .services import Bestsellers, OrderDesk, Shelf
from .settings import Settings


class Bookshop(
    Storage,
    Caching,
    Supplying,
    Printing,
    InProcess,
    AsyncServiceBase,
    providers=[
        Settings,
        {"lifetime": "scoped", "providers": [Shelf, OrderDesk]},  # one of each for a request
        Bestsellers,
        Rates,
        Pages,
        Clerk,
    ],
):
    """
    The layers, and what the doors ask for.

    The latter is listed because nothing else asks for it: so it is checked when a
    container is made, and built when it starts.
    """
