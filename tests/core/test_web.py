"""Files over HTTP: what only a server on the open network could do is tried on the parts."""

from __future__ import annotations

import urllib.error
import urllib.request

import pytest

from studio.core.web import _Redirects


def test_an_encrypted_address_never_leads_to_an_open_one():
    asked = urllib.request.Request("https://hub.example/file")
    with pytest.raises(urllib.error.URLError, match="it leads from https to http://store.example"):
        _Redirects().redirect_request(asked, None, 302, "Found", {}, "http://store.example/file")
    assert _Redirects().redirect_request(asked, None, 302, "Found", {}, "https://store.example/file") is not None
