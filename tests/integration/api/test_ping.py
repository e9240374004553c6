from __future__ import annotations

import re

from tests.api import Client


async def test_t05_every_answer_carries_what_terraform_reads_of_a_server(client: Client) -> None:
    for path in ("/ping", "/", "/organizations/none", "/nowhere", "//health", "//v1/object/x"):
        headers = (await client.get(path)).headers
        assert headers["tfp-api-version"] == "2.6"
        assert headers["tfp-appname"] == "Terraform Enterprise"
        assert re.fullmatch(r"v\d{6}-\d", headers["x-tfe-version"])


async def test_t06_the_announced_rate_leaves_a_burst_to_the_client(client: Client) -> None:
    headers = (await client.get("/ping")).headers
    assert float(headers["x-ratelimit-limit"]) >= 30


async def test_ping_answers_nothing(client: Client) -> None:
    response = await client.get("/ping")
    assert (response.status_code, response.content) == (204, b"")
