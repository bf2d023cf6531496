"""The live page and the API documentation. They load nothing from other hosts, and a content
security policy enforces that.
"""

import base64
import hashlib
import re
from pathlib import Path

from fastapi import FastAPI
from fastapi.openapi.docs import get_swagger_ui_html
from starlette.responses import HTMLResponse
from starlette.staticfiles import StaticFiles

LIVE = "/live"
DOCS = "/docs"
ASSETS = "/assets"
LIVE_PAGE = Path(__file__).with_name("page.html")
ASSET_FILES = tuple(f"{ASSETS}/{name}" for name in ("swagger-ui-bundle.js", "swagger-ui.css"))
OPENAPI = "/openapi.json"


def content_security_policies() -> dict[str, bytes]:
    """Content security policy by path."""
    docs_policy = _policy(_docs_html(), "'self' data:")
    # Swagger UI sets inline styles on its elements.
    docs_policy = docs_policy.replace(b"style-src 'self'", b"style-src 'self' 'unsafe-inline'")
    return {LIVE: _policy(LIVE_PAGE.read_text(), "data:"), DOCS: docs_policy}


def install_docs(app: FastAPI) -> None:
    """Add the documentation page and its assets."""
    html = _docs_html()
    app.add_route(DOCS, lambda _request: HTMLResponse(html), include_in_schema=False)
    app.mount(
        ASSETS, StaticFiles(packages=[("fastapi_offline", "static")], directory=None), name="assets"
    )


def _policy(html: str, image_sources: str) -> bytes:
    """A policy that allows the inline scripts and styles of `html` by their hashes, files of this
    server, and requests to it.
    """
    sources = {"script-src": ["'self'"], "style-src": ["'self'"]}
    for directive, tag in (("script-src", "script"), ("style-src", "style")):
        for text in re.findall(rf"<{tag}>(.*?)</{tag}>", html, re.DOTALL):
            digest = base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()
            sources[directive].append(f"'sha256-{digest}'")
    directives = "; ".join(f"{name} {' '.join(values)}" for name, values in sources.items())
    policy = f"default-src 'none'; {directives}; connect-src 'self'; img-src {image_sources}"
    return f"{policy}; frame-ancestors 'none'".encode()


def _docs_html() -> str:
    script_url, style_url = ASSET_FILES
    page = get_swagger_ui_html(
        openapi_url=OPENAPI,
        title="lakehouse-tick",
        swagger_js_url=script_url,
        swagger_css_url=style_url,
        swagger_favicon_url="data:,",
    )
    return bytes(page.body).decode()
