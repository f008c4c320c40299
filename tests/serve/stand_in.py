"""The record of a ready server that does not run: nothing listens on port 1."""

from qchat.serve.registry import records
from qchat.serve.registry.records import ServerRecord

RECORD = ServerRecord(
    name="demo",
    model="demo",
    served_name="demo",
    url="http://127.0.0.1:1",
    host="127.0.0.1",
    port=1,
    key="none",
    state=records.READY,
    started=0.0,
    supervisor=1,
    mark="no such mark",
    temporary="/nowhere",
    log="/nowhere/log",
)
