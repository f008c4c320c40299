"""Checks of the port and of vLLM processes. No process is ended here."""

from collections.abc import Sequence

from ...cells import shortened
from ...errors import UsageError
from ...i18n import _
from ..processes import ports, process_tree
from ..registry.records import FAILED, ServerRecord
from .finding import Finding, Findings, ok, problem, warning

DEFAULT_PORT = 8000


def check_port(number: int | None, servers: Sequence[ServerRecord]) -> Finding:
    """Check that a port is free. None is the default one, which another program may use."""
    port = DEFAULT_PORT if number is None else number
    server = next((s for s in servers if s.port == port and s.state != FAILED), None)
    if server is not None:
        text = _("Port {port} belongs to the server {name}.")
        return ok("port", text.format(port=port, name=server.name))
    try:
        ports.check("127.0.0.1", port)
    except UsageError as error:
        fix = f"qchat serve --port {_next_free_port(port)}"
        if number is None:
            return warning("port", str(error), fix)
        return problem("port", str(error), fix)
    return ok("port", _("Port {port} is free.").format(port=port))


def _next_free_port(after: int) -> int:
    """The next free port."""
    for candidate in range(after + 1, min(after + 100, 65536)):
        try:
            ports.check("127.0.0.1", candidate)
        except UsageError:
            continue
        return candidate
    return DEFAULT_PORT


def check_vllm_processes(servers: Sequence[ServerRecord]) -> Findings:
    """Check for vLLM processes that are not qchat's. Those without their parent are orphans, which
    only occupy memory."""
    foreign = process_tree.foreign(record.mark for record in servers)
    if not foreign:
        yield ok("orphans", _("There are no vLLM processes except those of qchat's servers."))
    for pid, command in foreign:
        mib = process_tree.memory_mib([pid])
        summary = shortened(command, 80)
        if process_tree.is_orphan(pid):
            text = _("Process {pid} ({command}) is an orphan and occupies {n:,} MiB.")
            text = text.format(pid=pid, command=summary, n=mib)
            yield warning("orphans", text, f"kill {pid}", pid=pid, memory_mib=mib)
        else:
            text = _("Process {pid} ({command}) is a vLLM that qchat did not start; {n:,} MiB.")
            text = text.format(pid=pid, command=summary, n=mib)
            yield ok("others", text, pid=pid, memory_mib=mib)
