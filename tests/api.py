"""Speaking to the API as a client does, and reading what it says."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import httpx2

from app.access.models import User
from tests import factories

EXTERNAL_URL = "https://stateroom.test"
JSON_API = "application/vnd.api+json"


@dataclass(frozen=True)
class Client:
    """Speaks JSON:API as somebody."""

    http: httpx2.AsyncClient
    token: str | None = None

    async def as_user(self, user: User) -> Client:
        return Client(self.http, await factories.make_token(user))

    async def get(self, path: str, **given: Any) -> httpx2.Response:
        return await self.request("GET", path, **given)

    async def post(self, path: str, document: Any = None, **given: Any) -> httpx2.Response:
        return await self.request("POST", path, document, **given)

    async def patch(self, path: str, document: Any = None, **given: Any) -> httpx2.Response:
        return await self.request("PATCH", path, document, **given)

    async def delete(self, path: str, document: Any = None, **given: Any) -> httpx2.Response:
        return await self.request("DELETE", path, document, **given)

    async def request(
        self, method: str, path: str, document: Any = None, headers: dict[str, str] | None = None, **given: Any
    ) -> httpx2.Response:
        """*path* below /api/v2, unless it begins with ``//``, which stands for the server's root."""
        url = path[1:] if path.startswith("//") else "/api/v2" + path
        sent = {"content-type": JSON_API, "accept": JSON_API, **(headers or {})}
        if self.token is not None:
            sent.setdefault("authorization", f"Bearer {self.token}")
        if document is not None:
            given["json"] = document
        response = await self.http.request(method, url, headers=sent, **given)
        assert response.status_code != 500, response.text
        return response


def document(type: str, attributes: Any = None, relationships: Any = None, id: str | None = None) -> dict[str, Any]:
    """A JSON:API document that says this."""
    data: dict[str, Any] = {"type": type}
    if id is not None:
        data["id"] = id
    if attributes is not None:
        data["attributes"] = attributes
    if relationships is not None:
        data["relationships"] = relationships
    return {"data": data}


def attributes(response: httpx2.Response) -> dict[str, Any]:
    found: dict[str, Any] = response.json()["data"]["attributes"]
    return found


def error(response: httpx2.Response) -> dict[str, Any]:
    """The one error of a refusal."""
    [found] = response.json()["errors"]
    assert found["status"] == str(response.status_code)
    return dict(found)


def pointer(response: httpx2.Response) -> str:
    """What in the request a 422 is about."""
    assert response.status_code == 422, response.text
    found: str = error(response)["source"]["pointer"]
    return found
