"""The HTTP client of a model's server that nobody vouches for: no redirect is followed, and an answer has a largest size."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any, Final

import httpx

from smithers_nb.errors import ProviderError

MAX_ANSWER: Final = 4_000_000
"""Bytes of one answer; an answer in the agreed form has some ten thousand."""


class BoundedClient(httpx.AsyncClient):
    """A client whose answers end, or end in an error, before they fill the memory."""

    def __init__(self, **options: Any) -> None:
        super().__init__(**options, follow_redirects=False, headers={"Accept-Encoding": "identity"})

    async def send(self, request: httpx.Request, *, stream: bool = False, **options: Any) -> httpx.Response:
        """Send a request.

        Raises:
            ProviderError: The answer is larger than `MAX_ANSWER`, or packed although that was not asked for.
        """
        request.headers["Accept-Encoding"] = "identity"  # whoever made the request may have asked for a packed answer
        response = await super().send(request, stream=True, **{**options, "follow_redirects": False})
        try:
            if response.headers.get("content-encoding", "identity").lower() != "identity":
                raise ProviderError("the server packed its answer, which could be of any size")
            assert isinstance(response.stream, httpx.AsyncByteStream)
            response.stream = _Bounded(response.stream)
            if not stream:
                await response.aread()
        except BaseException:
            await response.aclose()
            raise
        return response


class _Bounded(httpx.AsyncByteStream):
    def __init__(self, inner: httpx.AsyncByteStream) -> None:
        self._inner = inner

    async def __aiter__(self) -> AsyncIterator[bytes]:
        size = 0
        async for chunk in self._inner:
            size += len(chunk)
            if size > MAX_ANSWER:
                raise ProviderError(f"the server's answer is larger than {MAX_ANSWER // 1_000_000} MB")
            yield chunk

    async def aclose(self) -> None:
        await self._inner.aclose()
