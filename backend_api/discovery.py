"""What terraform asks first: where the services of this host are.

Anonymous, and a stale token does no harm: it comes with every discovery, and a refusal would end every
command.  The content type must be exactly ``application/json``.
"""

from __future__ import annotations

from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from app.http.routing import Route

#: Ids are joined onto these, so each ends in a slash.  `login.v1` is absent until there is a login:
#: terraform then asks for a token to paste.
SERVICES = {
    "state.v2": "/api/v2/",
    "tfe.v2": "/api/v2/",
    "tfe.v2.1": "/api/v2/",
    "tfe.v2.2": "/api/v2/",
}


async def services(request: Request) -> Response:
    """GET /.well-known/terraform.json"""
    return JSONResponse(SERVICES)


routes = [Route("/.well-known/terraform.json", services)]
