"""How a page is answered: from a template, under a content policy that allows no inline script or style, never kept."""

from __future__ import annotations

from importlib.metadata import version
from typing import Any
from urllib.parse import urlsplit

from jinja2 import BaseLoader, ChoiceLoader, Environment, PackageLoader, PrefixLoader, StrictUndefined
from markupsafe import Markup
from starlette.requests import Request
from starlette.responses import RedirectResponse, Response

from app import links, settings
from app.web import static_files, words

POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; connect-src 'self'; "
    "form-action 'self'; base-uri 'none'; frame-ancestors 'none'"
)
#: On everything that is said to one person: pages, logs, streams.
HEADERS = {
    "Cache-Control": "no-store",
    "Content-Security-Policy": POLICY,
    "Referrer-Policy": "same-origin",
    "Cross-Origin-Opener-Policy": "same-origin",
}

#: Surfaces that have pages of their own, by the first part of their templates' names.
_beside: dict[str, BaseLoader] = {}
_templates = Environment(
    loader=ChoiceLoader([PackageLoader("app.web"), PrefixLoader(_beside)]),
    autoescape=True,
    undefined=StrictUndefined,
    trim_blocks=True,
    lstrip_blocks=True,
)


def icon(name: str, style: str = "") -> Markup:
    """One of `static/icons.svg`."""
    markup = '<svg class="i{}" aria-hidden="true"><use href="{}#i-{}"/></svg>'
    return Markup(markup).format(f" {style}" if style else "", static_files.url("icons.svg"), name)


_templates.globals |= {
    "icon": icon,
    "links": links,
    "static": static_files.url,
    "words": words,
    "version": version("stateroom"),
    "sandbox": lambda: settings.current().sandbox,
    "host": lambda: urlsplit(settings.current().external_url).netloc,
    "external_url": lambda: settings.current().external_url,
}


def share(package: str) -> None:
    """Let *package* draw pages like ours: ``PACKAGE/x.html`` is `x.html` in its folder `templates`."""
    _beside[package] = PackageLoader(package)


def render(template: str, **context: Any) -> str:
    return _templates.get_template(template).render(**context)


def page(request: Request, template: str, status: int = 200, **context: Any) -> Response:
    """*template* filled in.  It also gets who looks (`visitor`, None on pages that need no login)."""
    context.setdefault("visitor", getattr(request.state, "visitor", None))
    html = render(template, **context)
    return Response(html, status, HEADERS, media_type="text/html")


def may_send_to(response: Response, origin: str) -> Response:
    """Let a form of this page go to *origin* (``"https://github.com"``) too.

    Chromium asks the policy for where a post redirects as well, and then stays on the page without a word.
    """
    policy = POLICY.replace("form-action 'self'", f"form-action 'self' {origin}")
    response.headers["Content-Security-Policy"] = policy
    return response


def to(address: str) -> Response:
    """Go on at *address*, one of ours, by GET."""
    return RedirectResponse(address, 303, HEADERS)
