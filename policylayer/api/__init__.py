"""The REST API: one route table gives routing, authorisation, OpenAPI and the tests.

Read in this order: `route` (what a route says), `table` (all of them), `endpoint` (requests through the table),
`openapi`, then one file per resource. Must not know configuration files nor how anything is stored.
"""
