package policylayer

decision contains {"effect": "allow", "rule": "eur"} if input.args.currency in {"eur", "usd"}
