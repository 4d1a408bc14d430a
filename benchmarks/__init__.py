"""Benchmarks: what the proxy costs beside nothing, nginx, bare relays and peers, measured side by side in one run.

`run.py` is the entry (`make bench`); `load.py` and `upstream.py` are the two ends; `targets.py` what stands between.
"""
