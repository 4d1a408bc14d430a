"""Rego behind the same interface as YAML: an embedded engine in killable workers, or an OPA server.

Reading order: `document` (what a policy is told), `results` (what it may answer), `syntax`, `modules`, `negation`
(what it may use), `units`, `worker`, `pool`, `embedded`, `server`.
Must not know how findings are combined (`policy/decide.py`) or enforced (`proxy/`).
"""
