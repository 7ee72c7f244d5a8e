"""Who may ask the web server for what: by its own name, from its own pages, with nobody else's."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from ipaddress import ip_address
from urllib.parse import urlsplit

from aiohttp import web
from aiohttp.typedefs import Middleware

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]

HEADERS = {
    "Content-Security-Policy": (
        "default-src 'self'; img-src 'self' data:; object-src 'none'; base-uri 'none';"
        " form-action 'self'; frame-ancestors 'none'"
    ),
    "Cross-Origin-Opener-Policy": "same-origin",
    "Permissions-Policy": "camera=(), geolocation=(), microphone=()",
    "Referrer-Policy": "same-origin",
    "X-Content-Type-Options": "nosniff",
}


async def harden(request: web.Request, response: web.StreamResponse) -> None:
    """Say what a browser may do with this, unless it has been said already."""
    for name, value in HEADERS.items():
        response.headers.setdefault(name, value)


def by_own_name(base: str) -> Middleware:
    """On this machine, answer only who calls us by one of its names, or by that of `base`.

    A page elsewhere may point its own name at this machine, and would then be
    of our origin in the eyes of a browser.
    """
    own = urlsplit(base).hostname or ""

    @web.middleware
    async def named(request: web.Request, handler: Handler) -> web.StreamResponse:
        called = urlsplit(f"//{request.host}").hostname or ""
        if _inside(request) and called != own and not loopback(called):
            raise web.HTTPMisdirectedRequest(text="not by that name\n")
        return await handler(request)

    return named


def same_origin(handler: Handler) -> Handler:
    """Do it only if one of our own pages asks: no other site may act for whoever looks at it."""

    async def guarded(request: web.Request) -> web.StreamResponse:
        if not _ours(request):
            raise web.HTTPForbidden(text="from another site\n")
        return await handler(request)

    return guarded


def loopback(host: str) -> bool:
    """Whether this names the machine as only the machine itself can.

    >>> [loopback(host) for host in ("127.0.0.1", "::1", "localhost", "0.0.0.0", "a.example")]
    [True, True, True, False, False]
    """
    if host == "localhost":
        return True
    try:
        return ip_address(host.strip("[]")).is_loopback
    except ValueError:
        return False


def _inside(request: web.Request) -> bool:
    """Whether the request reached us at an address that only this machine has."""
    reached = request.transport.get_extra_info("sockname") if request.transport else None
    return isinstance(reached, tuple) and loopback(str(reached[0]))


def _ours(request: web.Request) -> bool:
    """By what browsers say of themselves; who says nothing is not let in either."""
    site = request.headers.get("Sec-Fetch-Site")
    if site is not None:
        return site == "same-origin"
    origin = urlsplit(request.headers.get("Origin", ""))
    return bool(origin.netloc) and origin.netloc == request.host
