"""The servers the tests need, started when the first test asks and gone with the tests, however they end.

Nothing here knows the product: the tests hand it the URLs, as an administrator would.
"""

from tests.services.objects import SeaweedFS
from tests.services.parts import Embedded, External, Parts, Services
from tests.services.postgresql import PostgreSQL
from tests.services.valkey import Valkey

__all__ = ["Embedded", "External", "Parts", "PostgreSQL", "SeaweedFS", "Services", "Valkey"]
