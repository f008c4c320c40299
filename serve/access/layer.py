"""The access layer: an ASGI application around vLLM's that denies whatever is not allowed.

vLLM loads `Access` through ``--middleware qchat.serve.access.Access``, outside all of its own
middleware. The rules come through an environment variable (see `access_rules`), the keys through a
file or QCHAT_API_KEY: nothing of it is on a command line. Without rules it refuses to start. No
vLLM here.
"""

import json
import os
import time
from collections.abc import Awaitable, Callable, Mapping, MutableMapping
from typing import Any

from ..processes.process_tree import MARK
from . import access_log, answers, exposition, route_hints
from .access_rules import AccessRules
from .accounts import Accounts
from .body_receiver import BodyReceiver
from .counted_answer import CountedAnswer
from .denials import DRAINING, Denial, over_limit, too_large, too_many_sequences
from .gate import Caller, Gate, values, without_credentials
from .limits import MAX_N, PROMPTS_PER_N
from .request_body import WorkRequest, read_body
from .routes import DRAIN, MAY_BE_ABSENT, METRICS, MODELS, STATE, is_work

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
        self.app = app
        self.rules = AccessRules.from_environment(environ) if rules is None else rules
        self.gate = Gate(self.rules, environ, environ.get(MARK, ""))
        keys = self.gate.keys
        self.accounts = Accounts(self.rules.total_limits, keys.owners() if keys else [""])
        self._draining = False
        access_log.install()

    async def __call__(self, scope: Message, receive: Receive, send: Send) -> None:
        """Pass one connection on, bound it, answer it, or deny it."""
        kind = scope["type"]
        if kind == "http":
            decision = self.gate.decide(scope)
            if isinstance(decision, Denial):
                await self.deny(decision, scope, send)
            else:
                await self._serve(decision, scope, receive, send)
        elif kind == "lifespan":
            await self.app(scope, receive, send)
        elif kind == "websocket":
            await send({"type": "websocket.close", "code": 1008})

    async def _serve(self, caller: Caller, scope: Message, receive: Receive, send: Send) -> None:
        route = caller.route
        access_log.set_owner(caller.key)
        if route in MAY_BE_ABSENT and not self._exists(scope):
            await self.deny(route_hints.absent(route), scope, send)
        elif route in (STATE, DRAIN):
            await self._monitor(route, send)
        elif is_work(route):
            await self._work(caller, scope, receive, send)
        else:
            await self._pass_on(caller, scope, receive, send)

    @staticmethod
    def _exists(scope: Message) -> bool:
        app = scope.get("app")
        return app is None or bool(route_hints.methods_of(app, scope["path"]))

    async def _monitor(self, route: tuple[str, str], send: Send) -> None:
        self._draining = self._draining or route == DRAIN
        figures = exposition.state(self.accounts, time.monotonic(), draining=self._draining)
        await answers.send_json(send, 200, json.dumps(figures).encode())

    async def _pass_on(self, caller: Caller, scope: Message, receive: Receive, send: Send) -> None:
        """Pass a request on that starts no work."""
        scope = {**scope, "headers": without_credentials(scope["headers"])}
        max_bytes = caller.limits.max_body_bytes or self.rules.max_body_bytes
        body = BodyReceiver(scope, receive, max_bytes)
        if scope["method"] not in ("GET", "OPTIONS") or body.declared != 0:
            data = await body.read()
            if isinstance(data, Denial):
                await self.deny(data, scope, send)
            if not isinstance(data, bytes):
                return
            receive = body.replay(data)
        if caller.route == METRICS:
            scope["headers"] = answers.without_encodings(scope["headers"])
            send = answers.Rewriter(send, self._with_figures(scope), b"text/plain")
        elif caller.route == MODELS:
            scope["headers"] = answers.without_encodings(scope["headers"])
            send = answers.Rewriter(send, answers.without_folders, b"application/json")
        await self.app(scope, receive, send)

    def _with_figures(self, scope: Message) -> Callable[[int, bytes], bytes]:
        query = scope.get("query_string", b"")
        return lambda status, text: (
            text + exposition.prometheus_text(self.accounts, query) if status == 200 else text
        )

    async def _work(self, caller: Caller, scope: Message, receive: Receive, send: Send) -> None:
        """Pass a request on that starts work, if the client's limits allow it."""
        limits, path = caller.limits, caller.route[1]
        max_bytes = limits.max_body_bytes or self.rules.max_body_bytes
        body = BodyReceiver(scope, receive, max_bytes)
        denial = self._early_denial(caller, body.declared, max_bytes)
        if denial is None:
            data = await body.read()
            if data is None:
                return  # the client is gone
            work = (
                data
                if isinstance(data, Denial)
                else read_body(data, path, may_set_priority=bool(limits.priority))
            )
            denial = work if isinstance(work, Denial) else self._denial(caller, work)
        if denial is not None:
            if denial.reason is not None:
                self.accounts.counters(caller.key).refusals[denial.reason] += 1
            await self.deny(denial, scope, send)
            return
        assert isinstance(work, WorkRequest)
        reserved = self._reservation(caller, work)
        ticket = self.accounts.start(
            caller.key, caller.client, limits, work.sequences, reserved, time.monotonic()
        )
        answer = CountedAnswer(self.accounts, work, path, send)
        try:
            headers = body.headers(without_credentials(scope["headers"]), work.body)
            await self.app({**scope, "headers": headers}, body.replay(work.body), answer)
        finally:
            self.accounts.finish(ticket, answer.usage(reserved))

    def _early_denial(self, caller: Caller, declared: int | None, most: int) -> Denial | None:
        """Return the denial of a request whose body need not be read for it."""
        if self._draining:
            return DRAINING
        if declared is not None and declared > most:
            return too_large(most)
        refusal = self.accounts.refusal(caller.client, caller.limits, 1, 0.0, time.monotonic())
        return None if refusal is None else over_limit(refusal)

    def _denial(self, caller: Caller, work: WorkRequest) -> Denial | None:
        limits = caller.limits
        max_n = limits.max_n or MAX_N
        max_sequences = max_n * PROMPTS_PER_N
        if work.n > max_n or work.sequences > max_sequences:
            return too_many_sequences(work.n, work.prompts, max_n, max_sequences)
        refusal = self.accounts.refusal(
            caller.client,
            limits,
            work.sequences,
            self._reservation(caller, work),
            time.monotonic(),
        )
        return None if refusal is None else over_limit(refusal)

    def _reservation(self, caller: Caller, work: WorkRequest) -> float:
        return work.reservation(self.accounts.counters(caller.key).mean_completion)

    async def deny(self, denial: Denial, scope: Message, send: Send) -> None:
        """Send `denial` as the response."""
        headers = list(denial.headers)
        origin = values(scope["headers"], b"origin")
        allowed = self.rules.allowed_origins
        if len(origin) == 1 and (origin[0] in allowed or "*" in allowed):
            # Otherwise a page of an allowed origin could not read why it was denied.
            headers += [
                (b"access-control-allow-origin", origin[0].encode("latin-1")),
                (b"vary", b"Origin"),
            ]
        body = denial.body(scope["path"])
        is_head = scope["method"] == "HEAD"
        await answers.send_json(send, denial.status, body, headers, is_head=is_head)
