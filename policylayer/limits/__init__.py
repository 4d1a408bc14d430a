"""Counters and budgets: what calls charge, in sliding windows, in the transaction of the row that forwards them.

One of the PIPs in the field's terms: it keeps what was used; what a limit says and which calls it concerns is policy's.
"""
