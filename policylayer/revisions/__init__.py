"""From policy files on disk or in git to the active policy set: whole snapshots, judged in a process of their own.

Read in this order: `snapshot` (what a source is), `folder`, `repository`, `judge` (with `process`, and `worker`, its
other end), `keeper`. What the files mean is `policy/`'s.
"""
