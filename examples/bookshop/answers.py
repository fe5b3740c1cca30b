"""What programs are told: by the API, and behind the other doors."""

from pydantic import BaseModel, ConfigDict


class BookFound(BaseModel):
    """A book on the shelf."""

    model_config = ConfigDict(from_attributes=True)

    code: str
    title: str
    author: str
    price: int  #: cents, of EUR
    stock: int


class OrderPlaced(BaseModel):
    """An order that was taken."""

    model_config = ConfigDict(from_attributes=True)

    number: str
    book: str
    quantity: int
    customer: str
    total: int  #: cents, of EUR
    placed: str


class Bestseller(BaseModel):
    """A book that is ordered much."""

    model_config = ConfigDict(from_attributes=True)

    code: str
    title: str
    sold: int
