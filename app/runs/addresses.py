"""The resource addresses a run is narrowed to: how many there may be, and how long.

Each reaches terraform as an argument of its command, and Linux and bubblewrap start no program with more than so much
of them.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from app.errors import Invalid
from app.http.limits import readable

#: Of all kinds together.  bubblewrap takes 9000 arguments; each of `variables.values.MOST_IN_ENVIRONMENT` environment
#: variables is three of them, and the sandbox itself needs some two hundred.
MOST_ADDRESSES = 4000
#: Bytes of one.  Linux takes 128 KiB as an argument, the option's name before it and the NUL behind it included.
MOST_OF_ADDRESS = 127 * 1024
#: Bytes of all together: what `variables.values.MOST_OF_ALL_ENVIRONMENT` leaves of the 2 MiB that Linux takes of
#: arguments and environment, and as much again kept free.
MOST_OF_ALL_ADDRESSES = 256 * 1024


def check(given: Mapping[str, Sequence[str] | None]) -> None:
    """Raise Invalid if terraform could not be started with *given*: the addresses by the option that names them."""
    count = size = 0
    for field, addresses in given.items():
        for address in addresses or ():
            length = len(address.encode())
            if length > MOST_OF_ADDRESS:
                raise Invalid(f"A resource address is at most {readable(MOST_OF_ADDRESS)} long.", field=field)
            count, size = count + 1, size + length
        if count > MOST_ADDRESSES:
            raise Invalid(
                f"A run takes at most {MOST_ADDRESSES} resource addresses, targets and replacements together: terraform"
                " cannot be started with many more. Name modules instead of single resources, or start several runs.",
                field=field,
            )
        if size > MOST_OF_ALL_ADDRESSES:
            raise Invalid(
                f"The resource addresses of a run are at most {readable(MOST_OF_ALL_ADDRESSES)} long together:"
                " terraform cannot be started with much more. Name modules instead of single resources, or start"
                " several runs.",
                field=field,
            )
