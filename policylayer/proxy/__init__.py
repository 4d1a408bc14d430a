"""The data path (the PEP in the field's terms): what stands between an agent's HTTP request and an MCP server.

Read in this order: `endpoint` (the app), `admission`, `visit` (one request on its way), `judged` and `passed` (what is
done with each kind), `perform` (core.mediate's commands), `forwarding`, `relay`, `sift` (what comes back), `holding`,
`rounds`, `lists`, `server_requests`, `session_streams`; then what lives as long as the process: `sessions`, `streams`,
`task_owners`, `tools_seen`. Must not know what policy is, how rows are stored, or how a server is spoken to.
"""
