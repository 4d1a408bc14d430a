package policylayer

limits := {"eur": 50, "usd": 60}
decision contains {"effect": "allow", "rule": "limit"} if input.args.amount <= limits[input.args.currency]
