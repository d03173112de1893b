"""The products there are. A new one is a module with a ``PRODUCT``, added to the list below."""

from __future__ import annotations

from oceanrecon.errors import ConfigError
from oceanrecon.sources import glorys, ostia, sealevel, sss
from oceanrecon.sources.product import Product

#: Every product by its name, in the order in which they are listed to people.
PRODUCTS: dict[str, Product] = {module.PRODUCT.name: module.PRODUCT for module in (glorys, ostia, sealevel, sss)}


def product(name: str) -> Product:
    """The product called ``name``.

    Raises:
        ConfigError: there is no such product.
    """
    try:
        return PRODUCTS[name]
    except KeyError:
        raise ConfigError(f"there is no product {name!r}: known are {', '.join(PRODUCTS)}") from None
