"""Holding, deciding, using up: what happens to a call that a person must approve first.

Read in this order: `binding` (what an approval is bound to), `rows` (how one is kept and moved), `voters` (who may
vote), `voting`, `opening`, `waivers`, `waiting`, `state` (what a client carries between rounds), `approvals` (all of it
for the rest of the program). Must not know MCP messages, HTTP, or how a decision comes about.
"""
