"""What `policylayer init` writes: a configuration, a first policy, principals and a test, made from a tool list.

Read in this order: `guess` (what kind of tool is this), `texts` (the files). Must not know how tools are listed, nor
write anything.
"""
