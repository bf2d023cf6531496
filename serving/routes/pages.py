"""Pages for people: the live page and the documentation, with nothing loaded from outside, and the
policies that hold them to it.
"""

import base64
import hashlib
import re
from pathlib import Path

from fastapi import FastAPI
from fastapi.openapi.docs import get_swagger_ui_html
from starlette.responses import HTMLResponse
from starlette.staticfiles import StaticFiles

LIVE, DOCS, ASSETS = "/live", "/docs", "/assets"
PAGE = Path(__file__).with_name("page.html")
ASSET_FILES = tuple(f"{ASSETS}/{name}" for name in ("swagger-ui-bundle.js", "swagger-ui.css"))
OPENAPI = "/openapi.json"


def _policy(html: str, images: str) -> bytes:
    """What a page may do: run the very scripts and styles that stand in it, load our own, and ask
    us.
    """
    allowed = {"script-src": ["'self'"], "style-src": ["'self'"]}
    for kind, tag in (("script-src", "script"), ("style-src", "style")):
        for text in re.findall(rf"<{tag}>(.*?)</{tag}>", html, re.DOTALL):
            allowed[kind].append(
                f"'sha256-{base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()}'"
            )
    rules = "; ".join(f"{kind} {' '.join(values)}" for kind, values in allowed.items())
    policy = f"default-src 'none'; {rules}; connect-src 'self'; img-src {images}"
    return f"{policy}; frame-ancestors 'none'".encode()


def _docs() -> str:
    script, style = ASSET_FILES
    page = get_swagger_ui_html(
        openapi_url=OPENAPI,
        title="lakehouse-tick",
        swagger_js_url=script,
        swagger_css_url=style,
        swagger_favicon_url="data:,",
    )
    return bytes(page.body).decode()


def policies() -> dict[str, bytes]:
    """Content security policy by path."""
    docs = _policy(_docs(), "'self' data:").replace(
        b"style-src 'self'", b"style-src 'self' 'unsafe-inline'"
    )  # Swagger styles its elements
    return {LIVE: _policy(PAGE.read_text(), "data:"), DOCS: docs}


def install(app: FastAPI) -> None:
    """Add the documentation and what it loads."""
    html = _docs()
    app.add_route(DOCS, lambda _request: HTMLResponse(html), include_in_schema=False)
    app.mount(
        ASSETS, StaticFiles(packages=[("fastapi_offline", "static")], directory=None), name="assets"
    )
