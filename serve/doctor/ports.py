"""`qchat doctor` on the ports and the processes of servers. Nothing is ended here."""

from collections.abc import Sequence

from ...errors import UsageError
from ...i18n import _
from .. import ports
from .. import process_tree as tree
from ..records import FAILED, ServerRecord
from .finding import Finding, Findings, ok, problem, warning

USUAL = 8000


def port(number: int | None, servers: Sequence[ServerRecord]) -> Finding:
    """Whether `number` can be had; None is the usual one, which may be taken."""
    wanted = USUAL if number is None else number
    own = next((s for s in servers if s.port == wanted and s.state != FAILED), None)
    if own is not None:
        text = _("Port {port} belongs to the server {name}.")
        return ok("port", text.format(port=wanted, name=own.name))
    try:
        ports.check("127.0.0.1", wanted)
    except UsageError as error:
        fix = f"qchat serve --port {_free(wanted)}"
        if number is None:
            return warning("port", str(error), fix)
        return problem("port", str(error), fix)
    return ok("port", _("Port {port} is free.").format(port=wanted))


def _free(after: int) -> int:
    """The next port that can be had."""
    for candidate in range(after + 1, min(after + 100, 65536)):
        try:
            ports.check("127.0.0.1", candidate)
        except UsageError:
            continue
        return candidate
    return USUAL


def orphans(servers: Sequence[ServerRecord]) -> Findings:
    """vLLM processes of others; those whose starter is gone hold memory for nobody."""
    foreign = tree.foreign(record.mark for record in servers)
    if not foreign:
        yield ok("orphans", _("There are no vLLM processes but those of qchat's servers."))
    for pid, command in foreign:
        mib = tree.memory_mib([pid])
        shown = command[:80]
        if tree.is_orphan(pid):
            text = _("Process {pid} ({command}) outlived its starter and holds {n:,} MiB.")
            text = text.format(pid=pid, command=shown, n=mib)
            yield warning("orphans", text, f"kill {pid}", pid=pid, memory_mib=mib)
        else:
            text = _("Process {pid} ({command}) is another vLLM, not started from here; {n:,} MiB.")
            text = text.format(pid=pid, command=shown, n=mib)
            yield ok("others", text, pid=pid, memory_mib=mib)
