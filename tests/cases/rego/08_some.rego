package policylayer

decision contains {"effect": "deny", "rule": "bad"} if { some tag in input.args.tags; tag == "bad" }
