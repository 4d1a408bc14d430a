package policylayer

decision contains {"effect": "allow", "rule": "read"} if startswith(input.target, "read_")
decision contains {"effect": "deny", "rule": "del"} if startswith(input.target, "delete_")
