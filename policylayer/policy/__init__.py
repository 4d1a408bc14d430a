"""Pure: from policy texts to decisions. Knows no I/O, no clock, no database and no protocol.

Reading order: `ast` (what a policy says), `source` (strict YAML), `parse`, `compile`, `decide`.
"""
