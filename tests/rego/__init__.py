"""Tests of policylayer/rego. What needs the engine skips where the extra is not installed."""
