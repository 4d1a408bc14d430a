package policylayer

decision contains {"effect": "deny", "rule": "upper"} if upper(input.args.currency) == "EUR"
