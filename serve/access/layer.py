"""The access layer: an ASGI application around vLLM's that denies whatever is not allowed.

vLLM loads `Access` through ``--middleware qchat.serve.access.Access``, outside all of its own
middleware. The rules come through an environment variable (see `access_rules`), the keys through a
file or QCHAT_API_KEY: nothing of it is on a command line. Without rules it refuses to start. No
vLLM here.
"""

import contextlib
import os
from collections.abc import Awaitable, Callable, Mapping, MutableMapping
from pathlib import Path
from typing import Any

from . import access_log, answers, exposition, request_gauge, route_hints, served_routes
from .access_rules import AccessRules
from .accounts import Accounts, Client
from .batch_handover import BatchHandover
from .batch_routes import is_batch_route
from .body_receiver import declared_length, replay
from .body_receiver import read as read_whole
from .counted_answer import CountedAnswer
from .counted_app import counted
from .delegation import Delegation
from .denials import DRAINING, Denial, over_limit, too_large, too_many_sequences
from .gate import Caller, Gate
from .head import Head
from .limits import MAX_N, PROMPTS_PER_N
from .request_body import WorkRequest, read_body
from .routes import METRICS, MODELS, is_work

Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
App = Callable[[Message, Receive, Send], Awaitable[None]]


class Access:
    """Allow, bound or deny each request before it reaches `app`."""

    def __init__(
        self, app: App, rules: AccessRules | None = None, environ: Mapping[str, str] = os.environ
    ) -> None:
        """Raises `RuntimeError` without rules, `UsageError` for invalid keys."""
        self.rules = AccessRules.from_environment(environ) if rules is None else rules
        self.batches: BatchHandover | None = None
        if self.rules.max_file_bytes is not None:
            delegation = Delegation.from_environment(environ)
            self.batches = BatchHandover(delegation, self.rules.max_file_bytes, self.deny)
            app = self.batches.beside(app)
        self.app = counted(app, self._refuse, environ)
        self.gate = Gate(self.rules, environ)
        keys = self.gate.keys
        self.accounts = Accounts(self.rules.total_limits, keys.owners() if keys else [""])
        self._absent: dict[tuple[str, str], bool] = {}
        self._absent_in: Any = None  # the application that they are absent in
        self._folder = environ.get(request_gauge.VARIABLE)
        access_log.install()

    async def __call__(self, scope: Message, receive: Receive, send: Send) -> None:
        """Pass one connection on, bound it, answer it, or deny it."""
        kind = scope["type"]
        if kind == "http":
            decision = self.gate.decide(scope)
            access_log.set_owner("" if isinstance(decision, Denial) else decision.key)
            if isinstance(decision, Denial):
                await self.deny(decision, scope, send)
            else:
                await self._serve(decision, scope, receive, send)
        elif kind == "lifespan":
            if self._folder is not None and (vllm := scope.get("app")) is not None:
                with contextlib.suppress(OSError):  # then the doorkeeper says less
                    served_routes.write(vllm, Path(self._folder))
            await self.app(scope, receive, send)
        elif kind == "websocket":
            await send({"type": "websocket.close", "code": 1008})

    async def _serve(self, caller: Caller, scope: Message, receive: Receive, send: Send) -> None:
        route = caller.route
        if self.batches is not None and is_batch_route(route):
            send = self._readable(scope, send)
            identity = self.gate.keys.identity(caller.key)
            await self.batches.serve(self.app, caller, identity, scope, receive, send)
        elif (denial := self.head_denial(caller, scope)) is not None:
            await self._deny_caller(denial, caller, scope, send)
        elif is_work(route):
            await self._work(caller, scope, receive, send)
        else:
            await self._pass_on(caller, scope, receive, send)

    def head_denial(self, caller: Caller, scope: Message) -> Denial | None:
        """Return the denial of an allowed request that its head alone decides: its route is not
        there, or its body is too large. The doorkeeper asks for it, too."""
        is_batches = self.batches is not None and is_batch_route(caller.route)
        if not is_batches and not self._exists(caller.route, scope):
            return route_hints.absent(caller.route)
        max_bytes = self._max_bytes(caller)
        if self.batches is not None and is_batches:
            max_bytes = self.batches.max_bytes(caller.route)
        length = declared_length(scope["method"], caller.head)
        return too_large(max_bytes) if length is not None and length > max_bytes else None

    def _exists(self, route: tuple[str, str], scope: Message) -> bool:
        """Return whether vLLM has a route that needs a key; its routes are searched once for each
        listed one."""
        app = scope.get("app")
        if app is None or route == METRICS or not self.gate.needs_key(route):
            return True
        if app is not self._absent_in:
            self._absent_in, self._absent = app, {}
        is_absent = self._absent.get(route)
        if is_absent is None:
            is_absent = route[0] not in served_routes.methods_of(app, route[1])
            if route in self.gate.listed:  # others have an id in their path
                self._absent[route] = is_absent
        return not is_absent

    async def _pass_on(self, caller: Caller, scope: Message, receive: Receive, send: Send) -> None:
        """Pass a request on that starts no work."""
        if caller.route == METRICS and (text := self._live_figures(scope)) is not None:
            await answers.send_text(send, text)
            return
        headers = caller.head.headers
        length = declared_length(scope["method"], caller.head)
        if length != 0 or scope["method"] not in ("GET", "OPTIONS"):
            data = await read_whole(receive, self._max_bytes(caller))
            if isinstance(data, Denial):
                await self.deny(data, scope, send)
            if not isinstance(data, bytes):
                return
            receive = replay(data, receive)
            headers = caller.head.with_length(len(data))
        if caller.route == METRICS:
            headers = caller.head.plain_form()
            send = answers.Rewriter(send, self._with_figures(scope), b"text/plain")
        elif caller.route == MODELS:
            headers = caller.head.plain_form()
            send = answers.Rewriter(send, answers.without_folders, b"application/json")
        await self.app({**scope, "headers": headers}, receive, send)

    def _max_bytes(self, caller: Caller) -> int:
        return caller.limits.max_body_bytes or self.rules.max_body_bytes

    def _with_figures(self, scope: Message) -> Callable[[int, bytes], bytes]:
        query = scope.get("query_string", b"")
        return lambda status, text: (
            text + exposition.prometheus_text(self.accounts, query) if status == 200 else text
        )

    def _live_figures(self, scope: Message) -> bytes | None:
        """Return the figures of live requests where nothing else is asked for: a polite batch looks
        ten times a second, and vLLM takes some 5 ms to write all of its own."""
        return exposition.live_text(self.accounts, scope.get("query_string", b""))

    async def _work(self, caller: Caller, scope: Message, receive: Receive, send: Send) -> None:
        """Pass a request on that starts work, if the client's limits allow it."""
        client = self.accounts.client(caller.client)
        work = await self._admit(caller, client, scope, receive)
        if work is None:
            return  # the client is gone
        if isinstance(work, Denial):
            await self._deny_caller(work, caller, scope, send)
            return
        tokens = self._tokens(caller, work)
        ticket = self.accounts.start(
            caller.key,
            client,
            caller.limits,
            work.sequences,
            tokens,
            is_live=not caller.head.is_low_priority(),
        )
        answer = CountedAnswer(work, caller.route[1], send)
        try:
            headers = caller.head.with_length(len(work.body))
            await self.app({**scope, "headers": headers}, replay(work.body, receive), answer)
        finally:
            self.accounts.finish(ticket, answer.usage(tokens))

    async def _admit(
        self, caller: Caller, client: Client, scope: Message, receive: Receive
    ) -> WorkRequest | Denial | None:
        """Read the request. Return what it asks for, or why it may not; None where its client is
        gone."""
        refusal = self.accounts.refusal(client, caller.limits, 1, 0.0)
        if refusal is not None:  # its body need not be read
            return over_limit(refusal)
        data = await read_whole(receive, self._max_bytes(caller))
        if not isinstance(data, bytes):
            return data
        may_set_priority = bool(caller.limits.priority)
        work = read_body(data, caller.route[1], may_set_priority=may_set_priority)
        if isinstance(work, Denial):
            return work
        max_n = caller.limits.max_n or MAX_N
        if work.n > max_n or work.sequences > max_n * PROMPTS_PER_N:
            return too_many_sequences(work.n, work.prompts, max_n, max_n * PROMPTS_PER_N)
        tokens = self._tokens(caller, work)
        refusal = self.accounts.refusal(client, caller.limits, work.sequences, tokens)
        return work if refusal is None else over_limit(refusal)

    def _tokens(self, caller: Caller, work: WorkRequest) -> float:
        return work.reservation(self.accounts.counters(caller.key).mean_completion)

    async def _deny_caller(
        self, denial: Denial, caller: Caller, scope: Message, send: Send
    ) -> None:
        """Deny an allowed request; of work, count which limit it went beyond."""
        if denial.reason is not None and is_work(caller.route):
            self.accounts.counters(caller.key).refusals[denial.reason] += 1
        await self.deny(denial, scope, send)

    async def _refuse(self, scope: Message, send: Send) -> None:
        await self.deny(DRAINING, scope, send)

    async def deny(self, denial: Denial, scope: Message, send: Send) -> None:
        """Send `denial` as the response."""
        headers = [*denial.headers, *self._cors_headers(scope)]
        body = denial.body(scope["path"])
        is_head = scope["method"] == "HEAD"
        await answers.send_json(send, denial.status, body, headers, is_head=is_head)

    def _cors_headers(self, scope: Message) -> list[tuple[bytes, bytes]]:
        """Return the headers without which a page of an allowed origin could not read an answer
        that is not vLLM's."""
        origin = Head(scope["headers"]).texts(b"origin")
        allowed = self.rules.allowed_origins
        if len(origin) != 1 or not (origin[0] in allowed or "*" in allowed):
            return []
        name = origin[0].encode("latin-1")
        return [(b"access-control-allow-origin", name), (b"vary", b"Origin")]

    def _readable(self, scope: Message, send: Send) -> Send:
        """Return a ``send`` that adds those headers, for answers of the service of the batches."""
        headers = self._cors_headers(scope)

        async def send_readable(message: Message) -> None:
            if message["type"] == "http.response.start":
                names = {name.lower() for name, _value in message["headers"]}
                more = [each for each in headers if each[0] not in names]
                message = {**message, "headers": [*message["headers"], *more]}
            await send(message)

        return send_readable if headers else send
