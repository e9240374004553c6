"""A secret shows itself to nobody who does not ask."""

from __future__ import annotations

import copy
import json
import logging
import pickle
from dataclasses import asdict, dataclass

import orjson
import pytest
import structlog
from pydantic import BaseModel, ValidationError

from app.secret import Secret

WORD = "hunter2"


@pytest.mark.parametrize("secret", [Secret(WORD), Secret(WORD.encode())])
def test_no_way_of_printing_shows_it(secret: Secret[str] | Secret[bytes]) -> None:
    shown = [repr(secret), str(secret), f"{secret}", f"{secret!r:>20}", f"{secret:>20}"]
    shown += [
        repr([secret]),
        repr({"a": secret}),
        str(ValueError(secret)),
        structlog.processors.JSONRenderer()(logging.getLogger(), "info", {"event": "x", "secret": secret}).__str__(),
    ]
    shown.append("%s %r" % (secret, secret))  # noqa: UP031 - the old way is a way, too
    assert not [text for text in shown if WORD in text]


def test_it_cannot_be_written_down_by_accident() -> None:
    for write in (json.dumps, orjson.dumps, pickle.dumps):
        with pytest.raises(TypeError):
            write(Secret(WORD))


def test_it_survives_being_copied_and_compared() -> None:
    @dataclass
    class Holder:
        secret: Secret[str]

    secret = Secret(WORD)
    assert copy.deepcopy(secret) == copy.copy(secret) == secret == Secret(WORD) != Secret("other")
    assert asdict(Holder(secret))["secret"].reveal() == WORD
    assert {secret: 1}[Secret(WORD)] == 1
    assert secret != WORD
    assert not Secret("")


def test_a_model_takes_it_and_neither_its_dump_nor_its_errors_show_it() -> None:
    class Model(BaseModel):
        text: Secret[str]
        data: Secret[bytes] = Secret(b"")

    model = Model.model_validate({"text": WORD, "data": WORD})
    assert (model.text.reveal(), model.data.reveal()) == (WORD, WORD.encode())
    assert WORD not in model.model_dump_json() + repr(model)
    with pytest.raises(ValidationError) as raised:
        Model.model_validate({"text": 7})
    assert "must be str" in str(raised.value)
