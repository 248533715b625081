"""An HTTP client for model servers that we do not trust: it follows no redirects and limits the size of a response."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from openai import DefaultAsyncHttpxClient

from smithers_nb.errors import ProviderError

if TYPE_CHECKING:
    from httpx2 import Request, Response

_MAX_ANSWER: Final = 4_000_000
"""Bytes of one response; a valid answer has about ten thousand."""


class BoundedClient(DefaultAsyncHttpxClient):
    """A client that raises an error instead of reading an unbounded response into memory."""

    async def send(self, request: Request, **options: Any) -> Response:
        """Send a request and read the whole response.

        Raises:
            ProviderError: The response is too large, or compressed although we asked for none.
        """
        request.headers["Accept-Encoding"] = "identity"
        response = await super().send(request, **{**options, "stream": True, "follow_redirects": False})
        try:
            content = await _read(response)
        finally:
            await response.aclose()
        return type(response)(response.status_code, headers=response.headers, content=content, request=request)


async def _read(response: Response) -> bytes:
    if response.headers.get("content-encoding", "identity").lower() != "identity":
        raise ProviderError("the server compressed its response, which could expand to any size")
    content = bytearray()
    async for chunk in response.aiter_raw():
        content += chunk
        if len(content) > _MAX_ANSWER:
            raise ProviderError(f"the server's response is larger than {_MAX_ANSWER // 1_000_000} MB")
    return bytes(content)
