from __future__ import annotations

import pytest
from tortoise.exceptions import ValidationError
from tortoise.fields import CharField

from app.organizations.models import Organization
from app.storage.engines import comparing


def test_a_text_that_is_too_long_may_be_compared_and_not_stored() -> None:
    comparing.install()
    field = CharField(max_length=3)
    field.model_field_name = "name"
    assert field.to_db_value("long", Organization) == "long"
    with pytest.raises(ValidationError):
        field.to_db_value("long", Organization(name="x"))
    with pytest.raises(ValidationError):
        field.to_db_value("long", None)  # type: ignore[arg-type]
