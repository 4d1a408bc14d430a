package policylayer

decision contains {"effect": "deny", "rule": "j"} if { json.is_valid(input.args.path); json.unmarshal(input.args.path) == {"a": 1} }
