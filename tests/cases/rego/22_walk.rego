package policylayer

decision contains {"effect": "deny", "rule": "secret"} if { walk(input.args, [path, value]); path[count(path) - 1] == "secret" }
