"""rsyslog's omelasticsearch: tails the journal's files, and stores each line under an ID made of the entry."""

from __future__ import annotations

from pathlib import Path

__all__ = ["omelasticsearch"]

_CONFIGURATION = """\
module(load="imfile" mode="inotify")
module(load="mmjsonparse")
module(load="omelasticsearch")
global(workDirectory="{scratch}" maxMessageSize="128k")
template(name="line" type="string" string="%msg%")
template(name="id" type="string" string="%$!journal%-%$!seq%-%$!hash:1:16%")
template(name="index" type="string" string="{prefix}-%$!creation_date:1:4%.%$!creation_date:6:7%")
input(type="imfile" File="{journal}/*/*.ndjson" Tag="audit" ruleset="ship" readMode="0" freshStartTail="off")
ruleset(name="ship" queue.type="LinkedList" queue.filename="queue" queue.size="100000"
        queue.dequeueBatchSize="5000" queue.saveOnShutdown="on" queue.workerThreads="1") {{
  action(type="mmjsonparse" cookie="")
  action(type="omelasticsearch" server="127.0.0.1" serverport="{port}" template="line"
         searchIndex="index" dynSearchIndex="on" searchType="" bulkmode="on" maxbytes="20m"
         {ids}
         action.resumeRetryCount="-1" action.resumeInterval="1" errorFile="{scratch}/errors.json")
}}
"""
"""`action.resumeInterval` is 30 by default: shortened in rsyslog's favour. No queue is lost at an orderly end."""


_IDS = 'bulkid="id" dynbulkid="on" writeoperation="create"'


def omelasticsearch(scratch: Path, port: int, prefix: str, journal: Path, *, ids: bool = True) -> list[str]:
    """The command that runs it in the foreground; what it must remember is in `scratch`. Without `ids`, OpenSearch
    gives a new one to whatever comes, as it is by default."""
    file = scratch / "rsyslog.conf"
    file.write_text(
        _CONFIGURATION.format(scratch=scratch, port=port, prefix=prefix, journal=journal, ids=_IDS if ids else "")
    )
    return ["rsyslogd", "-n", "-f", str(file), "-i", "NONE"]
