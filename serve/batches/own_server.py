"""What the service asks of the server it belongs to: whether it is ready, and its models."""

from typing import Any

import aiohttp

_TIMEOUT = aiohttp.ClientTimeout(total=10.0, sock_connect=2.0)


class OwnServer:
    """The live API at `url`."""

    def __init__(self, url: str) -> None:
        self.url = url
        self._session: aiohttp.ClientSession | None = None

    async def is_ready(self) -> bool:
        """Return whether it answers requests."""
        try:
            async with self._open().get(f"{self.url}/health") as reply:
                return reply.status == 200
        except (aiohttp.ClientError, OSError, TimeoutError):
            return False

    async def models(self, token: str) -> frozenset[str] | None:
        """Return the names of its models; None where it does not answer now.

        Raises `PermissionError` where the token is not accepted: its owner's key was revoked.
        """
        headers = {"Authorization": f"Bearer {token}"}
        try:
            async with self._open().get(f"{self.url}/v1/models", headers=headers) as reply:
                if reply.status in (401, 403):
                    raise PermissionError
                data: Any = await reply.json() if reply.status == 200 else None
        except (aiohttp.ClientError, OSError, TimeoutError, ValueError) as error:
            if isinstance(error, PermissionError):
                raise
            return None
        if not isinstance(data, dict) or not isinstance(data.get("data"), list):
            return None
        return frozenset(m["id"] for m in data["data"] if isinstance(m, dict) and "id" in m)

    async def close(self) -> None:
        """Close the connections."""
        if self._session is not None:
            await self._session.close()

    def _open(self) -> aiohttp.ClientSession:
        if self._session is None:
            self._session = aiohttp.ClientSession(timeout=_TIMEOUT, trust_env=False)
        return self._session
