package policylayer

decision contains {"effect": "deny", "rule": "parent"} if ".." in split(input.args.path, "/")
