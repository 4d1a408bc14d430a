package policylayer

decision contains {"effect": "allow", "rule": "few"} if count({t | some t in input.args.tags}) < 3
