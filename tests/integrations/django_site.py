"""One Django for all tests of a process: it can be configured only once."""

import contextlib
import sys
import types

import django
from django.conf import settings

ROUTES = sys.modules.setdefault("asyncmeta_test_urls", types.ModuleType("asyncmeta_test_urls"))
ROUTES.urlpatterns = []

if not settings.configured:
    settings.configure(
        ALLOWED_HOSTS=["*"],
        DEBUG=False,
        LOGGING_CONFIG=None,
        MIDDLEWARE=[],
        ROOT_URLCONF=ROUTES.__name__,
        SECRET_KEY="not secret",
        USE_TZ=True,
    )
    django.setup()


@contextlib.contextmanager
def site(*patterns, middleware=()):
    """A site with these URLs and middleware."""
    from django.test import override_settings

    with override_settings(MIDDLEWARE=list(middleware)):
        ROUTES.urlpatterns[:] = patterns
        from django.urls import clear_url_caches

        clear_url_caches()
        try:
            yield
        finally:
            ROUTES.urlpatterns.clear()
            clear_url_caches()
