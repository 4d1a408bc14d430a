"""Pure: the nouns and the life of one call; knows no I/O, no clock, no asyncio, and imports nothing of ours above it.

Read in this order: `call`, `decision`, `commands`, `mediate`, `approval`, `canonical`, `errors`.
"""
