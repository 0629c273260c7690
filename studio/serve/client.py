"""A small JSON client for the studio's own server, with nothing but the standard library."""

from __future__ import annotations

import http.client
import json
import ssl
import urllib.error
import urllib.request
from dataclasses import dataclass
from typing import Any

from studio.core.errors import StudioError


@dataclass(frozen=True)
class Client:
    """Speaks to one server with one key."""

    url: str
    key: str

    def get(self, path: str, *, timeout: float = 10) -> tuple[int, Any]:
        """Status and JSON (or text) of a GET."""
        return self._ask("GET", path, None, timeout)

    def post(self, path: str, value: Any, *, timeout: float = 600) -> tuple[int, Any]:
        """Status and JSON of a POST."""
        return self._ask("POST", path, value, timeout)

    def must(self, path: str, value: Any, *, timeout: float = 600) -> Any:
        """JSON of a POST that has to succeed.

        Raises:
            StudioError: the server answered with an error, or not at all.
        """
        status, answer = self.post(path, value, timeout=timeout)
        if status != 200:
            message = answer.get("error", {}).get("message", answer) if isinstance(answer, dict) else answer
            raise StudioError(f"the server at {self.url} answered {path} with {status}: {message}")
        return answer

    def _ask(self, method: str, path: str, value: Any, timeout: float) -> tuple[int, Any]:
        """One request; an error status is an answer too, silence is not.

        Raises:
            StudioError: nobody answers.
        """
        body = None if value is None else json.dumps(value).encode()
        headers = {"Authorization": f"Bearer {self.key}", "Content-Type": "application/json"}
        request = urllib.request.Request(self.url + path, body, headers, method=method)
        # The server is this machine's own: a proxy of the environment must not stand between.
        # Its certificate names the address that others use, which is not ours.
        trusting = urllib.request.HTTPSHandler(context=ssl._create_unverified_context())
        opener = urllib.request.build_opener(urllib.request.ProxyHandler({}), trusting)
        try:
            with opener.open(request, timeout=timeout) as response:
                return response.status, _read(response.read())
        except urllib.error.HTTPError as error:
            with error:
                return error.code, _read(error.read())
        except (OSError, http.client.HTTPException) as error:
            raise StudioError(f"the server at {self.url} does not answer ({error}).") from error


def _read(body: bytes) -> Any:
    """JSON, else text."""
    try:
        return json.loads(body)
    except ValueError:
        return body.decode(errors="replace")
