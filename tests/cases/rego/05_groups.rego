package policylayer

decision contains {"effect": "allow", "rule": "admins"} if "group:admins" in input.principal.groups
