"""The HTTP client of a model's server that nobody vouches for: no redirect is followed, and an answer has a largest size."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from openai import DefaultAsyncHttpxClient

from smithers_nb.errors import ProviderError

if TYPE_CHECKING:
    from httpx2 import Request, Response

_MAX_ANSWER: Final = 4_000_000
"""Bytes of one answer; an answer in the agreed form has some ten thousand."""


class BoundedClient(DefaultAsyncHttpxClient):
    """A client whose answers end, or end in an error, before they fill the memory."""

    async def send(self, request: Request, **options: Any) -> Response:
        """Send a request, and read its answer.

        Raises:
            ProviderError: The answer is too large, or packed although that was not asked for.
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
        raise ProviderError("the server packed its answer, which could be of any size")
    content = bytearray()
    async for chunk in response.aiter_raw():
        content += chunk
        if len(content) > _MAX_ANSWER:
            raise ProviderError(f"the server's answer is larger than {_MAX_ANSWER // 1_000_000} MB")
    return bytes(content)
