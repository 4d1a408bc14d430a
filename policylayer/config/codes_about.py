"""What each code of the configuration file means, for `policylayer explain CODE`. Not imported by what loads it."""

from __future__ import annotations

from typing import Final

from policylayer.config.codes import ConfigCode
from policylayer.policy.codes_about import About, read

_TEXTS: Final = r"""
PL200 the configuration cannot be read
There is no such file, or it may not be read.
- -c nowhere.yaml
+ -c policylayer.yaml
PL201 a variable that is not set
`${X}` is replaced by the environment's X; one that is not set is refused, never taken for nothing.
- headers: {Authorization: "Bearer ${TOKN}"}
+ set the variable; `$${X}` is the text itself
PL202 not an address
An address with a port, or a network.
- listen: nowhere
+ listen: 127.0.0.1:8080
PL203 listening without protection
Beyond this machine, tokens would be readable on the way: use `tls`, or name the front in `behind_proxy`.
- listen: 0.0.0.0:8080
+ tls: {cert: tls.crt, key: tls.key}
PL204 not a URL that can be used
The message says which kind is wanted.
- url: localhost:3001
+ url: "http://127.0.0.1:3001/mcp"
PL205 a principal without a credential where others can reach
`local_principal` lets every request be this principal's, so nothing but this machine may reach the proxy.
- local_principal: agent:dev
+ policylayer grant create NAME --principal agent:dev --servers shop
PL206 two servers that only case tells apart
People mistake one for the other.
- servers: {Git: {url: "http://a/mcp"}, git: {url: "http://b/mcp"}}
+ rename one
PL207 a file that is not there
Paths are relative to the configuration.
- policies: ./polices
+ policies: ./policies
PL208 a header that cannot be sent
It belongs to the connection or the message, or holds what no header may.
- headers: {Host: example.com}
+ remove it
PL209 not a size
Bytes, or `512KiB`, `4MiB`.
- message: 4MB
+ message: 4MiB
PL210 not a database
A SQLite file, or a PostgreSQL URL.
- database: policylayer.db
+ database: sqlite:///policylayer.db
PL211 not a host
A host name, with or without a port.
- hosts: ["https://example.com"]
+ hosts: [example.com]
"""
"""As in `policy/codes_about.py`."""

CODES: Final[dict[ConfigCode, About]] = {ConfigCode(code): about for code, about in read(_TEXTS)}
"""Every code with what it means."""
