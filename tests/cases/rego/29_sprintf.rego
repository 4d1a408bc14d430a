package policylayer

decision contains {"effect": "deny", "rule": "s", "reason": sprintf("%s by %s", [input.target, input.principal.id])} if input.args.force == true
