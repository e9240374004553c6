"""A value that does not show itself.

Printing, formatting, logging, pickling and dumping it to JSON give a mask or fail.  The only way in is
`reveal`, which is easy to find in a review.
"""

from __future__ import annotations

import hmac
from typing import Any, Generic, NoReturn, TypeVar, get_args

from pydantic_core import core_schema

T = TypeVar("T", str, bytes)

MASK = "[secret]"


class Secret(Generic[T]):
    """Holds a str or bytes.  Two are equal if their values are; comparing takes the same time wherever they
    differ."""

    __slots__ = ("__value",)

    def __init__(self, value: T) -> None:
        if not isinstance(value, (str, bytes)):
            raise TypeError("a Secret holds str or bytes")  # never mention the value itself
        self.__value: T = value

    def reveal(self) -> T:
        return self.__value

    def __repr__(self) -> str:
        return MASK

    __str__ = __repr__

    def __format__(self, spec: str) -> str:
        return format(MASK, spec)

    def __bool__(self) -> bool:
        return bool(self.__value)

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Secret):
            return NotImplemented
        return hmac.compare_digest(_as_bytes(self.__value), _as_bytes(other.reveal()))

    def __hash__(self) -> int:
        return hash((Secret, self.__value))

    def __copy__(self) -> Secret[T]:
        return self

    def __deepcopy__(self, memo: object) -> Secret[T]:
        return self

    def __reduce_ex__(self, protocol: object) -> NoReturn:
        raise TypeError("a Secret is not pickled: hand its value over by a channel made for secrets")

    @classmethod
    def __get_pydantic_core_schema__(cls, source: Any, handler: Any) -> core_schema.CoreSchema:
        inner = (get_args(source) or (str,))[0]
        # A failed validation shows its input, so the type is checked here, where only the type is told.
        return core_schema.no_info_plain_validator_function(
            lambda value: cls._validated(value, inner),
            serialization=core_schema.plain_serializer_function_ser_schema(lambda _: MASK),
        )

    @classmethod
    def _validated(cls, value: Any, inner: type[str] | type[bytes]) -> Secret[Any]:
        if isinstance(value, Secret):
            value = value.reveal()
        if isinstance(value, str) and inner is bytes:
            value = value.encode()
        if not isinstance(value, inner):
            raise ValueError(f"must be {inner.__name__}")
        sealed: Secret[Any] = Secret(value)
        return sealed


def _as_bytes(value: str | bytes) -> bytes:
    return value.encode("utf-8", "surrogatepass") if isinstance(value, str) else value
