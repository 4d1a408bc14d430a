"""Tests of policylayer/core."""
