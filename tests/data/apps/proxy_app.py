"""What frameworks make of a request that came through a proxy, when they are told of it themselves."""

from __future__ import annotations

import environ_app
from django.conf import settings
from django.core.handlers.wsgi import WSGIRequest
from routing import Environ, StartResponse, reply_json
from werkzeug.middleware.proxy_fix import ProxyFix

settings.configure(
    ALLOWED_HOSTS=["*"],
    USE_X_FORWARDED_HOST=True,
    SECURE_PROXY_SSL_HEADER=("HTTP_X_FORWARDED_PROTO", "https"),
)

fixed = ProxyFix(environ_app.application, x_for=1, x_proto=1, x_host=1, x_prefix=1)


def django(environ: Environ, start_response: StartResponse) -> object:
    request = WSGIRequest(environ)
    return reply_json(
        start_response,
        {
            "secure": request.is_secure(),
            "url": request.build_absolute_uri(),
            "client": request.META["REMOTE_ADDR"],
        },
    )
