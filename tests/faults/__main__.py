"""``python -m tests.faults``: the misbehaving server by hand, on 127.0.0.1 only."""

from __future__ import annotations

import argparse
import asyncio
import os
import signal
import sys
from collections.abc import Sequence
from dataclasses import fields

from .app import HOST, Options, Server
from .orders import ABOUT, OrderError, Style

EXAMPLES = """\
examples:
  python -m tests.faults --port 8001
      plain answers: "echo: " and the last user message
  python -m tests.faults --fault 503:burst=20,retry_after=1
      the first 20 requests get 503 with Retry-After: 1
  python -m tests.faults --fault reset --fault hang:seconds=5 --rate 0.1 --seed 7
      one request in ten is reset, one of the others in ten hangs; the same ones each time
  python -m tests.faults --fault die:skip=50,burst=1,seconds=3
      dies at the 51st request and is back after 3 s
  python -m tests.faults --answers 'latency=0.2;rate=40;length=300;reasoning=inline'
      slow answers of 300 tokens with <think>…</think>
  curl 127.0.0.1:8001/v1/chat/completions -d '{"stream": true, "messages":
      [{"role": "user", "content": "Hello [[fault:half_line]]"}]}'
      a prompt can order its own fault; so can a header, X-Fault: reset;times=2
      (its first 2 tries fail), and its own answer: [[answer:dress=escapes;length=50]]
  curl 127.0.0.1:8001/_control -d '{"plan": ["500"], "answers": "latency=1"}'
  curl 127.0.0.1:8001/_control -d '{"clear": true, "down": 5}'
  curl 127.0.0.1:8001/_control/log
"""


def _parser() -> argparse.ArgumentParser:
    whens = "times, skip, burst, rate"
    faults = "\n".join(
        f"  {fault.value:22}{about}" + (f"  [{', '.join(options)}]" if options else "")
        for fault, (about, options) in ABOUT.items()
    )
    styles = ", ".join(one.name for one in fields(Style))
    parser = argparse.ArgumentParser(
        prog="python -m tests.faults",
        description="An OpenAI-compatible server that misbehaves on order.",
        epilog=f"{EXAMPLES}\nfaults (and their options; all have: {whens}):\n{faults}\n\n"
        f"answers (--answers, X-Answer, [[answer:…]]): {styles}\n",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    add = parser.add_argument
    add("--port", type=int, default=8001, help="default: 8001; 0 takes a free one")
    add("--fault", action="append", default=[], metavar="ORDER", help="may be given several times")
    add("--rate", type=float, help="share of the requests that meet each --fault; default: all")
    add("--seed", type=int, default=0, help="which ones; default: 0")
    add("--answers", default="", metavar="STYLE", help="how answers look and how fast they come")
    add("--model", action="append", default=[], help="a served name; default: demo")
    add("--api-key-env", metavar="VAR", help="ask for the key that this variable holds")
    add("--max-model-len", type=int, default=40_960, help="default: 40960")
    add("--slots", type=int, help="requests answered at once; others wait")
    add("--max-queued", type=int, help="waiting requests beyond which it sends 503")
    add("--keepalive", type=float, default=5.0, help="seconds; default: 5")
    add("--keep", type=int, default=10_000, help="records in the log; default: 10000; 0 is fastest")
    return parser


def main(arguments: Sequence[str] | None = None) -> int:
    """Run until SIGINT or SIGTERM. Exit codes: 0 stopped, 2 bad options or port taken."""
    parser = _parser()
    args = parser.parse_args(arguments)
    key = os.environ.get(args.api_key_env) if args.api_key_env else None
    if args.api_key_env and not key:
        parser.error(f"the variable {args.api_key_env} is not set or empty")
    options = Options(
        port=args.port,
        faults=tuple(args.fault),
        rate=args.rate,
        seed=args.seed,
        answers=args.answers,
        models=tuple(args.model) or ("demo",),
        api_key=key,
        max_model_len=args.max_model_len,
        slots=args.slots,
        max_queued=args.max_queued,
        keepalive=args.keepalive,
        keep=args.keep,
    )
    try:
        asyncio.run(_serve(options))
    except OrderError as error:
        parser.error(str(error))
    except OSError as error:
        parser.error(f"can't listen on {HOST}:{args.port}: {error.strerror}")
    return 0


async def _serve(options: Options) -> None:
    server = Server(options)
    await server.start()
    print(f"http://{HOST}:{server.port}/v1", flush=True)
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, stop.set)
    await stop.wait()
    await server.stop()


if __name__ == "__main__":
    sys.exit(main())
