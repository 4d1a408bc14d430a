package policylayer

decision contains {"effect": "allow", "rule": "subset"} if {t | some t in input.args.tags} & {"ok", "okay"} != set()
