"""Who is calling, and who administers: one file per kind of credential (a PIP in the field's terms).

Read in this order: `credential` (what a token is), `grants` and `tokens` (how they are kept), `authenticator` (who
presents one), `throttle`, `snippets`. Must not know what a caller may do: policy and the API's role table say that.
"""
