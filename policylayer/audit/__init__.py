"""The decision log: what is written for each call, and how it is read, exported and verified.

Read in this order: `context`, `rows`, `hooks`, `recorder`, `settling`, `rejections`, `queries`, `forms`. How rows
become durable is `store/`; what is masked before, `core/redact.py`.
"""
