"""Pure: bytes to MCP messages and back, in both protocol eras; knows no I/O, no clock, no policy.

Read in this order. The way in: `limits`, `rejection`, `methods`, `envelope`, `era`, `params`, `message`, then `calls`
(a message as policy sees it); JSON itself and names are read by `core/strict_json.py` and `core/text.py`.
HTTP fields: `fields`, `mirrors`, `headers`. The way back: `server_messages`, `lists`, `splice`, `sse`; `masks`,
`stand_ins`, `caps`, `results` for what policy does to a result. What the proxy itself answers: `replies`.
"""
