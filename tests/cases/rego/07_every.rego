package policylayer

decision contains {"effect": "allow", "rule": "all"} if every tag in input.args.tags { startswith(tag, "ok") }
